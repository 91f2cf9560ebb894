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
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import opening, refuse
from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish
from ansible_collections.dihya.migration.plugins.module_utils._manifest import NAME, damaged_files, read_manifest, sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import (
    SERVICE_ROLES,
    Adaptation,
    adapt_capture,
    adapt_globals,
    assumed,
    left_members,
    not_carried,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import check_leave_out, listed, without
from ansible_collections.dihya.migration.plugins.module_utils._postgres.created import Record
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import KIND, plan_workers
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    database_argument,
    describe_error,
    import_psycopg2,
    libpq_environment,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import (
    create_database,
    frame_statements,
    identifier,
    read_globals,
    rows,
    set_statements,
    with_capture,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.limits import adaptation_to
from ansible_collections.dihya.migration.plugins.module_utils._postgres.load_settings import load_settings
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import moves, nothing_placed, without_counterpart
from ansible_collections.dihya.migration.plugins.module_utils._postgres.remove import current_databases, own_session, remove_created
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_plan import DatabasePlan, RestorePlan, plan_restore
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_roles import (
    assume,
    create_roles,
    execute,
    refuse_closed,
    without_password,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import in_use
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import problems, read_part
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import count_objects, read_server
from ansible_collections.dihya.migration.plugins.module_utils._postgres.settle import settle
from ansible_collections.dihya.migration.plugins.module_utils._postgres.statistics import analyze
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import Work, run_all, tool_version
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

# Statements of a restore hold rows and password hashes, and the server's log keeps failed ones: quiet, where we may.
QUIET = {"log_statement": "none", "log_min_error_statement": "panic", "log_min_duration_statement": "-1",
         "log_min_duration_sample": "-1", "pg_stat_statements.track": "none"}


@dataclass(frozen=True)
class RestoreRequest:
    """What a restore is asked for; the fields are the options of the module."""

    target: Endpoint
    created_file: str
    backup: str | None = None
    identity: str | None = None
    databases: list[str] | None = None
    rename: dict[str, str] = field(default_factory=dict)
    roles: str = "restore"
    pin_settings: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    service_roles: Sequence[str] = SERVICE_ROLES
    leave_out: Sequence[str] = ()
    tablespaces: dict[str, str] = field(default_factory=dict)
    jobs: int = 2
    bin_dir: str | None = None
    progress_file: str | None = None
    application_name: str = "dihya"

    def log(self, name: str) -> str:
        """The 0600 file that keeps what the tool ``name`` prints."""
        return f"{os.path.splitext(self.progress_file or self.created_file)[0]}.{name}.log"


@dataclass(frozen=True)
class Backup:
    """A backup whose every file is as it was written; ``seal`` is the SHA-256 of its manifest.

    ``change`` is how it was adapted to its target, ``left`` names what stays behind for that.
    """

    directory: str
    seal: str
    manifest: dict[str, Any]
    globals: dict[str, Any]
    change: Adaptation = Adaptation()
    left: tuple[str, ...] = ()

    def adapted(self, change: Adaptation) -> Backup:
        """The backup as its target is to be."""
        taken = self.manifest["capture"]
        manifest = dict(self.manifest, capture=adapt_capture(taken, change))
        left = tuple(subject for _kind, subject in not_carried(taken, change))
        return replace(self, manifest=manifest, globals=adapt_globals(self.globals, change), change=change, left=left)


def open_backup(directory: str, identity: str | None = None) -> Backup:
    """Read a backup and check every file of it; raises :class:`MigrationError` naming the damaged ones.

    ``identity`` is the file that opens an encrypted one.
    """
    manifest = read_manifest(directory, KIND)
    if manifest.get("archive") not in ("directory", "sealed"):
        raise MigrationError(f"{directory} is a backup of format {manifest.get('archive')}: restore its backup.sql with "
                             "psql -v ON_ERROR_STOP=1", subject="backup")
    damaged = damaged_files(directory, manifest["files"])
    if damaged:
        raise MigrationError(f"the backup {directory} is damaged, nothing was restored: {', '.join(damaged[:5])}"
                             + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""), damaged=damaged, subject="backup")
    refuse(problems(None, identity if manifest.get("encryption") else None))
    manifest["capture"] = read_part(directory, manifest, "capture.json", identity)
    source = with_capture(read_part(directory, manifest, "globals.json", identity), manifest["capture"])
    return Backup(directory, sha256_file(os.path.join(directory, NAME)), manifest, source)


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
        removed = remove_created(record, connection, server) if record.state is not None and not check_mode else []
        if request.roles != "skip":
            backup = backup.adapted(adaptation_to(connection, backup.manifest["capture"], owners=request.owners,
                                                  service_roles=request.service_roles, leave_out=request.leave_out))
        plan = make_plan(request, backup, connection)
        needed = {} if request.roles == "skip" else assumed(backup.manifest["capture"], [one.source for one in plan.databases])
        refuse_closed(needed, plan, connection, backup.change.limits)
        if check_mode:
            return {"changed": True, "msg": f"would restore {len(plan.databases)} databases", "diff": {"before": "", "after": plan.text()}}
        private_directory(os.path.dirname(os.path.abspath(request.created_file)))
        record.open(server["system_identifier"], backup.seal, databases={one.source: one.name for one in plan.databases},
                    session=own_session(connection))
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
        if check_mode:
            names = [f"{entry['kind']} {entry['name']}" for entry in record.objects]
            return {"changed": True, "msg": "would remove " + ", ".join(names), "removed": names,
                    "diff": {"before": "".join(name + "\n" for name in names), "after": ""}}
        removed = remove_created(record, connection, read_server(connection))
    summary = f"{len(removed)} objects that the restore had made were removed from the target"
    return {"changed": True, "msg": summary, "removed": removed, "journal": {
        "summary": summary, "changed": True, "duration": round(time.monotonic() - started, 3), "counts": {"objects": len(removed)}}}


def make_plan(request: RestoreRequest, backup: Backup, connection: Any) -> RestorePlan:
    """Read what the target holds and plan; nothing is changed."""
    target = read_globals(connection)
    names = {frame["name"] for frame in target["databases"] if frame["allow_connections"]}
    wanted = {request.rename.get(name, name) for name in request.databases or backup.manifest["databases"]}
    objects: dict[str, int | None] = {}
    for name in sorted(names & wanted):
        with contextlib.closing(connect(request.target, name, request.application_name)) as other:
            objects[name] = count_objects(other)
    plan = plan_restore(backup.manifest, backup.globals, target, objects,
                        wanted=request.databases, rename=request.rename, roles=request.roles)
    silent = [f"password of role {name}: to be set anew, until then it cannot log in with one"
              for name in without_password(plan.roles, request.target)]
    astray = [f"tablespace {name} of database {one.source}: what lay there lies in the default one" for one in plan.databases
              for name in without_counterpart(_placed(backup, one.source), request.tablespaces)]
    return replace(plan, left=[*plan.left, *backup.left, *silent, *astray])


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
    loading = load_settings(server["settings"], request.jobs)
    for one in plan.databases:
        working = f"dihya-{secrets.token_hex(8)}"
        entries[one.source] = {"kind": "database", "name": one.name, "working_name": working, "identity": None}
        record.add(entries[one.source])
        owner = None if request.roles == "skip" else frames[one.source]["owner"]
        own = request.tablespaces.get(_placed(backup, one.source)["own"])
        execute(connection, [create_database(frames[one.source], working, owner, version, superuser, own)], f"database {one.name}")
        record.update(entries[one.source], identity=current_databases(connection)[working])
        execute(connection, set_statements(f"ALTER DATABASE {identifier(working)}", loading), f"database {one.name}")
    _fill(request, backup, plan, {name: entry["working_name"] for name, entry in entries.items()}, superuser, progress)
    known = set() if request.roles == "skip" else {role["name"] for role in read_globals(connection)["roles"]}
    for one in plan.databases:
        working = entries[one.source]["working_name"]
        pinned = [f"{name}={backup.manifest['server']['settings'][name]}" for name in request.pin_settings]
        execute(connection, [f"ALTER DATABASE {identifier(working)} RESET ALL"]
                + set_statements(f"ALTER DATABASE {identifier(working)}", pinned)
                + frame_statements(backup.globals, frames[one.source], working, known, not superuser and bool(known)),
                f"settings and privileges of database {one.name}")
        _publish(connection, record, one, working)
    record.complete(settled=_settles(request, backup))


def _settles(request: RestoreRequest, backup: Backup) -> bool:
    """Whether owners and privileges are given from the capture, not by the archive."""
    return request.roles != "skip" and backup.change.needed


def _fill(request: RestoreRequest, backup: Backup, plan: RestorePlan, working: dict[str, str], superuser: bool,
          progress: Progress) -> None:
    environment = libpq_environment(request.target, request.application_name)
    if superuser:
        everywhere = ("log_statement", "log_min_error_statement", "log_min_duration_statement")  # an unknown one would refuse the login
        environment["PGOPTIONS"] = " ".join(f"-c {name}={QUIET[name]}" for name in everywhere)
    by_name = {one.source: one for one in plan.databases}
    ordered = plan_workers({one.source: one.bytes for one in plan.databases}, request.jobs)
    settled = _settles(request, backup)
    bare = ["--no-owner", "--no-privileges"] if request.roles == "skip" or settled else []
    captured = backup.manifest["capture"]
    moved = {name: moves(_placed(backup, name), request.tablespaces) for name in by_name}

    def work(number: int, name: str, workers: int, *sections: str) -> Work:
        path, log = os.path.join(backup.directory, by_name[name].directory), request.log(f"pg_restore.{number}{''.join(sections[:1])}")
        argv = [find_tool("pg_restore", request.bin_dir), "--exit-on-error", "--verbose", "--no-password", "--no-tablespaces", *bare,
                *_chosen(request, backup, name, path, number), *sections, f"--dbname={database_argument(working[name])}"]
        if settled and backup.change.limits.plain:  # what it makes is the database owner's, until it is given to others
            argv.append(f"--role={captured['databases'][name]['owner']}")
        if backup.manifest.get("encryption"):  # a stream: neither parallel nor kept, and its log holds no value of a row
            return Work(opening(path, str(request.identity)), environment, log, f"database {name}", then=argv, harmless=True)
        return Work([*argv, f"--jobs={workers}", path], environment, log, f"database {name}", workers)

    numbered = list(enumerate(ordered, 1))
    empty = [work(number, name, workers, "--section=pre-data") for number, (name, workers) in numbered if moved[name][0]]
    works = [work(number, name, workers, *(("--section=data", "--section=post-data") if moved[name][0] else ()))
             for number, (name, workers) in numbered]
    meter = RestoreMeter([one.log for one in empty + works], progress)
    progress.begin("restore", sum(one.entries for one in plan.databases), "objects")
    run_all(empty, request.jobs, meter.look)
    for name, (tables, _indexes) in moved.items():
        _move(request, working[name], tables, name)
    run_all(works, request.jobs, meter.look)
    for name, (_tables, indexes) in moved.items():
        _move(request, working[name], indexes, name)
    for name in by_name if settled else ():
        settle(request.target, working[name], captured["databases"][name], captured["server_version"], request.application_name)
    progress.begin("statistics", len(works), "databases")
    for name, _workers in ordered:
        analyze(request.target, working[name], f"statistics of database {name}", request.jobs, request.application_name)
        progress.advance(1)


def _placed(backup: Backup, database: str) -> dict[str, Any]:
    """What lies in which tablespace, as it was captured."""
    return backup.manifest["capture"]["databases"][database].get("placed") or nothing_placed()


def _move(request: RestoreRequest, working: str, statements: list[str], database: str) -> None:
    """Move relations to their tablespaces."""
    if statements:
        with contextlib.closing(connect(request.target, working, request.application_name)) as connection:
            execute(connection, statements, f"tablespaces of database {database}")


def _chosen(request: RestoreRequest, backup: Backup, database: str, archive: str, number: int) -> list[str]:
    """The option that leaves out what is not to be restored, with its list in a 0600 file beside the logs."""
    if not request.leave_out:
        return []
    members = left_members(backup.manifest["capture"]["databases"][database], request.leave_out)
    path = os.path.splitext(request.log(f"entries.{number}"))[0]
    listing = listed(archive, bool(backup.manifest.get("encryption")), request.identity, request.bin_dir)
    publish(path, without(listing, request.leave_out, members).encode())
    return [f"--use-list={path}"]


def _publish(connection: Any, record: Record, one: DatabasePlan, working: str) -> None:
    """Give a complete database its name; an empty one that has it steps aside and comes back when ours is removed."""
    if one.aside:
        aside = f"{one.name[:40]}.empty-{secrets.token_hex(4)}"
        record.add({"kind": "aside", "name": one.name, "working_name": aside, "identity": current_databases(connection)[one.name]})
        execute(connection, [f"ALTER DATABASE {identifier(one.name)} RENAME TO {identifier(aside)}"], f"the empty database {one.name}")
    execute(connection, [f"ALTER DATABASE {identifier(working)} RENAME TO {identifier(one.name)}"], f"database {one.name}")


def _is_done(record: Record, backup: Backup, connection: Any, server: dict[str, Any], request: RestoreRequest) -> bool:
    if record.state is None or not record.state["complete"] or record.state["backup"] != backup.seal:
        return False
    wanted = {name: request.rename.get(name, name) for name in request.databases or backup.manifest["databases"]}
    found = current_databases(connection)
    return (record.state["server"] == server["system_identifier"] and record.state["databases"] == wanted
            and all(found.get(entry["name"]) == entry["identity"] for entry in record.objects if entry["kind"] == "database"))


def _undone(error: BaseException, request: RestoreRequest, record: Record) -> BaseException:
    """``error``, after everything that was made is removed again; what could not be is named in its message."""
    psycopg2 = import_psycopg2()
    if isinstance(error, psycopg2.Error):
        error = MigrationError(f"the target refused: {describe_error(error)}")
    try:
        with _session(request) as connection:  # the first one may be in a broken transaction
            remove_created(record, connection, read_server(connection))
    except MigrationError as second:
        return MigrationError(f"{getattr(error, 'message', type(error).__name__)}; what was made could not be removed "
                              f"({second.message}): run again with state absent", created_file=request.created_file)
    return error


class RestoreMeter:
    """Counts what pg_restore says it begins."""

    BEGUN = re.compile(r"^pg_restore: (?:creating|processing data for|executing) ", re.MULTILINE)

    def __init__(self, logs: list[str], progress: Progress) -> None:
        self._read = dict.fromkeys(logs, 0)
        self._progress = progress

    def look(self) -> None:
        """Read what was printed since the last look."""
        for log, position in self._read.items():
            if os.path.exists(log):
                with open(log, encoding="utf-8", errors="replace") as stream:
                    stream.seek(position)
                    begun = len(self.BEGUN.findall(stream.read()))
                    self._read[log] = stream.tell()
                self._progress.reach(min(int(self._progress.state["done"]) + begun, int(self._progress.state["total"])))


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
    if plan is not None and plan.left:
        journal["skipped"] = plan.left
    return {"changed": changed, "msg": summary, "databases": record.state["databases"], "created": created, "counts": counts,
            "settled": record.state.get("settled", False), "existing_roles": plan.existing_roles if plan else [],
            "left": plan.left if plan else [], "duration": duration, "versions": versions, "journal": journal}
