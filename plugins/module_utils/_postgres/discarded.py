# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What clients wrote to restored databases since they were last proved, counted before it is thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.baseline import read_baseline
from ansible_collections.dihya.migration.plugins.module_utils._postgres.created import Record
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import digest_database
from ansible_collections.dihya.migration.plugins.module_utils._postgres.remove import current_databases, locate
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import RestoreRequest
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

Tables = Mapping[str, Mapping[str, Any]]
"""Digest of each table, see ``digest``."""


def count_discarded(request: RestoreRequest, record: Record, connection: Any) -> list[dict[str, Any]]:
    """Digest again what ``record`` names and the target still has; :func:`differing` of each database.

    Raises :class:`MigrationError` when the proof or a database cannot be read: what is not counted is not thrown away.
    """
    known, present = read_baseline(str(request.baseline)), current_databases(connection)
    sources = {name: source for source, name in (record.state or {}).get("databases", {}).items()}
    progress = Progress(request.progress_file, "counting what clients wrote")
    found = []
    for entry in (one for one in record.objects if one["kind"] == "database"):
        name, source = locate(entry, present), sources.get(entry["name"], entry["name"])
        if name is None:
            continue
        if source not in known.tables:
            raise MigrationError(f"{request.baseline} has no row digests of database {source}: nothing was removed", subject="baseline")
        tables = digest_database(request.target, name, jobs=request.jobs, application_name=request.application_name,
                                 progress=progress, hexadecimal=known.hexadecimal[source])
        found += differing(entry["name"], known.tables[source], tables)
    return found


def differing(database: str, proved: Tables, tables: Tables) -> list[dict[str, Any]]:
    """``object`` (database and table), ``before`` and ``after`` (rows) of every table that is not as it was proved."""
    changed = [table for table in sorted(proved.keys() | tables.keys()) if proved.get(table) != tables.get(table)]
    return [{"object": f"{database}: {table}", **{when: side.get(table, {}).get("rows", 0) for when, side in
                                                  (("before", proved), ("after", tables))}} for table in changed]
