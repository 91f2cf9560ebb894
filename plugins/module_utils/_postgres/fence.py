# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof that nothing wrote to a server: its next transaction number, and its sequences, did not move.

The number moves with every write of every database, even with one rolled back. A value of ``nextval`` that was logged
ahead does not move it, so sequences are read too. A transaction that began to write before the fence and commits after
it does not move it either, so a fence counts only when none is under way.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import utc_now
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows, sequences
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint

SNAPSHOT = {
    True: "SELECT pg_snapshot_xmax(s)::text, pg_snapshot_xmin(s) = pg_snapshot_xmax(s) FROM pg_current_snapshot() s",
    False: "SELECT txid_snapshot_xmax(s)::text, txid_snapshot_xmin(s) = txid_snapshot_xmax(s) FROM txid_current_snapshot() s",
}
WRITERS = """
SELECT coalesce(usename, backend_type), application_name, coalesce(datname, '') FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY 1, 2, 3
"""
# Rows written to each database since its statistics began, without those that ANALYZE itself writes; and its last maintenance.
ACTIVITY = """
SELECT coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_del), 0)::bigint
FROM pg_stat_all_tables WHERE relid NOT IN (SELECT unnest(ARRAY[c.oid, c.reltoastrelid]) FROM pg_class c
  WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname IN ('pg_statistic', 'pg_statistic_ext_data'))
"""
MAINTAINED = """
SELECT count(*) FROM pg_stat_all_tables WHERE greatest(last_analyze, last_autoanalyze, last_vacuum, last_autovacuum) >= %s::timestamptz
"""
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND left(application_name, 6) <> 'dihya/' AND pid <> pg_backend_pid()
"""
FLUSHED = 11.0  # seconds after which an idle session of 15 and later has reported what it wrote


def read_fence(endpoint: Endpoint, databases: Sequence[str], application_name: str, settle: float = 10.0) -> dict[str, Any]:
    """``{value, at, source, sequences}``, taken while no transaction writes; waits up to ``settle`` seconds for those that do.

    Raises :class:`MigrationError` naming the sessions that still write.
    """
    until = time.monotonic() + settle
    while True:
        with transaction(endpoint, None, None, application_name) as connection:
            value, quiet = rows(connection, SNAPSHOT[connection.server_version >= 130000])[0]
            writers = [] if quiet else rows(connection, WRITERS)
            prepared = rows(connection, "SELECT gid FROM pg_prepared_xacts ORDER BY 1")
        if prepared:
            raise MigrationError(f"{len(prepared)} prepared transactions are open on {endpoint}: commit or roll them back first "
                                 "(pg_prepared_xacts)", prepared=len(prepared))
        if quiet:
            break
        if time.monotonic() > until:
            who = ", ".join("/".join(writer) for writer in writers[:5]) or "a session that cannot be seen"
            raise MigrationError(f"a transaction on {endpoint} still writes ({who}): it would commit behind the fence")
        time.sleep(0.2)
    return {"value": value, "at": utc_now(), "source": str(endpoint), "sequences": read_sequences(endpoint, databases, application_name),
            "activity": read_activity(endpoint, application_name)}


def read_sequences(endpoint: Endpoint, databases: Sequence[str], application_name: str) -> dict[str, dict[str, list[Any]]]:
    """``[last_value, is_called]`` of each sequence by database and name."""
    found = {}
    for name in sorted(databases):
        with transaction(endpoint, name, None, application_name) as connection:
            found[name] = sequences(connection)
    return found


def moved(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs between two fences, as sentences; empty when nothing was written between them."""
    found = []
    if before["value"] != after["value"]:
        found.append(f"the transaction number went from {before['value']} to {after['value']}")
    if "sequences" in before:
        for database in sorted(after["sequences"]):
            old, new = before["sequences"].get(database, {}), after["sequences"][database]
            found += [f"sequence {name} of database {database} was used" for name in sorted(old.keys() | new.keys())
                      if old.get(name) != new.get(name)]
    return found


def read_activity(endpoint: Endpoint, application_name: str) -> dict[str, list[int]]:
    """Rows inserted, updated and deleted as the statistics of each database of the server count them."""
    return {name: list(rows(connection, ACTIVITY)[0]) for name, connection in _every_database(endpoint, application_name)}


def maintenance_alone(endpoint: Endpoint, before: dict[str, Any], application_name: str) -> bool:
    """Whether tables were analyzed or vacuumed since the fence ``before``, and the statistics count no row written since.

    That moves the transaction number too. Statistics come late, so what they do not count yet is waited for; where a
    session may hold back for longer what it wrote, the answer is no.
    """
    if "activity" not in before or not any(
            rows(connection, MAINTAINED, (before["at"],))[0][0] for _name, connection in _every_database(endpoint, application_name)):
        return False
    with transaction(endpoint, None, None, application_name) as connection:
        others, version = rows(connection, OTHERS)[0][0], connection.server_version
    if others and version < 150000:
        return False
    time.sleep(FLUSHED if others else 1.0)
    return read_activity(endpoint, application_name) == before["activity"]


def _every_database(endpoint: Endpoint, application_name: str) -> Iterator[tuple[str, Any]]:
    with transaction(endpoint, None, None, application_name) as connection:
        names = [row[0] for row in rows(connection, "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template0'")]
    for name in sorted(names):
        with transaction(endpoint, name, None, application_name) as connection:
            yield name, connection


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
