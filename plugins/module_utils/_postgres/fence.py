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
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import utc_now
from ansible_collections.dihya.migration.plugins.module_utils._postgres.activity import read_activity
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


def read_fence(endpoint: Endpoint, databases: Sequence[str], application_name: str, settle: float = 10.0) -> dict[str, Any]:
    """``{value, at, source, sequences, activity, clock}``, taken while no transaction writes; waits ``settle`` seconds for one that does.

    ``activity`` and ``clock`` (the server's own) are older than ``value``, so that nothing written after it hides in them.
    Raises :class:`MigrationError` naming the sessions that still write.
    """
    until = time.monotonic() + settle
    while True:
        with transaction(endpoint, None, None, application_name) as connection:
            clock = rows(connection, "SELECT clock_timestamp()::text")[0][0]
        activity = read_activity(endpoint, application_name)
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
            "activity": activity, "clock": clock}


def try_fence(endpoint: Endpoint, databases: Sequence[str], application_name: str) -> None:
    """Read what a fence is made of, but the number, for which nobody may write; raises where the login may not."""
    read_activity(endpoint, application_name)
    read_sequences(endpoint, databases, application_name)


def read_sequences(endpoint: Endpoint, databases: Sequence[str], application_name: str) -> dict[str, dict[str, list[Any]]]:
    """``[last_value, is_called]`` of each sequence by database and name."""
    found = {}
    for name in sorted(databases):
        with transaction(endpoint, name, None, application_name) as connection:
            found[name] = sequences(connection)
    return found


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
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


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
