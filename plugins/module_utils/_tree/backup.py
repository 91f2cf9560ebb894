# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``build_copy``: a timestamped, complete and proved copy of a tree, or the newest one when nothing changed."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import nearest_directory, private_directory, publish
from ansible_collections.dihya.migration.plugins.module_utils._lease import Lease
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._transport.bucket import Bucket
from ansible_collections.dihya.migration.plugins.module_utils._transport.pull import PullHost, pull_tree
from ansible_collections.dihya.migration.plugins.module_utils._tree import (
    bucket_copy,
    change_times,
    copying,
    document,
    naming,
    not_kept,
    system,
)
from ansible_collections.dihya.migration.plugins.module_utils._tree.copy_result import Made, Newest, journal, second_copy, since_before
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import (
    DIRECTORY,
    Entry,
    counts,
    differing,
    first_names,
    raw,
    summary,
    text,
    tree_digest,
)
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan
from ansible_collections.dihya.migration.plugins.module_utils._tree.sealing import Sealing, as_source, clear_digests, in_clear, sealed

TREE = "tree"


@dataclass
class Request:
    """What is asked for; the options of the module of the same names."""

    src: str
    dest: str = ""
    name: str | None = None
    exclude: list[str] = field(default_factory=list)
    source_host: dict[str, Any] | None = None
    encrypt: dict[str, Any] | None = None
    tell_secrets: bool = False
    reuse: bool = True
    reuse_by: str = "content"
    only_look: bool = False
    keep: int | None = None
    allow_empty: bool = False
    incremental: bool = False
    tolerate_changes: bool = False
    second_copy: bool = False
    copies: list[str] = field(default_factory=list)
    buckets: list[dict[str, Any]] = field(default_factory=list)
    progress_file: str | None = None
    lease_file: str | None = None
    run_id: str | None = None
    check_mode: bool = False


def build_copy(request: Request) -> dict[str, Any]:
    """Do what ``request`` says and return the module's result. Raises :class:`MigrationError`."""
    started = time.monotonic()
    name = naming.require_plain(request.name or os.path.basename(os.path.normpath(request.src)), "name")
    if request.keep is not None and request.keep < 1:
        raise MigrationError("keep must be at least 1: the last verified copy is never removed", subject="keep")
    buckets = Bucket.from_options(request.buckets)
    if not request.dest and (request.copies or request.source_host or not buckets):
        raise MigrationError("dest is required, except where src is local and goes to buckets alone", subject="dest")
    if request.encrypt and (not request.dest or request.tolerate_changes):
        raise MigrationError("encrypt needs dest, and a source that does not change (no tolerate_changes)", subject="encrypt")
    if request.reuse_by != "content" and (request.source_host or not request.dest):
        raise MigrationError("reuse_by change_time needs a local src, and dest: a kernel tells the times of its own files alone",
                             subject="reuse_by")
    if request.only_look and (request.reuse_by == "content" or request.copies or buckets):
        raise MigrationError("only_look needs reuse_by change_time, and neither copies nor buckets, which are read", subject="only_look")
    held = request.lease_file and not request.check_mode
    with system.plain_errors(), Lease(request.lease_file or "", request.run_id or "", "build_copy") if held else contextlib.nullcontext():
        progress = Progress(None if request.check_mode else request.progress_file, "scan", unit="bytes")
        sealing = Sealing.from_options(request.encrypt)
        if not request.dest:
            return _straight(request, name, buckets, progress, started)
        made = (_pulled if request.source_host else _local)(request, name, progress, sealing)
        others = [_copy_again(request, name, made.path, dest) for dest in request.copies if not request.check_mode]
        sent = _send_copy(request, name, made, buckets, progress)
    return _with_buckets(_with_copies(_result(request, name, made, time.monotonic() - started), others), name, sent)


def _straight(request: Request, name: str, buckets: list[Bucket], progress: Progress, started: float) -> dict[str, Any]:
    """The source sent to the buckets alone, without a copy here."""
    root, entries = require_tree(request.src, request.allow_empty, request.exclude)
    tree = bucket_copy.Tree(name, root, entries, request.exclude, _source_facts(request, name))
    sent = [bucket_copy.send(bucket, tree, request.keep, request.reuse, request.check_mode, progress) for bucket in buckets]
    return _with_buckets(bucket_copy.result_of(sent, tree, started), name, sent)


def _send_copy(request: Request, name: str, made: Made, buckets: list[Bucket], progress: Progress) -> list[bucket_copy.Sent]:
    """The copy just made or kept, sent from here: what is on this disk must still be what its manifest says."""
    if not buckets or not made.entries:
        return []
    tree = bucket_copy.Tree(name, os.path.join(raw(made.path), TREE.encode()), made.entries, (), _source_facts(request, name))
    if not request.check_mode:
        now = {entry.path: entry for entry in scan(tree.root)}
        for entry in tree.entries:
            if found := now.get(entry.path):
                entry.ctime_ns, entry.inode = found.ctime_ns, found.inode
    return [bucket_copy.send(bucket, tree, request.keep, request.reuse, request.check_mode, progress) for bucket in buckets]


def _with_buckets(result: dict[str, Any], name: str, sent: list[bucket_copy.Sent]) -> dict[str, Any]:
    result["buckets"] = [one.facts() for one in sent]
    result["changed"] = result["changed"] or any(one.changed for one in sent)
    result["warnings"] += [warning for one in sent for warning in one.warnings]
    if sent and "journal" in result:
        result["journal"]["evidence"] += [one.evidence(name) for one in sent if one.sha256]
        result["journal"]["changed"] = result["journal"]["changed"] or result["changed"]
    return result


def _copy_again(request: Request, name: str, first: str, dest: str) -> dict[str, Any]:
    again = Request(os.path.join(first, TREE), dest, name, keep=request.keep, allow_empty=request.allow_empty,
                    incremental=request.incremental, second_copy=True)
    made = _local(again, name, Progress(request.progress_file, "second copy", unit="bytes"), None)
    return _result(again, name, made, 0.0)


def _with_copies(result: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    result["copies"] = [{key: other[key] for key in ("path", "changed", "reused", "manifest")} for other in others]
    result["changed"] = result["changed"] or any(other["changed"] for other in others)
    result["warnings"] += [warning for other in others for warning in other["warnings"]]
    if others:
        result["journal"]["evidence"] += [one for other in others for one in other["journal"]["evidence"]]
        unproved = [one for made in (result, *others) for one in made["journal"].get("not_proved", [])]
        result["journal"].update({"not_proved": unproved} if unproved else {})
    return result


def _source_facts(request: Request, name: str) -> dict[str, Any]:
    return {"name": name, "source": request.src, "host": (request.source_host or {}).get("host"), "exclude": request.exclude}


class _Pages:
    """The manifest, written in memory while the disk is read and published only when that has proved the copy."""

    def __init__(self, request: Request, name: str, sealing: Sealing | None, state: str | None = None) -> None:
        self._facts = dict(_source_facts(request, name), source_state=state)
        self._sealing = sealing
        self.data = b""
        self.digest = ""

    def write(self, entries: list[Entry]) -> None:
        """Make the manifest's bytes and the tree's digest."""
        secret = {"sealed": self._sealing.facts(entries)} if self._sealing is not None else {}
        self.data, head = document.render(entries, TREE, **self._facts, **secret)
        self.digest = head["digest"]


def require_tree(src: str, allow_empty: bool, exclude: list[str]) -> tuple[bytes, list[Entry]]:
    """The real path and the entries of the local directory ``src``; raises when it is missing, no directory, or empty."""
    root = os.path.realpath(raw(src))
    if not os.path.isdir(root):
        raise MigrationError(f"the source {src} is {'no directory' if os.path.lexists(root) else 'missing'}", subject="src")
    entries = scan(root, exclude)
    require_content(src, entries, allow_empty)
    return root, entries


def require_content(src: str, entries: list[Entry], allow_empty: bool) -> None:
    """Raise when the tree has no file and no link."""
    if not allow_empty and all(entry.type == DIRECTORY for entry in entries):
        raise MigrationError(f"the source {src} holds no file: was it built? (allow_empty accepts it)", subject="src")


def _local(request: Request, name: str, progress: Progress, sealing: Sealing | None) -> Made:
    began = time.time_ns()
    root, entries = require_tree(request.src, request.allow_empty, request.exclude)
    dest = os.path.realpath(raw(request.dest))
    if os.path.commonpath([root, dest]) == root:
        raise MigrationError(f"dest {request.dest} lies inside the source {request.src}: the copy would copy itself", subject="dest")
    newest, warnings = newest_copy(request.dest, name)
    if _unchanged(request, entries, newest, sealing) and newest is not None:
        return _kept(request, name, newest, "unchanged since the newest copy, by the change times of its files", warnings, unread=True)
    if request.only_look:
        return Made(_next_path(request.dest, name), entries, False, "the change times do not tell", newest, warnings, True)
    state = None if request.tolerate_changes else change_times.settled(entries, began)  # the copy may lack what it tolerates
    reason, same = _difference(request, root, entries, newest, warnings, progress, sealing)
    if same is not None and newest is not None:
        return _kept(request, name, newest, reason, warnings)
    base = _base(request, newest)
    written = [entry for entry in entries if base is None or base.same(entry) is None or (sealing and sealing.covers(entry.path))]
    if request.check_mode:
        copying.require_space(raw(nearest_directory(request.dest)), written)
        return Made(_next_path(request.dest, name), entries, False, reason, newest, warnings, True)
    with _staged(request, name) as stage:
        copying.require_space(stage.path, written)
        pages = _Pages(request, name, sealing, state)
        left = copying.copy_tree(root, entries, os.path.join(stage.path, TREE.encode()), progress, exclude=request.exclude,
                                 meanwhile=lambda: pages.write(entries), base=base, tolerant=request.tolerate_changes,
                                 sealing=sealing)
        path = _publish(request, name, stage, pages)
    return Made(path, entries, False, reason, newest, warnings, True, _retain(request, name, path), pages.digest, left)


def _base(request: Request, newest: Newest | None) -> copying.Base | None:
    """The newest copy when this one may build on it."""
    if newest is None or not request.incremental:
        return None
    return copying.Base(os.path.join(raw(newest.path), TREE.encode()), {entry.path: entry for entry in newest.entries})


def _pulled(request: Request, name: str, progress: Progress, sealing: Sealing | None) -> Made:
    host = PullHost.from_options(request.source_host or {})
    newest, warnings = newest_copy(request.dest, name)
    if request.check_mode:
        reason = f"would pull from {host.host}; whether it differs is only known then"
        return Made(_next_path(request.dest, name), [], False, reason, newest, warnings, True)
    with _staged(request, name) as stage:
        tree = os.path.join(stage.path, TREE.encode())
        pages = _Pages(request, name, sealing)
        left: list[bytes] | None = [] if request.tolerate_changes else None
        received = pull_tree(host, tree, request.exclude, progress, meanwhile=pages.write, base=_base(request, newest), left_out=left,
                             sealing=sealing)
        require_content(request.src, received, request.allow_empty)
        differs = _unlike(received, newest, sealing) if newest else []
        if request.reuse and newest and not differs and not _damaged(newest, warnings, progress):
            return _kept(request, name, newest, "identical to the newest copy", warnings)
        reason = f"differs from the newest copy: {first_names(differs)}" if differs else "no complete copy to reuse"
        path = _publish(request, name, stage, pages)
    return Made(path, received, False, reason, newest, warnings, True, _retain(request, name, path), pages.digest, left or [])


def _unchanged(request: Request, entries: list[Entry], newest: Newest | None, sealing: Sealing | None) -> bool:
    """Whether the kernel's times are enough to keep the newest copy, where they are asked to be."""
    if not request.reuse or request.reuse_by == "content" or newest is None or not newest.source_state:
        return False
    if (sealing is None) != (newest.sealed is None) or (sealing is not None and not sealing.chooses_as(newest.sealed)):
        return False
    return newest.source_state == change_times.state(entries) and change_times.looks_whole(
        os.path.join(raw(newest.path), TREE.encode()), newest.entries)


def _unlike(received: list[Entry], newest: Newest, sealing: Sealing | None) -> list[bytes]:
    """Paths in which what was received is not the newest copy; what is encrypted in both is compared by their one digest."""
    digests = clear_digests(received)
    if sealing is not None and sealing.agrees(newest.sealed, digests):
        return differing(as_source(received, digests), as_source(newest.entries, digests), copying.WHOLE)
    return differing(received, newest.entries, copying.WHOLE)


def _difference(request: Request, root: bytes, entries: list[Entry], newest: Newest | None, warnings: list[str],
                progress: Progress, sealing: Sealing | None) -> tuple[str, Newest | None]:
    """Why a new copy is needed, or (reason, the copy that can be reused): its source read now, its own bytes read again."""
    if newest is None:
        return "no complete copy yet", None
    if not request.reuse:
        return "reuse is off", None
    known = newest.entries
    if sealing is not None:
        secret = [entry for entry in entries if entry.is_file and sealing.covers(entry.path)]
        copying.read_digests(root, secret)
        digests = {entry.path: entry.sha256 for entry in secret}
        if not sealing.agrees(newest.sealed, digests):
            return "what is encrypted, or for whom, differs from the newest copy", None
        known = as_source(newest.entries, digests)
    differs = copying.differences(root, entries, known, request.exclude, progress)
    if differs:
        return f"differs from the newest copy: {first_names(differs)}", None
    if _damaged(newest, warnings, progress):
        return "the newest copy is damaged", None
    return "identical to the newest copy", newest


def _damaged(newest: Newest, warnings: list[str], progress: Progress) -> bool:
    damaged = copying.damage(os.path.join(raw(newest.path), TREE.encode()), newest.entries, progress)
    if damaged:
        warnings.append(f"the copy {newest.path} is damaged and was not reused: {first_names(damaged)}")
    return bool(damaged)


def newest_copy(dest: str, name: str) -> tuple[Newest | None, list[str]]:
    """The newest copy of ``name`` in ``dest`` with a sound manifest, and warnings about newer ones without."""
    warnings: list[str] = []
    for item in reversed(_existing(dest, name)):
        path = os.path.join(dest, item)
        try:
            manifest = _manifest.read_manifest(path, document.KIND)
            return Newest(path, document.parse(manifest, path), manifest.get("sealed"),
                          manifest.get("source_state"), manifest["digest"]), warnings
        except MigrationError as error:
            warnings.append(error.message)
    return None, warnings


def _existing(dest: str, name: str) -> list[str]:
    try:
        return naming.copies(name, (text(item) for item in os.listdir(raw(dest))))
    except FileNotFoundError:
        return []


def _next_path(dest: str, name: str) -> str:
    return os.path.join(dest, naming.copy_name(name, datetime.now(timezone.utc), _existing(dest, name)))


@contextlib.contextmanager
def _staged(request: Request, name: str) -> Any:
    try:
        dest = os.path.realpath(raw(private_directory(request.dest)))
        with system.locked(dest):
            system.remove_abandoned(dest, raw(name))
            stage = system.Stage(dest, raw(name))
    except OSError as error:
        raise MigrationError(f"dest {request.dest} cannot be written to: {error.strerror}", subject="dest") from None
    try:
        yield stage
    finally:
        stage.close()


def _publish(request: Request, name: str, stage: system.Stage, pages: _Pages) -> str:
    """Write the manifest, then give the copy its name: it exists whole or not at all."""
    publish(os.path.join(os.fsdecode(stage.path), _manifest.NAME), pages.data)
    with system.locked(stage.parent):
        path = _next_path(request.dest, name)
        stage.publish(os.path.join(stage.parent, raw(os.path.basename(path))))
    return path


def _kept(request: Request, name: str, newest: Newest, reason: str, warnings: list[str], unread: bool = False) -> Made:
    removed = [] if request.check_mode else _retain(request, name, newest.path)
    return Made(newest.path, newest.entries, True, reason, newest, warnings, bool(removed), removed, newest.digest, unread=unread)


def _retain(request: Request, name: str, verified: str) -> list[str]:
    """Remove surplus older copies of ours; a directory without a sound manifest of this name is not ours."""
    removed = []
    complete = [item for item in _existing(request.dest, name) if os.path.exists(os.path.join(request.dest, item, _manifest.NAME))]
    for item in naming.surplus(complete, request.keep, [os.path.basename(verified)]):
        path = os.path.join(request.dest, item)
        try:
            if _manifest.read_manifest(path, document.KIND).get("name") != name:
                continue
        except MigrationError:
            continue
        with system.locked(os.path.realpath(raw(request.dest))):
            system.retire(os.path.realpath(raw(path)), raw(name))
        removed.append(path)
    return removed


def _result(request: Request, name: str, made: Made, duration: float) -> dict[str, Any]:
    planned = (request.check_mode or request.only_look) and not made.reused
    verb = "kept" if made.reused else "would copy" if planned else "copied"
    known = not planned
    number = counts(made.entries)
    digest = made.digest or (tree_digest(made.entries) if known else None)
    result: dict[str, Any] = {
        "changed": made.changed, "reused": made.reused, "path": made.path, "files": number["files"], "bytes": number["bytes"],
        "encrypted": len(sealed(made.entries)), "sha256": digest, "left_out": len(made.left_out),
        "since_before": since_before(made) if known else None,
        "duration": round(duration, 3), "removed": made.removed, "msg": f"{name}: {verb}, {made.reason}",
        "warnings": made.warnings,
        "diff": {"before": summary(made.before.entries) if made.before else "", "after": summary(made.entries),
                 "before_header": "newest copy", "after_header": made.path},
    }
    if known:
        manifest = os.path.join(made.path, _manifest.NAME)
        sha256 = _manifest.sha256_file(manifest)
        result["manifest"] = {"path": manifest, "sha256": sha256}
        told = in_clear(name, made.entries) if request.tell_secrets and not request.encrypt else []
        result["journal"] = journal(name, made.path, number, digest or "", sha256, made, result["duration"], told)
        if request.second_copy:
            result["journal"]["evidence"] = [second_copy(name, request.src, made.path, sha256)]
        not_kept.tell(result, not_kept.sentences(f"{name} in {request.dest}" if request.second_copy else name, made.entries))
    return result
