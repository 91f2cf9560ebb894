# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``tree_fence``: whether anything in a tree changed since a moment, told by names, sizes and times, without reading a file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import record, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, ROOT, Entry, counts, first_names, raw
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan


@dataclass
class Request:
    """What is asked for; the options of the module of the same names."""

    path: str
    record_file: str
    state: str = "held"
    sha256: str | None = None
    settle: float = 30.0
    check_mode: bool = False


def tree_fence(request: Request) -> dict[str, Any]:
    """Do what ``request`` says and return the module's result. Raises :class:`MigrationError`."""
    with system.plain_errors():
        if request.state == "absent":
            return _forget(request)
        return _take(request) if request.state == "taken" else _hold(request)


def stamp(entries: Sequence[Entry]) -> str:
    """SHA-256 over everything that a write, a change of rights, a new, removed or renamed name alters; contents are not read.

    The change time is the kernel's own: no program sets it, every one of these advances it.
    """
    digest = hashlib.sha256()
    for e in sorted(entries, key=lambda entry: entry.path):
        facts = (e.mode, e.uid, e.gid, 0 if e.type == DIRECTORY else e.size, e.mtime_ns, e.ctime_ns, e.inode[1])
        digest.update(b"\0".join([e.path, e.type.encode(), e.target or b"", *(b"%d" % fact for fact in facts)]) + b"\0\0")
    return digest.hexdigest()


def _look(path: str) -> list[Entry]:
    root = os.path.realpath(raw(path))
    if not os.path.isdir(root):
        raise MigrationError(f"{path} is no directory any more", subject="path")
    return scan(root)


def _take(request: Request) -> dict[str, Any]:
    """Look at a tree that is quiet: what was changed within the moment of the look could change again without a sign of it."""
    until = time.monotonic() + request.settle
    while True:
        since = time.time_ns() - system.TICK
        # Pages that a program has mapped and not written yet would hide what it writes next.
        system.sync_filesystem(os.path.realpath(raw(request.path)))
        try:
            entries = _look(request.path)
            moving = [entry.path for entry in entries if entry.ctime_ns >= since]
        except MigrationError as error:
            if not error.facts.get("moving"):
                raise
            moving = [ROOT]
        if not moving:
            break
        if time.monotonic() >= until:
            raise MigrationError(f"{request.path} is being written to ({first_names(moving)}): stop what writes there", subject="path")
        time.sleep(0.2)
    found = stamp(entries)
    changed = record.read(request.record_file).get("stamp") != found
    if changed and not request.check_mode:
        record.write(request.record_file, {"format": 1, "path": request.path, "stamp": found, "since_ns": since, "sha256": None})
    return _result(request, changed, "watched from here on", entries, since, None)


def _hold(request: Request) -> dict[str, Any]:
    """The tree is what it was when the fence was taken; ``sealed`` adds the digest of what was copied meanwhile to the record."""
    kept = record.read(request.record_file)
    if kept.get("path") != request.path:
        raise MigrationError(f"nothing says what {request.path} was: take the fence first", subject="record_file")
    entries = _look(request.path)
    if stamp(entries) != kept["stamp"]:
        moved = [entry.path for entry in entries if entry.ctime_ns >= kept["since_ns"]]
        what = first_names(moved) if moved else "names that are gone"
        raise MigrationError(f"{request.path} was written to after it was copied ({what}): find what writes there despite the freeze",
                             subject="path")
    if request.state == "held":
        if not kept["sha256"]:
            raise MigrationError(f"{request.path} was not copied whole since the fence was taken: copy it again", subject="record_file")
        return _result(request, False, "nothing was written", entries, kept["since_ns"], kept["sha256"])
    changed = kept["sha256"] != request.sha256
    if changed and not request.check_mode:
        record.write(request.record_file, {**kept, "sha256": request.sha256})
    return _result(request, changed, "nothing was written while it was copied", entries, kept["since_ns"], request.sha256)


def _forget(request: Request) -> dict[str, Any]:
    there = os.path.exists(request.record_file)
    if there and not request.check_mode:
        os.unlink(request.record_file)
    return {"changed": there, "msg": f"{request.path}: {'no longer watched' if there else 'was not watched'}", "warnings": []}


def _result(request: Request, changed: bool, reason: str, entries: Sequence[Entry], since: int, sha256: str | None) -> dict[str, Any]:
    number = counts(entries)
    moment = datetime.fromtimestamp(since // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"{request.path}: {reason}, {number['files']} files, {number['bytes']} bytes"
    return {"changed": changed, "msg": text, "files": number["files"], "bytes": number["bytes"], "since": moment, "sha256": sha256,
            "warnings": [], "journal": {"summary": text[:300], "changed": changed,
                                        "counts": {"files": number["files"], "bytes": number["bytes"]}}}
