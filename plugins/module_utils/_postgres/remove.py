# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove from a server what a record says was made there: by OID, never by name alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.created import Record
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import describe_error, import_psycopg2, pin_session
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import identifier, parameter, rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import system_identifier


def current_databases(connection: Any) -> dict[str, int]:
    """OID by name of every database."""
    return {row["name"]: row["oid"] for row in rows(connection, "SELECT datname AS name, oid::bigint AS oid FROM pg_catalog.pg_database")}


def locate(entry: dict[str, Any], databases: dict[str, int]) -> str | None:
    """The name under which the recorded database is now, None when it is gone.

    Without an OID only the random name counts: the worker died between creating it and noting the OID.
    """
    if entry["identity"] is None:
        return entry["working_name"] if entry["working_name"] in databases else None
    return next((name for name, oid in databases.items() if oid == entry["identity"]), None)


SESSION = "SELECT pid, backend_start::text AS since FROM pg_catalog.pg_stat_activity WHERE pid = {}"
PATIENCE = 60.0  # seconds for a session that was ended to be gone


def own_session(connection: Any) -> dict[str, Any]:
    """What tells the server's process of ``connection`` from every other: ``pid`` and ``since``."""
    return rows(connection, SESSION.format("pg_catalog.pg_backend_pid()"))[0]


def end_session(connection: Any, session: dict[str, Any] | None) -> None:
    """End a worker's session and wait until it is gone.

    The server goes on with the statement of a worker that was killed: a database could still appear after we looked.
    """
    until = time.monotonic() + PATIENCE
    while session and rows(connection, SESSION.format("%s"), (session["pid"],)) == [session]:
        rows(connection, "SELECT pg_catalog.pg_terminate_backend(%s)", (session["pid"],))
        if time.monotonic() > until:
            raise MigrationError("the session of an earlier restore does not end on the target: end it, and run again", subject="target")
        time.sleep(0.1)


class Removed(NamedTuple):
    """What went, as ``kind name``, and sentences on what stays because somebody changed it since."""

    names: list[str]
    left: list[str]


def require_own(record: Record, connection: Any, address: str) -> None:
    """Raise :class:`MigrationError` unless ``connection``, to the server at ``address``, leads to what ``record`` is of.

    OIDs tell the databases of one server only, whatever somebody called them since: two new servers on which the same was done have the
    same ones. Where no identifier tells which server it is, the names have to be those that were given, too.
    """
    server = system_identifier(connection)
    if not record.is_of(server, address):
        state = record.state or {}
        how = "" if server or state.get("server") else (
            ". Its login may not read which server it is: name it as it was named for the restore "
            f"({state.get('address') or 'which is not on record'}), or remove by hand what the record names")
        raise MigrationError(f"the record of created objects is of another server than the target: nothing was removed{how}")
    found = {} if server else current_databases(connection)
    for entry in record.objects:
        name = locate(entry, found) if entry["kind"] in ("database", "aside") else None
        if name not in (None, entry["name"], entry.get("working_name")):
            raise MigrationError(f"database {name} may be what the record calls {entry['name']}, which cannot be told where the login "
                                 "may not read which server it is: nothing was removed. Give it that name again, or remove it by hand",
                                 subject=entry["name"])


def remove_created(record: Record, connection: Any, address: str, reach: Callable[[str], Any]) -> Removed:
    """Drop the recorded databases with their sessions, let empty ones that stepped aside come back, then drop the roles.

    What every role was given is taken from all of them first, a setting only while it has the value that it was given.
    ``address`` is that of the server, ``reach`` connects to a database of it by its name.

    Objects already gone are passed over. Raises :class:`MigrationError` when the
    record is of another server, or when the server refuses; what is still there stays recorded.
    """
    if record.state is None:
        return Removed([], [])
    require_own(record, connection, address)
    if record.state.get("session") != own_session(connection):
        end_session(connection, record.state.get("session"))
    psycopg2 = import_psycopg2()
    changed = [entry for entry in record.objects if _was_changed(connection, entry)]
    removed = Removed([], [CHANGED.format(name=entry["name"]) for entry in changed])
    for entry in sorted(record.objects, key=lambda one: list(REMOVERS).index(one["kind"])):
        try:
            if entry["kind"] == "database":
                _end_following(connection, entry, reach)
            done = entry not in changed and REMOVERS[entry["kind"]](connection, entry)
        except psycopg2.Error as error:
            raise MigrationError(f"{entry['kind']} {entry['name']}, which a restore made, could not be removed: {describe_error(error)}",
                                 subject=entry["name"], removed=removed.names) from None
        removed.names.extend([f"{entry['kind']} {entry['name']}"] if done else [])
        record.forget(entry)
    record.close()
    return removed


FOLLOWING = """
SELECT s.subname AS name FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
WHERE d.datname = %s ORDER BY 1"""
# No event trigger of the database has a word in its removal, and one that was made read-only goes too.
FREELY = """
SELECT pg_catalog.set_config('default_transaction_read_only', 'off', false),
       CASE WHEN r.rolsuper THEN pg_catalog.set_config('session_replication_role', 'replica', false) END
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user"""


def _end_following(connection: Any, entry: dict[str, Any], reach: Callable[[str], Any]) -> None:
    """Drop the subscriptions of a recorded database: with one it cannot be dropped, and they are dropped only from within.

    The publisher is not asked, and the slot there stays: it is the one that the source follows with.
    """
    name = locate(entry, current_databases(connection))
    found = [row["name"] for row in rows(connection, FOLLOWING, (name,))]
    if name is None or not found:
        return
    with contextlib.closing(reach(name)) as inside:
        pin_session(inside)
        with inside.cursor() as cursor:
            cursor.execute(FREELY)
            for one in map(identifier, found):
                for statement in (f"ALTER SUBSCRIPTION {one} DISABLE", f"ALTER SUBSCRIPTION {one} SET (slot_name = NONE)",
                                  f"DROP SUBSCRIPTION {one}"):
                    cursor.execute(statement)


def _drop_database(connection: Any, entry: dict[str, Any]) -> bool:
    name = locate(entry, current_databases(connection))
    if name is None:
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {identifier(name)} IS_TEMPLATE FALSE")
        if connection.server_version >= 130000:
            cursor.execute(f"DROP DATABASE {identifier(name)} WITH (FORCE)")
            return True
        cursor.execute(f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS FALSE")
        cursor.execute("SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = %s", (name,))
        cursor.execute(f"DROP DATABASE {identifier(name)}")
    return True


def _bring_back(connection: Any, entry: dict[str, Any]) -> bool:
    found = current_databases(connection)
    name = locate(entry, found)
    if name is None or name == entry["name"]:
        return False
    if entry["name"] in found:
        raise MigrationError(f"the empty database {entry['name']} cannot take its name back: another one has it", subject=entry["name"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {identifier(name)} RENAME TO {identifier(entry['name'])}")
    return True


def _drop_role(connection: Any, entry: dict[str, Any]) -> bool:
    found = rows(connection, "SELECT rolname AS name FROM pg_catalog.pg_roles WHERE oid = %s AND rolname = %s",
                 (entry["identity"], entry["name"]))
    if not found:
        return False
    held = rows(connection, PARAMETERS, (entry["identity"],)) if connection.server_version >= 150000 else []
    with connection.cursor() as cursor:
        for one in held:
            cursor.execute(f"REVOKE ALL ON PARAMETER {parameter(one['name'])} FROM {identifier(entry['name'])}")
        cursor.execute(f"DROP ROLE {identifier(entry['name'])}")
    return True


PARAMETERS = """
SELECT DISTINCT p.parname AS name FROM pg_catalog.pg_parameter_acl p, pg_catalog.aclexplode(p.paracl) a WHERE a.grantee = %s"""
MEMBERSHIP = """
SELECT 1 AS one FROM pg_catalog.pg_auth_members a
JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
JOIN pg_catalog.pg_roles g ON g.oid = a.grantor WHERE r.rolname = %s AND m.rolname = %s AND g.rolname = current_user"""


def _end_membership(connection: Any, entry: dict[str, Any]) -> bool:
    if not rows(connection, MEMBERSHIP, (entry["name"], entry["member"])):
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"REVOKE {identifier(entry['name'])} FROM {identifier(entry['member'])}")
    return True


EVERYBODY = {
    "setting": "SELECT 1 AS one FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) v WHERE s.setdatabase = 0"
               " AND s.setrole = 0 AND pg_catalog.split_part(v, '=', 1) = %(name)s",
    "parameter": "SELECT 1 AS one FROM pg_catalog.pg_parameter_acl p, pg_catalog.aclexplode(p.paracl) a WHERE a.grantee = 0"
                 " AND p.parname = %(name)s AND a.privilege_type = %(privilege)s",
}


# The value may be a secret: only its digest leaves the server.
SETTING = """
SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(v, 'UTF8')), 'hex') AS seal
FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) v
WHERE s.setdatabase = 0 AND s.setrole = 0 AND pg_catalog.split_part(v, '=', 1) = %s"""
CHANGED = "setting {name} for every role: it was changed since the restore gave it, and stays"


def setting_seal(connection: Any, name: str) -> str | None:
    """A digest of what the setting ``name`` of every role is now, None when there is none."""
    found = rows(connection, SETTING, (name,))
    return found[0]["seal"] if found else None


def _was_changed(connection: Any, entry: dict[str, Any]) -> bool:
    """Whether a recorded setting has another value by now. One without a digest was about to be given when the worker died."""
    return entry["kind"] == "setting" and entry["identity"] is not None and setting_seal(connection, entry["name"]) not in (
        None, entry["identity"])


def _take_from_everybody(connection: Any, entry: dict[str, Any]) -> bool:
    if not rows(connection, EVERYBODY[entry["kind"]], entry):
        return False
    name = parameter(entry["name"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE ALL RESET {name}" if entry["kind"] == "setting" else
                       f"REVOKE {entry['privilege']} ON PARAMETER {name} FROM PUBLIC")
    return True


# In the order in which it has to go.
REMOVERS = {"setting": _take_from_everybody, "parameter": _take_from_everybody,
            "database": _drop_database, "aside": _bring_back, "membership": _end_membership, "role": _drop_role}
