# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the databases on a server are still those that a restore made: a look that is quick and compares nothing else."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.created import Record
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, connect
from ansible_collections.dihya.migration.plugins.module_utils._postgres.remove import current_databases
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import system_identifier


def verify_identity(target: Endpoint, created_file: str, application_name: str) -> dict[str, Any]:
    """Prove that the databases on the target are still those that a restore made: same server, same OIDs, still complete."""
    record = Record(created_file)
    if record.state is None or not record.state["complete"]:
        raise MigrationError(f"{created_file} records no complete restore: the target was rolled back, or never filled")
    with contextlib.closing(connect(target, None, application_name)) as connection:
        if not record.is_of(system_identifier(connection), str(target)):
            raise MigrationError(f"{target} is not the server that was restored on")
        found = current_databases(connection)
    made = [entry for entry in record.objects if entry["kind"] == "database"]
    drifted = sorted(entry["name"] for entry in made if found.get(entry["name"]) != entry["identity"])
    if drifted:
        raise MigrationError(f"database {drifted[0]} on {target} is not the one that was restored: "
                             "it was dropped, renamed or replaced", equal=False, drifted=drifted)
    msg = f"{len(made)} databases are those that were restored"
    return {"changed": False, "equal": True, "msg": msg, "journal": {"summary": msg, "changed": False, "counts": {"databases": len(made)}}}
