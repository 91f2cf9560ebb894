# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Facts of one server and of one database on it, read with plain queries that change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows

# Settings under which the same statement means another value: they do not travel in a dump.
MEANING = ("TimeZone", "DateStyle", "IntervalStyle", "lc_monetary", "lc_numeric", "lc_time", "default_text_search_config",
           "default_transaction_isolation", "search_path", "xmlbinary", "xmloption", "bytea_output", "standard_conforming_strings",
           "array_nulls", "transform_null_equals", "timezone_abbreviations")
# Settings that change how long something may take, how the server speaks and how it keeps new passwords, but no value. Servers before
# 12 print fewer digits by default.
CONDUCT = ("lc_messages", "extra_float_digits", "password_encryption", "statement_timeout", "lock_timeout",
           "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")
# Settings of which the target needs no less than the source.
CAPACITY = ("max_connections", "max_locks_per_transaction", "max_prepared_transactions", "max_worker_processes", "max_replication_slots",
            "max_wal_senders", "shared_buffers", "work_mem", "maintenance_work_mem", "wal_level")
# Where pg_settings says that a value is from, when it is that of this session alone.
OWN = ("user", "database", "database user", "client")
PLACE = ("server_encoding", "data_directory")

# Objects that somebody made: nothing of the system, of an extension, or of a session.
USER_RELATIONS = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.relpersistence::text AS persistence,
       pg_catalog.pg_table_size(c.oid) AS bytes, pg_catalog.pg_indexes_size(c.oid) AS index_bytes
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2"""
OBJECTS = """
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S')
          AND c.relpersistence <> 't')
     + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc WHERE oid >= 16384)
     + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_type WHERE oid >= 16384)
     + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_')
     + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_extension WHERE oid >= 16384)
     + (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata) AS objects"""


def lock_room(settings: Mapping[str, str | None]) -> int:
    """How many objects the lock table of a server is made for, from its ``settings`` (manual, Lock Management)."""
    return int(settings["max_locks_per_transaction"] or 0) * sum(
        int(settings.get(each) or 0) for each in ("max_connections", "max_prepared_transactions"))


def system_identifier(connection: Any) -> str | None:
    """The cluster's identifier, None where the login may not read it; a physical copy has the same one."""
    psycopg2 = import_psycopg2()
    try:
        return str(rows(connection, "SELECT system_identifier FROM pg_catalog.pg_control_system()")[0]["system_identifier"])
    except psycopg2.Error:
        if connection.closed:  # it was never asked
            raise
        return None


def read_server(connection: Any) -> dict[str, Any]:
    """``version``, ``version_num``, ``system_identifier``, ``settings`` and what the login may do, of a cluster."""
    settings = rows(connection, "SELECT name, reset_val AS value FROM pg_catalog.pg_settings WHERE name = ANY (%s)",
                    ([*MEANING, *CONDUCT, *CAPACITY, *PLACE],))
    login = rows(connection, """
        SELECT r.rolname AS name, r.rolsuper AS superuser, r.rolcreatedb AS createdb, r.rolcreaterole AS createrole
        FROM pg_catalog.pg_roles r WHERE r.rolname = current_user""")[0]
    return {
        "version": connection.get_parameter_status("server_version").split()[0],
        "version_num": connection.server_version,
        "system_identifier": system_identifier(connection),
        "settings": {row["name"]: row["value"] for row in settings},
        "login": login,
    }


def own_settings(connection: Any) -> list[str]:
    """The settings with a meaning that the login has for itself, by its role, its database or its environment.

    Others get another value, which it cannot see. Asked before the session was given values of ours; psycopg2 gives it one, which is
    taken back.
    """
    with connection.cursor() as cursor:
        cursor.execute("RESET DateStyle")
    return [row["name"] for row in rows(connection, "SELECT name FROM pg_catalog.pg_settings WHERE name = ANY (%s) AND source = ANY (%s)",
                                        (list(MEANING), list(OWN)))]


def read_relations(connection: Any) -> list[dict[str, Any]]:
    """The relations of one database that a user made, with their sizes in bytes."""
    return rows(connection, USER_RELATIONS)


def count_objects(connection: Any) -> int:
    """How many relations, functions, types, schemas, extensions and large objects of users the database holds."""
    return int(rows(connection, OBJECTS)[0]["objects"])


def require_named(wanted: Sequence[str]) -> None:
    """Raise :class:`MigrationError` when ``wanted`` names nothing: what is done with no database succeeds and proves nothing."""
    if not wanted:
        raise MigrationError("no database is named: name those that are meant, or say all", subject="databases")


def resolve_databases(frames: list[dict[str, Any]], wanted: list[str], empty: list[str]) -> list[str]:
    """The names meant by ``wanted`` (names, or ``['all']``), sorted; ``all`` leaves out templates and those in ``empty``.

    Raises :class:`MigrationError` naming every database that is missing or cannot be connected to, and when none is named.
    """
    require_named(wanted)
    names = {frame["name"]: frame for frame in frames}
    if wanted == ["all"]:
        return sorted(name for name, frame in names.items()
                      if frame["allow_connections"] and not frame["is_template"] and name not in empty)
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise MigrationError(f"no such database on the source: {', '.join(missing)}", missing=missing)
    closed = sorted(name for name in set(wanted) if not names[name]["allow_connections"])
    if closed:
        raise MigrationError(f"the source allows no connection to: {', '.join(closed)}", closed=closed)
    return sorted(set(wanted))
