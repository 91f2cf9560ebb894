# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove that a backup can be restored: restore it, compare every row, object and privilege with it, remove it again.

On a throw-away server of the target's version, under scratch names on the target, or not at all when the evidence of an
earlier drill of the same plan counts. A drill that passes is noted in the backup's manifest (``restorable_on``; where objects were
left out by choice, ``partly_restorable_on``).
"""

from __future__ import annotations

import contextlib
import datetime
import locale
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._lease import held
from ansible_collections.dihya.migration.plugins.module_utils._manifest import NAME, damaged_files, read_manifest, sha256_file, utc_now
from ansible_collections.dihya.migration.plugins.module_utils._postgres import drill_plan
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import SERVICE_ROLES
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import extensions_in, listed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.collations import read_named, refused_locales
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, connect
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_facts import look_at_directory
from ansible_collections.dihya.migration.plugins.module_utils._postgres.proved_backup import is_proved
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore import absent, restore
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import RestoreRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import PARTLY, WHOLLY
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import read_part
from ansible_collections.dihya.migration.plugins.module_utils._postgres.throwaway import (
    Shelter,
    ThrowawayServer,
    Unfit,
    find_programs,
    find_shelter,
    sweep,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import tool_version
from ansible_collections.dihya.migration.plugins.module_utils._postgres.verify import VerifyRequest, verify
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import names

EARLIER = "evidence of an earlier drill of the same plan"
LOCALES = "SELECT collcollate AS collate, collctype AS ctype FROM pg_catalog.pg_collation" \
          " WHERE collprovider = 'c' AND collcollate IS NOT NULL"


@dataclass(frozen=True)
class DrillRequest:
    """What a drill is asked for; the fields are the options of the module."""

    work_dir: str
    backup: str | None = None
    identity: str | None = None
    target: Endpoint | None = None
    version: int | None = None
    server: str = "auto"
    server_bin_dir: str | None = None
    server_user: str | None = None
    databases: list[str] | None = None
    evidence: str | None = None
    expected: dict[str, int] = field(default_factory=dict)
    source_identifier: str | None = None
    owners: dict[str, str] = field(default_factory=dict)
    service_roles: Sequence[str] = SERVICE_ROLES
    leave_out: Sequence[str] = ()
    jobs: int = 2
    bin_dir: str | None = None
    progress_file: str | None = None
    application_name: str = "dihya"

    def path(self, name: str) -> str:
        """The path of ``name`` in the work directory."""
        return os.path.join(self.work_dir, name)

    def scratch(self, **more: Any) -> RestoreRequest:
        """The restore under scratch names on the target."""
        if self.target is None:
            raise MigrationError("the record of scratch databases names a server: give it as target", subject="target")
        return self.restore_on(self.target, self.path("scratch.json"), **self.adapted, **more)

    @property
    def adapted(self) -> dict[str, Any]:
        """What is adapted to the target."""
        return {"owners": self.owners, "service_roles": self.service_roles, "leave_out": self.leave_out}

    @property
    def as_it_is(self) -> dict[str, Any]:
        """The same for a throw-away server, where we are superuser: all roles come along."""
        return {"service_roles": (), "leave_out": self.leave_out}

    def restore_on(self, server: Endpoint, created_file: str, **more: Any) -> RestoreRequest:
        """A restore of the backup on ``server``."""
        return RestoreRequest(target=server, created_file=created_file, backup=self.backup, identity=self.identity,
                              databases=self.databases, jobs=self.jobs, bin_dir=self.bin_dir, progress_file=self.progress_file,
                              application_name=self.application_name, **more)


@dataclass(frozen=True)
class Choice:
    """Where a drill is made and why; ``programs`` and ``shelter`` are those of a throw-away server."""

    server: str
    reason: str
    programs: str = ""
    shelter: Shelter = Shelter()


def alone(work_dir: str, lease_file: str | None, run_id: str | None, check_mode: bool) -> Any:
    """A context manager that makes sure of one worker: two drills would take each other's server for a leftover."""
    if check_mode:  # starts nothing and sweeps nothing
        return contextlib.nullcontext()
    return held(lease_file or os.path.join(private_directory(work_dir), "lease"), run_id, "pg_restore_drill")


def drill(request: DrillRequest, check_mode: bool = False) -> dict[str, Any]:
    """Make the drill, or accept the evidence of an earlier one; returns the module's result."""
    started = time.monotonic()
    pg_restore = tool_version("pg_restore", request.bin_dir)
    manifest = _manifest(request, check_mode)
    major = _major(request)
    databases = sorted(request.databases or (manifest or {}).get("databases", []))
    plan = drill_plan.make_plan(manifest, databases, major, pg_restore, request.source_identifier, leave_out=request.leave_out,
                                owners=request.owners)
    held_bytes = drill_plan.bytes_held(manifest, databases, request.expected)
    swept = [] if check_mode else remove_left(request)
    if request.evidence:
        evidence = _accepted(request, manifest, plan, held_bytes)
        if check_mode or manifest is None:
            return {"changed": False, "msg": f"would take the evidence {request.evidence}", "server": "evidence", "reason": EARLIER}
        return dict(_result(request, evidence, EARLIER, time.monotonic() - started, False), swept=swept)
    choice = choose(request, major, drill_plan.space_needed(manifest, databases, request.expected))
    if check_mode or manifest is None:
        place = drill_plan.PLACES[choice.server].format(version=major)
        return {"changed": True, "msg": f"would restore for trial {place}: {choice.reason}", "server": choice.server,
                "reason": choice.reason, "diff": {"before": "", "after": drill_plan.plan_text(databases, choice.server, major)}}
    private_directory(request.work_dir)
    choice, done = _drill(request, choice, manifest, databases)
    done.update(format=drill_plan.FORMAT, kind=drill_plan.KIND, created=utc_now(), passed=True, plan=plan, bytes=held_bytes)
    if request.leave_out:
        done["limits"].append(drill_plan.LEFT_OUT_LIMIT.format(what=names(sorted(request.leave_out))))
    if databases == sorted(manifest["databases"]):
        _note(str(request.backup), manifest, PARTLY if request.leave_out else WHOLLY, major)
    done["manifest_sha256"] = sha256_file(os.path.join(str(request.backup), NAME))
    publish_json(request.path("evidence.json"), done)
    return dict(_result(request, done, choice.reason, time.monotonic() - started, True), swept=swept)


def remove_left(request: DrillRequest) -> list[str]:
    """Remove what drills left whose worker is dead, here and on the target; returns the names."""
    left = sweep(request.work_dir)
    if os.path.exists(request.path("scratch.json")):
        left += absent(request.scratch())["removed"]
    return left


def clear(request: DrillRequest, check_mode: bool = False) -> dict[str, Any]:
    """The state absent: only removes what earlier drills left; returns the module's result."""
    if check_mode:
        return {"changed": False, "msg": "would remove what drills left whose worker is dead", "swept": []}
    swept = remove_left(request)
    msg = f"{len(swept)} objects that drills had left were removed"
    return {"changed": bool(swept), "msg": msg, "swept": swept,
            "journal": {"summary": msg, "changed": bool(swept), "counts": {"objects": len(swept)}}}


def choose(request: DrillRequest, major: int, need: int) -> Choice:
    """Where the drill is made; raises :class:`Unfit` with everything that stands against it."""
    if request.server == "scratch":
        if request.target is None:
            raise Unfit("a drill under scratch names needs a target", subject="target")
        return Choice("scratch", "so the inventory wants it")
    beside = 0 if request.backup else request.expected.get("backup", 0)
    programs, shelter, problems = "", Shelter(), drill_plan.space_finding(look_at_directory(request.work_dir), need, beside)
    try:
        programs = find_programs(major, request.server_bin_dir, request.bin_dir)
    except Unfit as unfit:
        problems.append(unfit.message)
    try:
        shelter = find_shelter(request.server_user)
    except Unfit as unfit:
        problems.append(unfit.message)
    if not problems:
        return Choice("throwaway", f"server programs in {programs}", programs, shelter)
    return _instead(request, "; ".join(problems), problems)


def _instead(request: DrillRequest, reason: str, problems: Sequence[str]) -> Choice:
    if request.server == "auto" and request.target is not None:
        return Choice("scratch", reason)
    raise Unfit(f"no restore drill on a throw-away server: {reason}", findings=list(problems), subject="server_bin_dir")


def _manifest(request: DrillRequest, check_mode: bool) -> dict[str, Any] | None:
    if request.backup is None:
        if check_mode:
            return None
        raise MigrationError("a drill needs a backup: name its directory", subject="backup")
    manifest = read_manifest(request.backup, "postgresql")
    missing = sorted(set(request.databases or []) - set(manifest["databases"]))
    if missing:
        raise MigrationError(f"the backup holds no database {missing[0]}", subject="databases")
    if not is_proved(request.backup, manifest):
        raise MigrationError(f"the backup {request.backup} has no row digests to compare with: make it with digests", subject="backup")
    return manifest


def _major(request: DrillRequest) -> int:
    if request.version is not None and (request.target is None or request.backup is None):
        return request.version
    if request.target is None:
        raise MigrationError("a drill needs the target, or its version", subject="target")
    with contextlib.closing(connect(request.target, application_name=request.application_name)) as connection:
        major = int(connection.server_version) // 10000
    if request.version not in (None, major):
        raise MigrationError(f"the target is of version {major}, not {request.version}: correct version, or leave it out",
                             subject="version")
    return major


def _drill(request: DrillRequest, choice: Choice, manifest: dict[str, Any], databases: list[str]) -> tuple[Choice, dict[str, Any]]:
    if choice.server == "throwaway":
        try:
            return choice, _on_throwaway(request, choice, manifest, databases)
        except Unfit as unfit:
            choice = _instead(request, unfit.message, unfit.facts.get("findings", [unfit.message]))
    return choice, _on_scratch(request, manifest, databases)


def _on_throwaway(request: DrillRequest, choice: Choice, manifest: dict[str, Any], databases: list[str]) -> dict[str, Any]:
    limits = list(drill_plan.LIMITS["throwaway"]) + ([] if choice.shelter.isolated else [drill_plan.NO_NETWORK_LIMIT])
    monetary = manifest["server"]["settings"].get("lc_monetary") or "C"
    if not locale_exists(monetary):
        limits.append(drill_plan.MONEY_LIMIT.format(name=monetary))
        monetary = "C"
    captured = read_part(str(request.backup), manifest, "capture.json", request.identity)
    server = ThrowawayServer(choice.programs, choice.shelter, request.work_dir, drill_plan.bootstrap_role(captured),
                             drill_plan.server_settings(manifest, request.jobs, monetary))
    with server as endpoint:
        problems = drill_plan.lacking({name: manifest["databases"][name] for name in databases},
                                      _extensions(request, manifest, databases), _offered(endpoint, manifest))
        if problems:
            raise Unfit("; ".join(problems), findings=problems)
        wanted = request.restore_on(endpoint, os.path.join(server.directory, "created.json"), **request.as_it_is)
        try:
            restored, compared = restore(wanted), _compare(request, endpoint, databases, {}, request.as_it_is)
        except MigrationError as error:
            _keep_log(request, error)
            if "findings" in error.facts:  # found before anything was made: another server may be able to take it
                raise Unfit(error.message, findings=error.facts["findings"]) from None
            raise MigrationError(_of_drill(error, endpoint, "a throw-away server"), **error.facts) from None
    return _done("throwaway", restored, compared, limits)


def _on_scratch(request: DrillRequest, manifest: dict[str, Any], databases: list[str]) -> dict[str, Any]:
    renamed = drill_plan.scratch_names(databases)
    wanted = request.scratch(rename=renamed)
    try:
        restored, compared = restore(wanted), _compare(request, wanted.target, databases, renamed, request.adapted)
    except MigrationError as error:
        message = _of_drill(error, wanted.target, str(wanted.target))
        try:
            absent(wanted)
        except MigrationError as second:
            message += f"; what was made could not be removed ({second.message}): run again with state absent"
        raise MigrationError(message, **error.facts) from None
    absent(wanted)
    return _done("scratch", restored, compared, list(drill_plan.LIMITS["scratch"]))


def _compare(request: DrillRequest, server: Endpoint, databases: list[str], renamed: dict[str, str],
             adapted: dict[str, Any]) -> dict[str, Any]:
    return verify(VerifyRequest(target=server, databases=databases or ["all"], manifest=request.backup, identity=request.identity,
                                rename=renamed, jobs=request.jobs, differences_file=request.path("differences.json"),
                                application_name=request.application_name, progress_file=request.progress_file, **adapted))


def _keep_log(request: DrillRequest, error: MigrationError) -> None:
    """Take what a tool printed out of the directory that is erased."""
    log = error.facts.get("log")
    if log and not request.progress_file:
        kept = request.path(os.path.basename(log))
        os.replace(log, kept)
        error.message, error.facts["log"] = error.message.replace(log, kept), kept


def _of_drill(error: MigrationError, server: Endpoint, place: str) -> str:
    return f"the restore drill failed: {error.message.replace(str(server), place)}"


def _done(server: str, restored: dict[str, Any], compared: dict[str, Any], limits: list[str]) -> dict[str, Any]:
    journal = compared["journal"]
    return {"server": server, "version": restored["versions"]["target"], "limits": limits, "explained": compared["explained"],
            "seconds": {"restore": round(restored["duration"], 1), "compare": round(compared["duration"], 1)},
            "tables": compared["tables"], "rows": compared["rows"], "not_proved": compared["not_proved"],
            "counts": journal["counts"], "digests": journal["digests"]}


def _extensions(request: DrillRequest, manifest: dict[str, Any], databases: list[str]) -> set[str]:
    """Names of the extensions that the archives create; one that cannot be listed here is left to the restore."""
    found: set[str] = set()
    for name in databases:
        archive = os.path.join(str(request.backup), manifest["databases"][name].get("directory", ""))
        found |= extensions_in(listed(archive, bool(manifest.get("encryption")), request.identity, request.bin_dir))
    return {name for name in found if f"extension {name}" not in request.leave_out}


def _offered(server: Endpoint, manifest: dict[str, Any]) -> dict[str, Any]:
    with contextlib.closing(connect(server)) as connection:
        needs = [frame.get("needs", {}) for frame in manifest["databases"].values()]
        known = rows(connection, LOCALES)
        return {"extensions": {row["name"] for row in rows(connection, "SELECT name FROM pg_catalog.pg_available_extensions")},
                "locales": {row["collate"] for row in known}, "named": read_named(connection),
                "refused_locales": refused_locales(connection, needs, known),
                "icu": bool(rows(connection, "SELECT 1 AS one FROM pg_catalog.pg_collation WHERE collprovider = 'i' LIMIT 1"))}


def locale_exists(name: str) -> bool:
    """Whether this host has the locale ``name`` for amounts of money."""
    before = locale.setlocale(locale.LC_MONETARY)
    try:
        locale.setlocale(locale.LC_MONETARY, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_MONETARY, before)
    return True


def _note(backup: str, manifest: dict[str, Any], what: str, major: int) -> None:
    """Record in the manifest, under ``what``, that all databases of the backup could be restored on ``major``."""
    noted = manifest.get(what, [])
    if major not in noted:
        publish_json(os.path.join(backup, NAME), {**manifest, what: sorted([*noted, major])})


def _accepted(request: DrillRequest, manifest: dict[str, Any] | None, plan: dict[str, Any], held_bytes: int | None) -> dict[str, Any]:
    """The evidence of an earlier drill, if it counts; the backup of now has to be intact all the same."""
    try:
        evidence = read_json(str(request.evidence))
    except (OSError, ValueError) as error:
        raise MigrationError(f"the evidence {request.evidence} cannot be read: {type(error).__name__}", subject="evidence") from None
    problems = drill_plan.evidence_problems(evidence, plan, held_bytes, datetime.datetime.now(datetime.timezone.utc))
    if manifest:
        problems += [f"the file {path} of the backup is damaged" for path in damaged_files(str(request.backup), manifest["files"])]
    if problems:
        raise MigrationError(f"the evidence {request.evidence} does not count: {'; '.join(problems)}. "
                             "Leave it out, so that a drill is made", findings=problems, subject="evidence")
    sealed = sha256_file(os.path.join(str(request.backup), NAME)) if manifest else ""
    not_proved = [*evidence["not_proved"], *drill_plan.evidence_limits(evidence, plan)]
    return dict(evidence, counts={}, digests={}, manifest_sha256=sealed, not_proved=not_proved)  # its own are those of another backup


def _result(request: DrillRequest, done: dict[str, Any], reason: str, duration: float, made: bool) -> dict[str, Any]:
    evidence = request.path("evidence.json") if made else str(request.evidence)
    sealed, shown = sha256_file(evidence), drill_plan.passed(done)
    observed = shown if made else f"a drill of the same plan passed on {done['created'][:10]}: {shown}"
    until = {} if made else {"until": drill_plan.counts_until(done["created"])}
    proofs = [{"kind": "manifest", "path": os.path.join(str(request.backup), NAME), "sha256": done["manifest_sha256"]},
              {"kind": drill_plan.KIND, "path": evidence, "sha256": sealed}]
    journal: dict[str, Any] = {
        "summary": f"{observed[0].upper()}{observed[1:]}.", "changed": made, "duration": round(duration, 3), "proofs": proofs,
        "counts": done["counts"], "digests": done["digests"], "explained": done["explained"],
        "not_proved": done["not_proved"] + done["limits"], "versions": {"drill": done["version"]},
        "tests": [{"name": "restore drill", "verdict": "passed", "passed": done["tables"], "failed": 0, "skipped": 0, "log": evidence}],
        "evidence": [{"item": "rollback_plan", "observed": f"postgresql: {observed}", "sha256": sealed, "verdict": "proved", **until}],
    }
    if made and request.server == "auto" and done["server"] == "scratch":
        journal["skipped"] = [cut(f"restore drill on a throw-away server: {reason}")]
    shown_too = ("version", "seconds", "tables", "rows", "limits", "explained", "not_proved", "manifest_sha256")
    return {**{name: done[name] for name in shown_too}, "changed": made, "msg": observed, "server": done["server"] if made else "evidence",
            "reason": reason, "rto": done["seconds"]["restore"], "evidence_file": evidence, "evidence_sha256": sealed,
            "duration": duration, "journal": journal}
