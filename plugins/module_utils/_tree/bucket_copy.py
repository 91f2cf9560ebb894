# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A copy of a tree in a bucket: one archive, read again from there, and its manifest, put last.

``NAME_YYYY-MM-DD_HHMM/tree.tar`` unpacks to the directory ``tree`` of a local copy, and ``manifest.json`` is the manifest of one. Without
a manifest it is no copy; ``upload-….json`` says who is at it, so that two never send to one name, and what a killed upload left is known
and removed by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive, machine, this_process
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._transport.bucket import Bucket
from ansible_collections.dihya.migration.plugins.module_utils._tree import archive, content, copying, document, naming
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import Entry, counts, differing, first_names, tree_digest

TREE = "tree"
ARCHIVE, MARK = "tree.tar", "upload"
TRIES, PAUSE = 20, 2.0
"""How often a name is tried that others try too, and for how many seconds at most it is waited in between."""


@dataclass
class Sent:
    """What became of the copy in one bucket; ``name`` its place there, ``sha256`` of its manifest (None: none was made)."""

    bucket: Bucket
    name: str
    changed: bool
    reused: bool
    reason: str
    sha256: str | None = None
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """The module's result."""
        return {"path": self.bucket.at(self.name), "changed": self.changed, "reused": self.reused, "msg": self.reason,
                "manifest_sha256": self.sha256, "removed": self.removed}

    def evidence(self, name: str) -> dict[str, Any]:
        """Evidence for the checklist: a bucket is another place than any disk of this host."""
        return {"item": "backup", "observed": f"second copy of {name}: in the bucket {self.bucket.remote}, read again from there",
                "sha256": self.sha256, "verdict": "proved", "elsewhere": True}


@dataclass(frozen=True)
class Tree:
    """What is to be sent: the tree at ``root``; files of ``entries`` that have a digest already must still have it."""

    name: str
    root: bytes
    entries: list[Entry]
    exclude: Sequence[str]
    facts: dict[str, Any]


def send(bucket: Bucket, tree: Tree, keep: int | None, reuse: bool, check_mode: bool, progress: Progress) -> Sent:
    """Bring the tree into the bucket unless its newest copy there is the same. Raises :class:`MigrationError`."""
    there = _there(bucket, tree.name)
    contents = {name: bucket.names(name) for name in there}
    complete = [name for name in there if _manifest.NAME in contents[name]]
    warnings: list[str] = []
    newest = _newest(bucket, complete, warnings)
    reason = _difference(bucket, tree, newest, reuse, progress, warnings)
    if reason is None and newest is not None:
        sent = Sent(bucket, newest[0], False, True, "identical to the newest copy there", newest[3], warnings=warnings)
    else:
        name = naming.copy_name(tree.name, datetime.now(timezone.utc), there)
        sent = Sent(bucket, name, True, False, reason or "", warnings=warnings)
        if check_mode:
            return sent
        _sweep(bucket, {name: found for name, found in contents.items() if name not in complete}, warnings)
        sent.name, mark = _reserve(bucket, tree.name, there)
        sent.sha256 = _upload(bucket, tree, sent.name, mark, progress)
        complete.append(sent.name)
    if not check_mode:
        sent.removed = naming.surplus(complete, keep, [sent.name])
        for name in sent.removed:
            _claim(bucket, name)
            _clear(bucket, name)
        sent.changed = sent.changed or bool(sent.removed)
    return sent


def _there(bucket: Bucket, name: str) -> list[str]:
    """What bears the name of a copy of ``name`` there, the oldest first."""
    return naming.copies(name, (item[:-1] for item in bucket.names() if item.endswith("/")))


_Newest = tuple[str, list[Entry], dict[str, Any], str]


def _newest(bucket: Bucket, complete: list[str], warnings: list[str]) -> _Newest | None:
    """The newest copy with a sound manifest: name, entries, facts of its archive, digest of the manifest."""
    for name in reversed(complete):
        data = bucket.read(f"{name}/{_manifest.NAME}") or b""
        try:
            manifest = json.loads(data)
            return name, document.parse(manifest, bucket.at(name)), manifest["archive"], hashlib.sha256(data).hexdigest()
        except MigrationError as error:
            warnings.append(error.message)
        except (ValueError, KeyError, TypeError):
            warnings.append(f"{bucket.at(name)} has no manifest that can be read")
    return None


def _difference(bucket: Bucket, tree: Tree, newest: _Newest | None, reuse: bool, progress: Progress, warnings: list[str]) -> str | None:
    """Why a new copy is needed; None when source and copy, both read completely now, are the same."""
    if newest is None:
        return "no complete copy there yet"
    if not reuse:
        return "reuse is off"
    name, known, stored, _sha256 = newest
    hashed = all(entry.sha256 for entry in tree.entries if entry.is_file)
    fields = copying.WHOLE if hashed else copying.SAME
    differs = differing(tree.entries, known, fields)
    if not differs and not hashed:
        differs = copying.differences(tree.root, tree.entries, known, tree.exclude, progress)
    if differs:
        return f"differs from the newest copy there: {first_names(differs)}"
    progress.begin("read the bucket", int(stored["size"]))
    if bucket.digest(f"{name}/{ARCHIVE}", progress.advance) == (stored["size"], stored["sha256"]):
        return None
    warnings.append(f"the copy {bucket.at(name)} is damaged and was not reused")
    return "the newest copy there is damaged"


def _upload(bucket: Bucket, tree: Tree, name: str, mark: str, progress: Progress) -> str:
    """Archive, proof, manifest, in this order, below the reserved ``name``; the digest of the manifest."""
    weight = sum(entry.size for entry in copying.inodes(tree.entries))
    progress.begin("send", weight)
    with bucket.sending(f"{name}/{ARCHIVE}", archive.bound(tree.entries)) as stream:
        counted = _Counted(stream)
        archive.write_archive(counted, tree.root, tree.entries, TREE, progress.advance)  # type: ignore[arg-type]  # it only writes
    moved = copying.Check(tree.root, tree.entries, content.is_unmoved, tree.exclude).results()
    if moved:
        _clear(bucket, name)
        raise MigrationError(f"the source changed while it was copied ({first_names(moved)}): stop what writes there, or exclude it")
    progress.begin("read the bucket", counted.size)
    if bucket.digest(f"{name}/{ARCHIVE}", progress.advance) != (counted.size, counted.digest.hexdigest()):
        _clear(bucket, name)
        raise MigrationError(f"what {bucket.remote} holds is not what was sent to it: do not trust this place", subject="buckets")
    facts = dict(tree.facts, archive={"path": ARCHIVE, "size": counted.size, "sha256": counted.digest.hexdigest()})
    data, _head = document.render(tree.entries, TREE, **facts)
    bucket.write(f"{name}/{_manifest.NAME}", data)
    if bucket.read(f"{name}/{_manifest.NAME}") != data:
        bucket.delete(f"{name}/{_manifest.NAME}")
        raise MigrationError(f"the manifest in {bucket.remote} is not what was sent to it: do not trust this place", subject="buckets")
    bucket.delete(f"{name}/{mark}")
    return hashlib.sha256(data).hexdigest()


def _reserve(bucket: Bucket, name: str, there: list[str]) -> tuple[str, str]:
    """A name for a copy that nobody else sends to, and our mark below it; ``there`` are names known to be taken.

    Rclone cannot ask for an object to be made only where there is none. So each leaves a mark of its own and then looks: of two that
    chose one name, the later one at least sees the other, and who sees another tries again.
    """
    for _attempt in range(TRIES):
        chosen = naming.copy_name(name, datetime.now(timezone.utc), there)
        mark = _claim(bucket, chosen)
        if bucket.names(chosen) == [mark]:
            return chosen, mark
        bucket.delete(f"{chosen}/{mark}")
        time.sleep(random.uniform(0, PAUSE))
        there = _there(bucket, name)
    raise MigrationError(f"others send copies of {name} to {bucket.remote} again and again: try it later", subject="buckets")


def _claim(bucket: Bucket, name: str) -> str:
    """Say who is at it, before anything else: what is left of a copy or of its removal is known by that. The name of the mark."""
    mark = f"{MARK}-{os.urandom(8).hex()}.json"
    bucket.write(f"{name}/{mark}", json.dumps({"machine": machine(), **this_process()}).encode())
    return mark


def _clear(bucket: Bucket, name: str) -> None:
    """Remove a copy so that it is none from the first moment on, and known as ours to the last."""
    bucket.remove(name, _manifest.NAME, MARK, (ARCHIVE,))


class _Counted:
    """A stream that knows what went through it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.size, self.digest = stream, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Pass ``data`` on."""
        self.digest.update(data)
        self.size += len(data)
        self._stream.write(data)
        return len(data)


def _sweep(bucket: Bucket, unfinished: dict[str, list[str]], warnings: list[str]) -> None:
    """Remove what uploads of this machine left that are dead; others may live, or are not ours."""
    for name, found in unfinished.items():
        if not found:
            continue
        try:
            makers = [json.loads(bucket.read(f"{name}/{mark}") or b"") for mark in found if mark.startswith(MARK)]
            dead = bool(makers) and all(maker["machine"] == machine() and not is_alive(maker) for maker in makers)
        except (ValueError, KeyError, TypeError):
            dead = False
        if dead:
            _clear(bucket, name)
        else:
            warnings.append(f"{bucket.at(name)} is unfinished and not known to be ours: remove it when nobody works on it")


def result_of(sent: Sequence[Sent], tree: Tree, started: float) -> dict[str, Any]:
    """The result of a module that made nothing but copies in buckets."""
    number, digest = counts(tree.entries), tree_digest(tree.entries) if all(one.sha256 for one in sent) else None
    duration, changed = round(time.monotonic() - started, 3), any(one.changed for one in sent)
    observed = f"copy of {tree.name}: {number['files']} files, {number['bytes']} bytes, sent and read again from the bucket"
    return {
        "changed": changed, "reused": not changed, "path": sent[0].bucket.at(sent[0].name), "files": number["files"],
        "bytes": number["bytes"], "sha256": digest, "duration": duration, "removed": [], "warnings": [],
        "msg": f"{tree.name}: {sent[0].reason}",
        "journal": {"summary": f"{observed}."[:300], "changed": changed, "duration": duration,
                    "counts": {"files": number["files"], "bytes": number["bytes"]}, "digests": {tree.name: digest} if digest else {},
                    "evidence": []},
    }
