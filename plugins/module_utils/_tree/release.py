# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``release``: immutable release directories and the link ``current``, switched in one step."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._tree import naming, not_kept, release_plan, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import raw, text
from ansible_collections.dihya.migration.plugins.module_utils._tree.marker import MARKER, read_marker
from ansible_collections.dihya.migration.plugins.module_utils._tree.release_plan import RELEASES, Plan, Release, State, release_of
from ansible_collections.dihya.migration.plugins.module_utils._tree.staging import SHARED, STAGE, stage_release

RECORD = ".releases.json"
CURRENT = "current"


@dataclass
class Request:
    """What is asked for; the options of the module of the same names."""

    path: str
    state: str
    name: str | None = None
    src: str | None = None
    source_host: dict[str, Any] | None = None
    exclude: list[str] = field(default_factory=list)
    shared: Any = None
    keep_assets: list[str] = field(default_factory=list)
    assets_from: str | None = None
    assets_host: dict[str, Any] | None = None
    owner: str | None = None
    group: str | None = None
    shared_owner: str | None = None
    keep: int | None = None
    keep_failed: bool = False
    run_id: str | None = None
    made_for: str | None = None
    check_mode: bool = False


def release(request: Request) -> dict[str, Any]:
    """Do what ``request`` says and return the module's result. Raises :class:`MigrationError`."""
    started = time.monotonic()
    if request.state != "pruned":
        naming.require_release(request.name or "")
    with system.plain_errors():
        if request.state == "present":
            result = _stage(request)
        elif request.state == "activated" and (request.src or request.source_host):
            result = _stage_and_activate(request)
        else:
            result = _switch(request)
    result["duration"] = round(time.monotonic() - started, 4)
    result["journal"]["duration"] = result["duration"]
    return result


def _stage_and_activate(request: Request) -> dict[str, Any]:
    """One result of both; check mode cannot activate what it did not stage, so it says what that would do."""
    staged = _stage(replace(request, state="present"))
    if request.check_mode and staged["changed"]:
        before = read_state(request.path)
        link = release_plan.link_to(request.name or "")
        switched = _result(request, before, Plan(f"{request.name} would become current", switch=True, link=link), before)
    else:
        switched = _switch(request)
    changed = staged["changed"] or switched["changed"]
    reason = f"{staged['msg']}; {switched['msg']}"
    journal = {**staged["journal"], "changed": changed, "summary": f"Release activated: {reason}."[:300]}
    return {**staged, **switched, "changed": changed, "msg": reason, "journal": journal,
            "warnings": staged["warnings"] + switched["warnings"],
            "diff": {"before": staged["diff"]["before"], "after": staged["diff"]["after"] + switched["diff"]["after"]}}


def read_state(root: str) -> State:
    """What lies in the application's directory ``root``; the current release is what the link says, never a time."""
    link = os.path.join(root, CURRENT)
    if os.path.lexists(link) and not os.path.islink(link):
        raise MigrationError(f"{link} is not a link: move it away first, so that it can become one", subject="path")
    current = text(os.readlink(raw(link))) if os.path.islink(link) else None
    try:
        record = read_json(os.path.join(root, RECORD))
        previous, failed = dict(record["previous"]), frozenset(record["failed"])
    except FileNotFoundError:
        previous, failed = {}, frozenset()
    except (OSError, ValueError, KeyError, TypeError):
        raise MigrationError(f"{os.path.join(root, RECORD)} cannot be read: what was current before is unknown") from None
    try:
        names = [name for name in os.listdir(os.path.join(root, RELEASES)) if not name.startswith(".")]
    except FileNotFoundError:
        names = []
    releases = {name: found for name in names if (found := read_marker(root, name))}
    return State(releases, current, previous, failed & releases.keys(), frozenset(names) - releases.keys())


def _switch(request: Request) -> dict[str, Any]:
    if not os.path.isdir(request.path):
        if request.state == "activated":
            raise MigrationError(f"{request.path} is missing: stage a release first (state: present)", subject="path")
        return _result(request, State(), Plan("there is no release at all"), State())
    started = time.monotonic()
    # One change at a time: two activations at once follow each other, and the record belongs to the link.
    with system.locked(raw(request.path)):
        if not request.check_mode:
            system.sweep(request.path, (".current-", ".publish-"))
        before = read_state(request.path)
        plan = _plan(request, before)
        after = before if request.check_mode else _apply(request.path, before, plan)
        switched = time.monotonic() - started
        # Out of sight while nobody can make it current. That is one step however large the tree, its removal needs no lock.
        retired = [] if request.check_mode else _retired(request.path, [before.releases[name] for name in plan.remove])
    for stage in retired:
        stage.close()
    if not request.check_mode and request.state != "activated":
        _clear_abandoned(request.path)
    return dict(_result(request, before, plan, after), switch_duration=round(switched, 4))


def _plan(request: Request, state: State) -> Plan:
    name = request.name or ""
    if request.state == "activated":
        release_plan.require_of(state, name, request.made_for)
        return release_plan.plan_activation(state, name)
    if request.state == "rolled_back":
        return release_plan.plan_rollback(state, name, request.keep_failed, request.made_for)
    if request.state == "absent":
        return release_plan.plan_absence(state, name)
    return release_plan.plan_pruning(state, request.keep or 0)


def _apply(root: str, state: State, plan: Plan) -> State:
    """Record, then switch. A crash in between leaves the old release current and a note that nobody needs."""
    previous = {name: link for name, link in state.previous.items() if name in state.releases and name not in plan.remove}
    if plan.record:
        previous[str(release_of(plan.link))] = state.current
    failed = (state.failed - set(plan.remove)) | ({plan.mark_failed} if plan.mark_failed else set())
    if plan.record or plan.mark_failed:
        _write_record(root, previous, failed)
    if plan.switch:
        set_link(root, plan.link)
    if not (plan.record or plan.mark_failed) and plan.remove:
        _write_record(root, previous, failed)
    releases = {name: found for name, found in state.releases.items() if name not in plan.remove}
    return State(releases, plan.link if plan.switch else state.current, previous, frozenset(failed), state.foreign)


def _write_record(root: str, previous: dict[str, str | None], failed: Any) -> None:
    publish_json(os.path.join(root, RECORD), {"format": 1, "previous": previous, "failed": sorted(failed)})


def set_link(root: str, link: str | None) -> None:
    """Make ``current`` lead to ``link``, or be absent, in one step that is on the disk when this returns."""
    final = os.path.join(root, CURRENT)
    if link is None:
        os.unlink(final)
    else:
        temporary = os.path.join(root, f".current-{secrets.token_hex(8)}")
        os.symlink(raw(link), raw(temporary))
        os.replace(temporary, final)
    fsync_directory(root)


def _retired(root: str, releases: Sequence[Release]) -> list[system.Stage]:
    """The stages into which ``releases`` were moved, to be closed; what they made below shared/ goes where nothing lies in it."""
    place = raw(os.path.join(root, RELEASES))
    stages = []
    for release in releases:
        with system.locked(place):
            stages.append(system.retired(os.path.join(place, raw(release.name)), STAGE))
        used = [other.shared for other in read_state(root).releases.values()] if release.made else []
        for outside in release.made.difference(*used):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(root, SHARED, outside))
    return stages


def _clear_abandoned(root: str) -> None:
    """Remove what killed predecessors left half staged."""
    place = raw(os.path.join(root, RELEASES))
    if os.path.isdir(place):
        with system.locked(place):
            system.remove_abandoned(place, STAGE)


def _stage(request: Request) -> dict[str, Any]:
    name = request.name or ""
    state = read_state(request.path)
    if name in state.foreign:
        raise MigrationError(f"{RELEASES}/{name} exists and is no complete release of this module: remove it, or choose another name",
                             subject="name")
    if name in state.failed:
        raise MigrationError(f"release {name} failed before and was kept for analysis: choose another name, or remove it", subject="name")
    release_plan.require_of(state, name, request.made_for)
    staged = stage_release(request, state.releases.get(name), release_of(state.current))
    result = _result(request, state, staged.plan, state, staged.counts, staged.digest, staged.summary, staged.changed)
    if staged.inherited:
        result["journal"]["counts"]["inherited"] = staged.inherited
    return not_kept.tell(dict(result, inherited=staged.inherited, warnings=[*staged.warnings]), staged.unproved)


def _result(request: Request, before: State, plan: Plan, after: State, number: dict[str, int] | None = None, digest: str | None = None,
            tree: str = "", staged: bool = False) -> dict[str, Any]:
    name = request.name or ""
    path = os.path.join(request.path, RELEASES, name) if name else None
    current = release_of(after.current) or after.current
    identity = _identity(path) if path else None
    changed = plan.changes or staged
    past = previous_text(after)
    result: dict[str, Any] = {
        "changed": changed, "msg": plan.reason, "release": path, "name": request.name, "current": current, "previous": past,
        "removed": list(plan.remove), "identity": identity, "warnings": [],
        "ours": not release_plan.is_of_another(before, name, request.made_for),
        "diff": {"before": _shown(before), "after": _shown(after if not request.check_mode else _expected(before, plan)) + tree},
        "journal": _journal(request, plan.reason, changed, path, identity if staged else None, number, digest),
    }
    if digest is not None:
        result.update(sha256=digest, files=(number or {}).get("files"), bytes=(number or {}).get("bytes"))
    elif name in after.releases:
        result["sha256"] = after.releases[name].digest
    return result


def previous_text(state: State) -> str | None:
    """What a rollback of the current release would bring back: a release's name or a link text."""
    before = state.previous.get(release_of(state.current) or "")
    return release_of(before) or before


def _expected(state: State, plan: Plan) -> State:
    return State({n: r for n, r in state.releases.items() if n not in plan.remove}, plan.link if plan.switch else state.current)


def _shown(state: State) -> str:
    names: Sequence[str] = sorted(state.releases)
    return f"current: {state.current or 'none'}\nreleases: {', '.join(names[-10:]) or 'none'}\n"


def _identity(path: str) -> dict[str, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return {"device": status.st_dev, "inode": status.st_ino}


def _journal(request: Request, reason: str, changed: bool, path: str | None, created: dict[str, int] | None, number: dict[str, int] | None,
             digest: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"summary": f"Release {request.state}: {reason}."[:300], "changed": changed, "duration": 0.0}
    if number is not None:
        facts["counts"] = {"files": number["files"], "bytes": number["bytes"]}
    if digest is not None:
        facts["digests"] = {request.name or "": digest}
    if created is not None and path is not None:
        facts["created"] = [{"kind": "release", "name": path, "identity": f"{created['device']}:{created['inode']}"}]
    if digest is not None and path is not None and os.path.exists(os.path.join(path, MARKER)):
        marker = os.path.join(path, MARKER)
        facts["proofs"] = [{"kind": "manifest", "path": marker, "sha256": _manifest.sha256_file(marker)}]
    return facts
