# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore a backup into new databases, or remove exactly what a restore made.

A database is filled under a random name that nobody else knows and takes its own name only when it is complete, so
that a failure, even of the worker itself, never shows a partial database and never touches one that was there.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import assumed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import check_leave_out
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import cluster
from ansible_collections.dihya.migration.plugins.module_utils._postgres.created import Record
from ansible_collections.dihya.migration.plugins.module_utils._postgres.discarded import count_discarded
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    connect,
    describe_error,
    import_psycopg2,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import (
    create_database,
    frame_statements,
    identifier,
    read_globals,
    rows,
    set_statements,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.limits import adaptation_to
from ansible_collections.dihya.migration.plugins.module_utils._postgres.load import Load
from ansible_collections.dihya.migration.plugins.module_utils._postgres.load_settings import QUIET, load_settings
from ansible_collections.dihya.migration.plugins.module_utils._postgres.pinned import pinned
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import without_counterpart
from ansible_collections.dihya.migration.plugins.module_utils._postgres.remove import (
    Removed,
    current_databases,
    own_session,
    remove_created,
    require_own,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_check import look, old_tools
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_plan import DatabasePlan, RestorePlan, plan_restore
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import Backup, RestoreRequest, open_backup
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_roles import (
    assume,
    create_roles,
    execute,
    give_everybody,
    refuse_closed,
    without_password,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import in_use
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import count_objects, read_server
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import tool_version
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

ASIDE = "the empty database {name} of before, which is called {other} now"


def restore(request: RestoreRequest, check_mode: bool = False) -> dict[str, Any]:
    """Make the databases and roles of the backup on the target; returns the module's result."""
    started = time.monotonic()
    progress = Progress(request.progress_file, "checking the backup")
    versions = {"pg_restore": tool_version("pg_restore", request.bin_dir)}
    check_leave_out(request.leave_out)
    backup = open_backup(request.backup or "", request.identity)
    record = Record(request.created_file)
    with in_use(backup.directory), _session(request) as connection:
        server = read_server(connection)
        versions["target"] = server["version"]
        if _is_done(record, backup, connection, server, request):
            return _result(record, None, False, started, versions, "already restored from this backup")
        if record.state is not None and record.state["complete"]:
            raise MigrationError(f"{request.created_file} records another restore: remove that one first (state absent)",
                                 subject="created_file")
        removed = _remove(request, record, connection).names if record.state is not None and not check_mode else []
        if request.roles != "skip":
            backup = backup.adapted(adaptation_to(connection, backup.manifest["capture"], owners=request.owners,
                                                  service_roles=request.service_roles, leave_out=request.leave_out))
        plan = make_plan(request, backup, connection, server, versions["pg_restore"])
        needed = {} if request.roles == "skip" else assumed(backup.manifest["capture"], [one.source for one in plan.databases])
        refuse_closed(needed, plan, connection, backup.change.limits)
        if check_mode:
            return {"changed": True, "msg": f"would restore {len(plan.databases)} databases", "not_proved": plan.unproved,
                    "diff": {"before": "", "after": plan.text()}}
        private_directory(os.path.dirname(os.path.abspath(request.created_file)))
        record.open(server["system_identifier"], str(request.target), backup.seal, session=own_session(connection),
                    databases={one.source: one.name for one in plan.databases})
        try:
            create_roles(backup.globals, plan, record, connection, request.target)
            assume(set().union(*needed.values()), plan, record, connection, backup.change.limits)
            _apply(request, backup, plan, record, connection, server, progress)
        except BaseException as error:
            raise _undone(error, request, record) from error
    result = _result(record, plan, True, started, versions, "restored")
    return dict(result, leftovers_removed=removed)


def absent(request: RestoreRequest, check_mode: bool = False) -> dict[str, Any]:
    """Remove what ``created_file`` records and nothing else; returns the module's result."""
    started = time.monotonic()
    record = Record(request.created_file)
    if record.state is None:
        return {"changed": False, "msg": "nothing is recorded as created", "removed": [],
                "journal": {"summary": "Nothing was created on the target.", "changed": False, "duration": 0.0}}
    with _session(request) as connection:
        require_own(record, connection, str(request.target))
        if check_mode:
            names = [f"{entry['kind']} {entry['name']}" for entry in record.objects]
            return {"changed": True, "msg": "would remove " + ", ".join(names), "removed": names,
                    "diff": {"before": "".join(name + "\n" for name in names), "after": ""}}
        counted = {"discarded": count_discarded(request, record, connection)} if request.baseline else {}
        removed, left = _remove(request, record, connection)
    summary = f"{len(removed)} objects that the restore had made were removed from the target"
    journal = {"summary": summary, "changed": True, "duration": round(time.monotonic() - started, 3), "counts": {"objects": len(removed)},
               "skipped": left}
    return {"changed": True, "msg": summary, "removed": removed, "left": left, **counted, "journal": {**journal, **counted}}


def make_plan(request: RestoreRequest, backup: Backup, connection: Any, server: dict[str, Any], pg_restore: str) -> RestorePlan:
    """Read what the target holds and plan; nothing is changed. Raises with everything that stands against it."""
    target = read_globals(connection)
    names = {frame["name"] for frame in target["databases"] if frame["allow_connections"]}
    wanted = {request.rename.get(name, name) for name in request.databases or backup.manifest["databases"]}
    objects: dict[str, int | None] = {}
    for name in sorted(names & wanted):
        with contextlib.closing(connect(request.target, name, request.application_name)) as other:
            pin_session(other)
            objects[name] = count_objects(other)
    found = look(request, backup, connection, server, {role["name"] for role in target["roles"]})
    against = [*old_tools(backup.manifest, pg_restore), *(f"{one['finding']}: {one['remedy']}" for one in found if one["blocking"])]
    plan = plan_restore(backup.manifest, backup.globals, target, objects,
                        wanted=request.databases, rename=request.rename, roles=request.roles, against=against)
    plan = plan.beside(backup.manifest["capture"], cluster(connection, []), request.roles)
    silent = [f"password of role {name}: to be set anew, until then it cannot log in with one"
              for name in without_password(plan.roles, request.target)]
    astray = [f"tablespace {name} of database {one.source}: what lay there lies in the default one" for one in plan.databases
              for name in without_counterpart(backup.placed(one.source), request.tablespaces)]
    return replace(plan, left=[*plan.left, *backup.left, *silent, *astray], unproved=[one["finding"] for one in found])


@contextlib.contextmanager
def _session(request: RestoreRequest) -> Iterator[Any]:
    psycopg2 = import_psycopg2()
    with contextlib.closing(connect(request.target, application_name=request.application_name)) as connection:
        try:
            pin_session(connection)
            superuser = rows(connection, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")[0]["rolsuper"]
            wanted = QUIET if superuser else {"createrole_self_grant": "set, inherit"}
            rows(connection, "SELECT pg_catalog.set_config(name, %s::jsonb ->> name, false) FROM pg_catalog.pg_settings"
                 " WHERE name = ANY (%s)", (json.dumps(wanted), list(wanted)))
            yield connection
        except psycopg2.Error as error:
            raise MigrationError(f"the target {request.target} refused: {describe_error(error)}") from None


def _apply(request: RestoreRequest, backup: Backup, plan: RestorePlan, record: Record, connection: Any, server: dict[str, Any],
           progress: Progress) -> None:
    version, superuser = server["version_num"], server["login"]["superuser"]
    frames = {frame["name"]: frame for frame in backup.globals["databases"]}
    entries: dict[str, dict[str, Any]] = {}
    loading = load_settings(server["settings"], request.jobs, version)
    for one in plan.databases:
        working = f"dihya-{secrets.token_hex(8)}"
        entries[one.source] = {"kind": "database", "name": one.name, "working_name": working, "identity": None}
        record.add(entries[one.source])
        owner = None if request.roles == "skip" else frames[one.source]["owner"]
        own = request.tablespaces.get(backup.placed(one.source)["own"])
        execute(connection, [create_database(frames[one.source], working, owner, version, superuser, own)], f"database {one.name}")
        record.update(entries[one.source], identity=current_databases(connection)[working])
        execute(connection, set_statements(_ours(working), loading), f"database {one.name}")
    working_names = {name: entry["working_name"] for name, entry in entries.items()}
    Load(request, backup, plan, working_names, superuser).run(progress)
    pins = pinned(request.pin_settings, backup.manifest["server"]["settings"])
    known = set() if request.roles == "skip" else {role["name"] for role in read_globals(connection)["roles"]}
    for one in plan.databases:
        working = entries[one.source]["working_name"]
        execute(connection, [f"{_ours(working)} RESET ALL"]
                + set_statements(f"ALTER DATABASE {identifier(working)}", pins)
                + frame_statements(backup.globals, frames[one.source], working, known, not superuser and bool(known)),
                f"settings and privileges of database {one.name}")
        _publish(connection, record, one, working)
    give_everybody(plan, record, connection)
    record.complete(settled=request.settles(backup))


def _ours(database: str) -> str:
    """The begin of a statement on the settings of our sessions in ``database``, above which neither server nor login has any."""
    return f"ALTER ROLE CURRENT_USER IN DATABASE {identifier(database)}"


def _publish(connection: Any, record: Record, one: DatabasePlan, working: str) -> None:
    """Give a complete database its name; an empty one that has it steps aside and comes back when ours is removed."""
    if one.aside:
        aside = f"{one.name[:40]}.empty-{secrets.token_hex(4)}"
        record.add({"kind": "aside", "name": one.name, "working_name": aside, "identity": current_databases(connection)[one.name]})
        execute(connection, [f"ALTER DATABASE {identifier(one.name)} RENAME TO {identifier(aside)}"], f"the empty database {one.name}")
    execute(connection, [f"ALTER DATABASE {identifier(working)} RENAME TO {identifier(one.name)}"], f"database {one.name}")


def _is_done(record: Record, backup: Backup, connection: Any, server: dict[str, Any], request: RestoreRequest) -> bool:
    if record.state is None or not record.state["complete"] or record.state["backup"] not in (backup.seal, backup.file_seal):
        return False
    wanted = {name: request.rename.get(name, name) for name in request.databases or backup.manifest["databases"]}
    found = current_databases(connection)
    return (record.is_of(server["system_identifier"], str(request.target)) and record.state["databases"] == wanted
            and all(found.get(entry["name"]) == entry["identity"] for entry in record.objects if entry["kind"] == "database"))


def _remove(request: RestoreRequest, record: Record, connection: Any) -> Removed:
    return remove_created(record, connection, str(request.target), lambda name: connect(request.target, name, request.application_name))


def _undone(error: BaseException, request: RestoreRequest, record: Record) -> BaseException:
    """``error``, after everything that was made is removed again; what could not be is named in its message."""
    psycopg2 = import_psycopg2()
    if isinstance(error, psycopg2.Error):
        error = MigrationError(f"the target refused: {describe_error(error)}")
    try:
        with _session(request) as connection:  # the first one may be in a broken transaction
            _remove(request, record, connection)
    except MigrationError as second:
        return MigrationError(f"{getattr(error, 'message', type(error).__name__)}; what was made could not be removed "
                              f"({second.message}): run again with state absent", created_file=request.created_file)
    return error


def _result(record: Record, plan: RestorePlan | None, changed: bool, started: float, versions: dict[str, str],
            reason: str) -> dict[str, Any]:
    if record.state is None:
        raise AssertionError("record.state is set before")
    created = [{"kind": entry["kind"], "name": entry["name"], "identity": str(entry["identity"])} for entry in record.objects
               if entry["kind"] in ("database", "role")]
    counts = {kind + "s": sum(entry["kind"] == kind for entry in created) for kind in ("database", "role")}
    summary = f"{counts['databases']} databases and {counts['roles']} roles: {reason}"
    duration = round(time.monotonic() - started, 3)
    journal = {"summary": summary, "changed": changed, "duration": duration, "counts": counts, "created": created, "versions": versions}
    left = [*(plan.left if plan else []), *(ASIDE.format(name=entry["name"], other=entry["working_name"])
                                            for entry in record.objects if entry["kind"] == "aside")]
    if left:
        journal["skipped"] = left
    if plan is not None and plan.unproved:
        journal["not_proved"] = plan.unproved
    return {"changed": changed, "msg": summary, "databases": record.state["databases"], "created": created, "counts": counts,
            "settled": record.state.get("settled", False), "existing_roles": plan.existing_roles if plan else [],
            "left": left, "not_proved": plan.unproved if plan else [], "duration": duration, "versions": versions,
            "journal": journal}
