# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that can be known about both servers, the tools and the backup's place before anything changes."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import Seal
from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id
from ansible_collections.dihya.migration.plugins.module_utils._postgres import preflight as rules
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import SERVICE_ROLES
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import check_leave_out
from ansible_collections.dihya.migration.plugins.module_utils._postgres.collations import refused_locales
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    database_argument,
    describe_error,
    import_psycopg2,
    libpq_environment,
    passfile_line,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import identifier, read_globals, rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.long_rows import long_rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.managed_facts import closed_extensions, managed_facts
from ansible_collections.dihya.migration.plugins.module_utils._postgres.needs import read_needs, read_offer
from ansible_collections.dihya.migration.plugins.module_utils._postgres.pinned import pinned, refused
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_space import drill_needs, room
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import problems
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import (
    count_objects,
    own_settings,
    read_relations,
    read_server,
    resolve_databases,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import NEEDED, tool_version
from ansible_collections.dihya.migration.plugins.module_utils._postgres.value_facts import callers, dictionaries

DUMPERS = ("pg_dump", "pg_dumpall")  # these must know the source, the others the target
OURS = "dihya"  # sessions of ours bear application names that begin so
CLIENTS = """
SELECT DISTINCT usename AS "user", application_name, coalesce(client_addr::text, 'local') AS client_addr
FROM pg_catalog.pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usesysid IS NOT NULL
AND pid <> pg_catalog.pg_backend_pid() AND application_name !~ '^dihya(/|$)' ORDER BY 1, 2, 3"""
PENDING = """
SELECT 'prepared transaction' AS kind, gid AS name FROM pg_catalog.pg_prepared_xacts
UNION ALL SELECT 'replication slot', slot_name FROM pg_catalog.pg_replication_slots
UNION ALL SELECT 'standby', application_name FROM pg_catalog.pg_stat_replication
UNION ALL SELECT 'tablespace', spcname FROM pg_catalog.pg_tablespace WHERE spcname !~ '^pg_' ORDER BY 1, 2"""
TABLESPACES = "SELECT spcname AS name, pg_catalog.has_tablespace_privilege(oid, 'CREATE') AS may FROM pg_catalog.pg_tablespace"
SUBSCRIPTIONS = "SELECT 'subscription' AS kind, subname AS name, subenabled AS enabled FROM pg_catalog.pg_subscription WHERE subdbid = " \
                "(SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
# Its launcher connects to the database whose jobs it runs, whether the extension is made there or not.
SCHEDULERS = "SELECT DISTINCT backend_type AS name FROM pg_catalog.pg_stat_activity WHERE datname = current_database()" \
             " AND backend_type ~ '^pg_cron'"
UNREADABLE = """
SELECT n.nspname || '.' || c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'S') AND c.relpersistence <> 't'
AND NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT')
AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))
UNION ALL SELECT 'large object ' || l.oid FROM pg_catalog.pg_largeobject_metadata l
WHERE NOT pg_catalog.pg_has_role(l.lomowner, 'USAGE') AND NOT pg_catalog.current_setting('lo_compat_privileges')::bool
AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT'
                AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))) ORDER BY 1"""
# Security releases of 2026 keep a column's version among its options, for want of another place (pg_attver). A pg_dump that
# does not know of it writes it into the dump, and a server that does not know it refuses to restore the table.
COLUMN_OPTIONS = """
SELECT pg_catalog.split_part(o, '=', 1) AS option, pg_catalog.min(pg_catalog.format('%%I.%%I', n.nspname, c.relname)) AS relation
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
pg_catalog.unnest(a.attoptions) o WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND n.nspname !~ '^pg_'
AND o !~ '^n_distinct' GROUP BY 1 ORDER BY 1""".replace("%%", "%")
# An owner, and whoever has its privileges, sees all rows unless row security is forced.
HIDDEN = """
SELECT n.nspname || '.' || c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND pg_catalog.row_security_active(c.oid) ORDER BY 1"""


@dataclass(frozen=True)
class PreflightRequest:
    """What to look at; the fields are the options of the module."""

    source: Endpoint
    target: Endpoint
    databases: list[str]
    jobs: int = 2
    bin_dir: str | None = None
    dump_bin_dir: str | None = None
    backup_dir: str | None = None
    dumps: int = 1
    copies: Sequence[str] = ()
    drill_dir: str | None = None
    application_name: str = OURS
    known_clients: list[str] = field(default_factory=list)
    seal: Seal | None = None
    identity: str | None = None
    restores: bool = True
    owners: dict[str, str] = field(default_factory=dict)
    service_roles: Sequence[str] = SERVICE_ROLES
    leave_out: Sequence[str] = ()
    tablespaces: dict[str, str] = field(default_factory=dict)
    pin_settings: Sequence[str] = ()
    accept_settings: Sequence[str] = ()
    logins: Mapping[str, Any] = field(default_factory=dict, repr=False)


def gather(request: PreflightRequest) -> dict[str, Any]:
    """The facts from which the findings follow; a side that cannot be reached says why and leaves the other untouched."""
    facts: dict[str, Any] = {
        "wanted": request.databases, "jobs": request.jobs, "cores": os.cpu_count() or 1, "known_clients": request.known_clients,
        "tools": {name: _tool(name, request.dump_bin_dir if name in DUMPERS and request.dump_bin_dir else request.bin_dir)
                  for name in NEEDED},
        "backup": look_at_directory(request.backup_dir) if request.backup_dir else None, "dumps": request.dumps,
        "copies": [look_at_directory(path) for path in request.copies],
        "drill": look_at_directory(request.drill_dir) if request.drill_dir else None,
        "sealing": problems(request.seal, request.identity, needed=request.restores),
        "logins": list(request.logins), "leave_out": request.leave_out, "tablespaces": request.tablespaces,
        "pins": request.pin_settings, "accepted": request.accept_settings,
    }
    connections: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        for side, endpoint in (("source", request.source), ("target", request.target)):
            facts[side], connection = _side(stack, endpoint, request)
            connections[side] = connection
        facts["same_server"] = _is_same(connections["source"], connections["target"])
        # Never tried on the source: it would use up a transaction number and so move the fence.
        facts["target"]["create_role"] = (facts["target"]["reachable"] and not facts["target"]["standby"]
                                          and not facts["same_server"] and _try_create_role(connections["target"]))
        if facts["source"]["reachable"]:
            facts["source"]["contents"] = _contents(request.source, facts["source"], request.databases, request.application_name)
            facts["written_options"] = _written_options(request, facts)
            facts["target"]["refused_options"] = [option for option in facts["written_options"] if connections["target"] is not None
                                                  and not _takes_option(connections["target"], option)]
        if facts["source"]["reachable"] and connections["target"] is not None and not facts["same_server"]:
            facts["managed"] = managed_facts(
                request.source, request.target, connections["target"], facts, owners=request.owners,
                service_roles=request.service_roles, leave_out=request.leave_out,
                passwords={role: str(password) for role, password in request.logins.items()}, application_name=request.application_name)
            facts["target"]["superuser_only"] = closed_extensions(facts["source"]["contents"], facts["target"], connections["target"],
                                                                  request.leave_out)
            facts["target"]["refused_locales"] = refused_locales(connections["target"], facts["source"]["contents"].values(),
                                                                 facts["target"]["collations"])
            if not facts["target"]["standby"]:
                facts["target"]["refused_pins"] = refused(
                    connections["target"], pinned(request.pin_settings, facts["source"]["server"]["settings"]))
    if facts["target"]["reachable"]:
        names = list(facts["source"].get("contents", {})) or [name for name in request.databases if name != "all"]
        present = [frame["name"] for frame in facts["target"]["globals"]["databases"] if frame["name"] in names]
        facts["target"]["objects"] = {name: _objects(request.target, name, request.application_name) for name in present}
    return facts


def look_at_directory(path: str) -> dict[str, Any]:
    """``free`` bytes and ``device`` of the file system for ``path``, which need not exist; ``error`` when it cannot be written."""
    existing = os.path.abspath(path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    facts: dict[str, Any] = {"path": path, "existing": existing, "error": None, "free": 0, "device": None}
    try:
        space = os.statvfs(existing)
        facts.update(free=space.f_bavail * space.f_frsize, device=os.stat(existing).st_dev)
        with tempfile.TemporaryDirectory(prefix=".dihya-", dir=existing):
            pass
    except OSError as error:
        facts["error"] = error.strerror
    return facts


def _tool(name: str, bin_dir: str | None) -> dict[str, str]:
    try:
        return {"version": tool_version(name, bin_dir)}
    except MigrationError as error:
        return {"error": error.message}


def _side(stack: contextlib.ExitStack, endpoint: Endpoint, request: PreflightRequest) -> tuple[dict[str, Any], Any]:
    facts: dict[str, Any] = {"name": str(endpoint), "user": endpoint.user, "dbname": endpoint.dbname, "reachable": False}
    try:
        connection = connect(endpoint, application_name=request.application_name)
    except MigrationError as error:
        return dict(facts, error=error.message, kind=error.facts.get("kind")), None
    stack.callback(connection.close)
    psycopg2 = import_psycopg2()
    try:
        # Before pinning: what a session of the application would get.
        server = {**read_server(connection), "own": own_settings(connection)}
        pin_session(connection)
        facts.update(
            server=server, globals=read_globals(connection), clients=rows(connection, CLIENTS), pending=rows(connection, PENDING),
            tablespaces={row["name"]: row["may"] for row in rows(connection, TABLESPACES)},
            **read_offer(connection, endpoint, server),
            standby=rows(connection, "SELECT pg_catalog.pg_is_in_recovery() AS is")[0]["is"], reachable=True)
    except psycopg2.Error as error:
        return dict(facts, reachable=False, error=f"{endpoint} could not be read: {describe_error(error)}", kind="read"), None
    return facts, connection


def _contents(endpoint: Endpoint, side: dict[str, Any], wanted: list[str], application_name: str) -> dict[str, Any]:
    """What the chosen databases that exist hold, by name; the missing ones are a finding, not an error."""
    frames = side["globals"]["databases"]
    existing = {frame["name"] for frame in frames if frame["allow_connections"]}
    names = resolve_databases(frames, ["all"], []) if wanted == ["all"] else sorted(existing & set(wanted))
    contents: dict[str, Any] = {}
    psycopg2 = import_psycopg2()
    for name in names:
        try:
            with contextlib.closing(connect(endpoint, name, application_name)) as connection:
                pin_session(connection)
                # Sizes wait for whoever holds a table exclusively: say so instead of hanging.
                rows(connection, "SELECT pg_catalog.set_config('lock_timeout', '10s', false)")
                objects = count_objects(connection)
                if wanted == ["all"] and name == "postgres" and not objects:
                    continue
                contents[name] = {
                    "relations": read_relations(connection), "objects": objects, **read_needs(connection),
                    "callers": callers(connection), "dictionaries": dictionaries(connection),
                    "unreadable": [row["name"] for row in rows(connection, UNREADABLE)],
                    "hidden": [row["name"] for row in rows(connection, HIDDEN)],
                    "subscriptions": rows(connection, SUBSCRIPTIONS), "schedulers": rows(connection, SCHEDULERS),
                    "column_options": rows(connection, COLUMN_OPTIONS), "long_rows": long_rows(connection)}
        except MigrationError as error:
            contents[name] = {"error": error.message}
        except psycopg2.Error as error:
            contents[name] = {"error": f"database {name} could not be read: {describe_error(error)}"}
    return contents


def _objects(endpoint: Endpoint, name: str, application_name: str) -> int | None:
    try:
        with contextlib.closing(connect(endpoint, name, application_name)) as connection:
            pin_session(connection)
            return count_objects(connection)
    except MigrationError:
        return None


def _is_same(source: Any, target: Any) -> bool | None:
    """Whether a lock taken through one connection is seen through the other: then both lead to one server."""
    if source is None or target is None:
        return None
    keys = (secrets.randbelow(2**31), secrets.randbelow(2**31))
    rows(source, "SELECT pg_catalog.pg_advisory_lock(%s, %s)", keys)
    try:
        return bool(rows(target, "SELECT 1 AS one FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = %s::oid"
                         " AND objid = %s::oid AND objsubid = 2", keys))
    finally:
        rows(source, "SELECT pg_catalog.pg_advisory_unlock(%s, %s)", keys)


def _written_options(request: PreflightRequest, facts: dict[str, Any]) -> list[str]:
    """Unusual column options of the source that this pg_dump writes into its dump: found by dumping one such relation."""
    written = []
    seen = {one["option"]: (name, one["relation"]) for name, content in facts["source"]["contents"].items()
            for one in content.get("column_options", [])}
    for option, (database, relation) in seen.items() if "version" in facts["tools"]["pg_dump"] else ():
        with passfile_of(request.source) as endpoint:
            dumped = run([find_tool("pg_dump", request.dump_bin_dir or request.bin_dir), "--schema-only", "--no-password",
                          f"--table={relation}", f"--dbname={database_argument(database)}"],
                         env=libpq_environment(endpoint, request.application_name), check=False, timeout=60)
        if f"SET ({option}=" in dumped.stdout:
            written.append(option)
    return written


@contextlib.contextmanager
def passfile_of(endpoint: Endpoint) -> Iterator[Endpoint]:
    """The endpoint with a passfile: its own, or one with mode 0600 that lives as long as the context."""
    if endpoint.passfile or not endpoint.password:
        yield endpoint
        return
    with tempfile.NamedTemporaryFile("w", prefix="dihya-", encoding="utf-8") as stream:
        stream.write(passfile_line(endpoint.password))
        stream.flush()
        yield replace(endpoint, password=None, passfile=stream.name)


def _takes_option(connection: Any, option: str) -> bool:
    """Whether the target knows a column option: tried on a temporary table that is rolled back."""
    psycopg2 = import_psycopg2()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute("CREATE TEMPORARY TABLE dihya_probe (a int)")
            cursor.execute(f"ALTER TABLE pg_temp.dihya_probe ALTER a SET ({identifier(option)} = 1)")
        except psycopg2.Error:
            return False
        finally:
            cursor.execute("ROLLBACK")
    return True


def _try_create_role(connection: Any) -> bool:
    """Whether a role can be created: really tried, in a transaction that is rolled back."""
    psycopg2 = import_psycopg2()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(f"CREATE ROLE dihya_probe_{secrets.token_hex(6)} NOLOGIN")
        except psycopg2.Error:
            return False
        finally:
            cursor.execute("ROLLBACK")
    return True


def preflight(request: PreflightRequest) -> dict[str, Any]:
    """Look at everything; returns the module's result, in which findings are no failure."""
    started = time.monotonic()
    check_leave_out(request.leave_out)
    facts = gather(request)
    found, plan_ = rules.findings(facts), rules.plan(facts)
    blocking = sum(one["blocking"] for one in found)
    sides = {side: facts[side] for side in ("source", "target") if facts[side]["reachable"]}
    versions = {side: each["server"]["version"] for side, each in sides.items()}
    if "version" in facts["tools"]["pg_dump"]:
        versions["client"] = facts["tools"]["pg_dump"]["version"]
    identity = {side: {"system_identifier": each["server"]["system_identifier"], "name": each["name"]} for side, each in sides.items()}
    total = round(sum(one["seconds"] for one in plan_), 1)
    summary = f"{len(plan_)} databases looked at: {blocking} findings stand in the way, {len(found) - blocking} more are to be known"
    journal = {"summary": summary, "duration": round(time.monotonic() - started, 3), "changed": False, "plan_seconds": total,
               "versions": versions, "counts": {"databases": len(plan_), "findings": len(found)}, "evidence": _access(facts),
               "not_proved": rules.not_proved(facts),
               "identities": sorted({f"PostgreSQL server {each['system_identifier'] or each['name']}" for each in identity.values()})}
    return {"changed": False, "msg": summary, "findings": found, "plan": plan_, "databases": sorted(facts["source"].get("contents", {})),
            "versions": versions, "identity": identity, "clients": facts["source"].get("clients", []), "seconds": total,
            "expected": drill_needs(facts), "room": room(facts, boot_id()), "journal": journal}


def _access(facts: dict[str, Any]) -> list[dict[str, str]]:
    """Evidence for the checklist's item ``access``: only what was really tried."""
    source, target = facts["source"], facts["target"]
    if not (source["reachable"] and target["reachable"] and source["contents"]):
        return []
    login = target["server"]["login"]
    may_read = all("error" not in one and not one["unreadable"] and not one["hidden"] for one in source["contents"].values())
    may_create = target["create_role"] and (login["superuser"] or login["createdb"])
    tables = sum(len(one["relations"]) for one in source["contents"].values() if "error" not in one)
    return [{"item": "access", "verdict": "proved" if may_read and may_create else "failed",
             "observed": f"{source['user']} logged in to {source['name']} and holds the right to read {tables} relations; {target['user']} "
                         f"logged in to {target['name']} and created a role in a transaction that was rolled back"
             if may_read and may_create else "a login lacks privileges, see the findings"}]
