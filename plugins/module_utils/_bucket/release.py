# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine of ``bucket_release``: save what is there, put the release, take it back. What is whose stands in one file on this host."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._bucket import plan, saved
from ansible_collections.dihya.migration.plugins.module_utils._bucket.objects import Site, Stored, digest, key_problems, shown, weight
from ansible_collections.dihya.migration.plugins.module_utils._bucket.preflight import probe
from ansible_collections.dihya.migration.plugins.module_utils._bucket.record import (
    ACTIVATED,
    PUTTING,
    SAVED,
    Record,
    Request,
    read_record,
    write_record,
)
from ansible_collections.dihya.migration.plugins.module_utils._bucket.store import Store
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import held
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._transport.bucket import Bucket
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying, document, naming, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import TREE, require_tree
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, first_names, raw, text


@dataclass
class Outcome:
    """What was done, or would be; ``site`` is what the bucket holds then."""

    reason: str
    changed: bool
    before: Site
    site: Site
    put: int = 0
    removed: int = 0
    left: list[str] = field(default_factory=list)
    saved: str | None = None


def bucket_release(request: Request) -> dict[str, Any]:
    """Do what ``request`` says and return the module's result. Raises :class:`MigrationError`."""
    started = time.monotonic()
    naming.require_release(request.name)
    if request.state == "probed":
        return probe(request)
    (place,) = Bucket.from_options([request.bucket])
    store = Store(place)
    work = {"saved": _save, "present": _deploy, "activated": _deploy, "rolled_back": _roll_back}[request.state]
    with system.plain_errors(), held(None if request.check_mode else request.lease_file, request.run_id, "bucket_release"):
        outcome = work(request, store, Progress(None if request.check_mode else request.progress_file))
    return _result(request, store, outcome, round(time.monotonic() - started, 3))


def _save(request: Request, store: Store, progress: Progress) -> Outcome:
    record = read_record(request)
    if record is not None and record.release != request.name and record.state == PUTTING:
        raise MigrationError(f"release {record.release} is partly in {store.place.remote}: roll it back first", subject="name")
    if record is not None and record.release == request.name:
        before = saved.load(record.saved)
        saved.require_intact(record.saved, before.values())
        now = before if record.state != SAVED else store.read()
        if now == before:
            return Outcome("what was there before is saved", False, before, now, saved=record.saved)
    if not request.dest:
        raise MigrationError("dest is required with state: saved", subject="dest")
    if request.check_mode:
        listed = store.listing()
        return Outcome(f"{len(listed)} objects would be saved", True, {}, {})
    path, before = saved.save(store, request.dest, progress)
    write_record(request, Record(store.place.remote, request.name, path, [], SAVED))
    return Outcome(f"{len(before)} objects are saved", True, before, before, saved=path)


def _deploy(request: Request, store: Store, progress: Progress) -> Outcome:
    build, roots = _build(request)
    old, old_roots = _live_assets(request)
    record = read_record(request)
    if record is None or record.release != request.name:
        if not request.check_mode:
            raise MigrationError(f"what {store.place.remote} held before {request.name} is not saved: save it first (state: saved)",
                                 subject="name")
        record = Record(store.place.remote, request.name, "", [], SAVED)
    before = saved.load(record.saved) if record.saved else store.read()
    goal = plan.set_goal(build, old, before, request.assets, request.remove_others)
    store.require_plain(goal.whole)
    progress.begin("read the bucket")
    now = store.read(progress.advance)
    later = bool(request.public) and request.state == "present" and record.state != ACTIVATED
    steps = plan.plan(goal, now, before, record.touched, later)
    then, put, gone = plan.after(now, steps)
    left = sorted(goal.stay.keys() - goal.hashed)
    outcome = Outcome(_said(request.name, put, gone, later), bool(steps), now, then, put, gone, left, record.saved)
    if request.check_mode:
        return outcome
    state = PUTTING if later else ACTIVATED
    if steps or record.state == SAVED:
        # Before the first of them: what a killed upload put is known to be ours.
        write_record(request, Record(store.place.remote, request.name, record.saved, sorted({*record.touched, *goal.touched()}), PUTTING))
        _apply(store, steps, {**old_roots, **roots}, then, progress)
    if record.state != state:
        write_record(request, Record(store.place.remote, request.name, record.saved, goal.touched(), state))
    return outcome


def _said(name: str, put: int, gone: int, later: bool) -> str:
    if later:
        return f"release {name}: {put} objects put that nobody asks for yet" if put else f"release {name}: what its pages load is there"
    return f"release {name}: {put} objects put, {gone} removed" if put or gone else f"release {name} is there"


def _roll_back(request: Request, store: Store, progress: Progress) -> Outcome:
    record = read_record(request)
    if record is None or record.release != request.name or record.state == SAVED:
        if record is not None and record.release == request.name and not request.check_mode:
            os.unlink(request.record_file)
        return Outcome(f"nothing of {request.name} was put", False, {}, {})
    before = saved.load(record.saved)
    progress.begin("read the bucket")
    now = store.read(progress.advance)
    steps, left = plan.plan_back(now, before, record.touched)
    then, put, gone = plan.after(now, steps)
    reason = f"{request.name} is rolled back: {put} objects put back, {gone} removed"
    outcome = Outcome(reason, True, now, then, put, gone, left, record.saved)
    if request.check_mode:
        return outcome
    tree = os.path.join(record.saved, saved.TREE)
    back = [one for step in steps for one in step.put]
    saved.require_intact(record.saved, back)
    _apply(store, steps, {one.key: tree for one in back}, then, progress)
    os.unlink(request.record_file)
    return outcome


def _apply(store: Store, steps: Sequence[plan.Step], roots: dict[str, str], then: Site, progress: Progress) -> None:
    """One step after the other, no page before what it loads was read back from the store; in the end everything is as in ``then``."""
    sent: list[Stored] = []
    for step in steps:
        if step.loads and sent:
            progress.begin("read the bucket", weight(sent))
            store.prove(sent, progress.advance)
            sent = []
        progress.begin("send", weight(step.put))
        store.put(step.put, roots, progress.advance)
        sent += step.put
        store.remove(step.remove)
    progress.begin("read the bucket", weight(sent))
    store.prove(sent, progress.advance, then)


def _build(request: Request) -> tuple[dict[str, plan.File], dict[str, str]]:
    """Size and digest of each file of the build, and where each lies. Raises on what cannot be an object."""
    if not request.src:
        raise MigrationError("src is required to put a release", subject="src")
    root, entries = require_tree(request.src, False, request.exclude)
    links = [entry.path for entry in entries if not entry.is_file and entry.type != DIRECTORY]
    if links:
        raise MigrationError(f"the build has links, which a bucket cannot hold ({first_names(links)}): build files", subject="src")
    wrong = key_problems(text(entry.path) for entry in entries if entry.is_file)
    if wrong:
        raise MigrationError(f"the build has names that no object can have here ({first_names(map(raw, wrong))}): rename them",
                             subject="src")
    copying.read_digests(root, entries)
    files = {text(entry.path): (entry.size, str(entry.sha256)) for entry in entries if entry.is_file}
    return files, dict.fromkeys(files, os.fsdecode(root))


def _live_assets(request: Request) -> tuple[dict[str, plan.File], dict[str, str]]:
    """The same of the copy of a live build, by its manifest; what is put of it is proved like everything else."""
    if not request.assets_from:
        return {}, {}
    entries = document.parse(_manifest.read_manifest(request.assets_from, document.KIND), request.assets_from)
    files = {text(entry.path): (entry.size, str(entry.sha256)) for entry in entries if entry.is_file and entry.clear_size is None}
    return files, dict.fromkeys(files, os.path.join(request.assets_from, TREE))


def _result(request: Request, store: Store, outcome: Outcome, duration: float) -> dict[str, Any]:
    site, total = outcome.site, weight(outcome.site.values())
    remote = store.place.remote
    result: dict[str, Any] = {
        "changed": outcome.changed, "msg": outcome.reason, "path": outcome.saved, "files": len(site), "bytes": total, "put": outcome.put,
        "removed": outcome.removed, "sha256": digest(site), "duration": duration, "left": len(outcome.left),
        "diff": {"before": shown(outcome.before), "after": shown(site), "before_header": remote, "after_header": remote},
    }
    journal: dict[str, Any] = {"summary": f"{remote}: {outcome.reason}"[:300], "changed": outcome.changed, "duration": duration,
                               "counts": {"files": len(site), "bytes": total}}
    if request.state != "rolled_back" or outcome.saved:
        journal["digests"] = {remote: result["sha256"]}
    if request.state == "saved" and outcome.saved:
        manifest = os.path.join(outcome.saved, _manifest.NAME)
        sha256 = _manifest.sha256_file(manifest)
        journal["proofs"] = [{"kind": "manifest", "path": manifest, "sha256": sha256}]
        size = weight(outcome.before.values())
        observed = f"copy of {saved.NAME}: {len(outcome.before)} files, {size} bytes, copied and read again from the disk"
        journal["evidence"] = [{"item": "backup", "observed": observed, "sha256": sha256, "verdict": "proved"}]
    if outcome.left:
        result["warnings"] = [_left(request, outcome.left)]
        journal["not_proved"] = [_left(request, outcome.left)[:300]]
    return {**result, "journal": journal}


def _left(request: Request, keys: Sequence[str]) -> str:
    names = first_names(map(raw, keys), 3)
    if request.state == "rolled_back":
        return f"{len(keys)} objects that others changed in the bucket were left alone: {names}"
    return f"{len(keys)} objects of before, which the release has not, are still served: {names}"
