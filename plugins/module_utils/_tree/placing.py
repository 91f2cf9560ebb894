# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``tree_place``: a verified copy put where an application uses it, proved by reading it there, and looked at again later."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory
from ansible_collections.dihya.migration.plugins.module_utils._tree import content, copying, document, not_kept, putting, record, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import TREE
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import FILE, Entry, counts, first_names, raw, tree_digest
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan
from ansible_collections.dihya.migration.plugins.module_utils._tree.sealing import sealed
from ansible_collections.dihya.migration.plugins.module_utils._tree.staging import chosen_ids

CAPABILITY = "security.capability"


@dataclass
class Request:
    """What is asked for; the options of the module of the same names."""

    path: str
    record_file: str
    state: str = "placed"
    sha256: str | None = None
    copy: str | None = None
    stage: str | None = None
    owner: str | None = None
    group: str | None = None
    overwrite: bool = False
    check_mode: bool = False


def tree_place(request: Request) -> dict[str, Any]:
    """Do what ``request`` says and return the module's result. Raises :class:`MigrationError`."""
    with system.plain_errors():
        return {"placed": _place, "kept": _keep, "absent": _forget}[request.state](request)


def _place(request: Request) -> dict[str, Any]:
    found = _found(request.path)
    if found is not None and tree_digest(found) == request.sha256:
        if not request.check_mode:
            _remember(request, raw(request.path))
            _clear(request)
        return _result(request, False, "is there, read again from the disk", found)
    if found is not None and len(found) > 1 and not (request.overwrite or _is_ours(request)):
        raise MigrationError(f"{request.path} is not empty: move away what is there, or say that it is to be replaced", subject="path")
    if request.check_mode:
        return dict(_result(request, True, "would be put there", []), placed=False)
    wanted = _entries_of(request)
    tree = os.path.join(raw(request.copy or ""), TREE.encode())
    owner = chosen_ids(request.owner, request.group)
    if owner is not None:
        _give(tree, wanted, owner)
    _remember(request, tree)  # before it is there: what a killed run leaves in the place is known to be ours
    putting.swap(tree, raw(request.path))
    fsync_directory(os.path.dirname(request.path))
    copying.sync(raw(request.path))
    damaged = copying.damage(raw(request.path), wanted, owner=owner)
    if damaged:
        raise MigrationError(f"{request.path} is not what was copied ({first_names(damaged)}): do not trust this disk", subject="path")
    _clear(request)
    result = _result(request, True, "put there and read again from the disk", wanted)
    return not_kept.tell(result, not_kept.sentences(request.path, wanted))


def _is_ours(request: Request) -> bool:
    kept = record.read(request.record_file)
    return kept.get("path") == request.path and kept["inode"] == os.lstat(request.path).st_ino


def _clear(request: Request) -> None:
    """Remove the stage: the files of an earlier copy in it may be further names of those in place, and nobody may write to both."""
    if request.stage and os.path.lexists(request.stage):
        system.remove_tree(raw(request.stage))


def _entries_of(request: Request) -> list[Entry]:
    if not request.copy or not request.stage or os.path.dirname(request.copy) != os.path.normpath(request.stage):
        raise MigrationError(f"{request.path} has not the content wanted: name a copy, and the stage that it lies in", subject="copy")
    entries = document.parse(_manifest.read_manifest(request.copy, document.KIND), request.copy)
    if tree_digest(entries) != request.sha256:
        raise MigrationError(f"{request.copy} is not the copy with the digest wanted: copy it again", subject="copy")
    if sealed(entries):
        raise MigrationError(f"{request.copy} holds encrypted files, which no application can read: open them elsewhere", subject="copy")
    return entries


def _found(path: str) -> list[Entry] | None:
    """The tree at ``path`` with its digests, read from the disk; None when there is nothing."""
    root = raw(path)
    if not os.path.lexists(root):
        return None
    if os.path.islink(root) or not os.path.isdir(root):
        raise MigrationError(f"{path} is no directory", subject="path")
    entries = scan(root)
    copying.read_digests(root, entries, content.from_the_disk)
    return entries


def _give(root: bytes, entries: Sequence[Entry], owner: tuple[int, int]) -> None:
    """Let all of the tree belong to ``owner``; a change of owner takes bits of the mode and capabilities away, so they come after it."""
    for entry in entries:
        full = content.place(root, entry.path)
        os.chown(full, *owner, follow_symlinks=False)
        content.set_xattrs(full, {name: value for name, value in (entry.xattrs or {}).items() if name == CAPABILITY})
        if entry.type == FILE and entry.mode & (stat.S_ISUID | stat.S_ISGID):
            os.chmod(full, entry.mode)


def _keep(request: Request) -> dict[str, Any]:
    """The directory at ``path`` still is the one that was put there, whatever users have added since."""
    kept = record.read(request.record_file)
    if not kept:
        raise MigrationError(f"nothing says that {request.path} was put there", subject="record_file")
    if not os.path.isdir(request.path) or not _is_ours(request):
        raise MigrationError(f"{request.path} is no longer the directory that was put there", subject="path")
    return {"changed": False, "msg": f"{request.path} is in place", "sha256": kept["sha256"], "warnings": []}


def _forget(request: Request) -> dict[str, Any]:
    there = [path for path in (request.stage or "", request.record_file) if path and os.path.lexists(path)]
    for path in [] if request.check_mode else there:
        system.remove_tree(raw(path))
    return {"changed": bool(there), "msg": "nothing of it is left beside its place", "warnings": []}


def _remember(request: Request, tree: bytes) -> None:
    kept = {"format": 1, "path": request.path, "inode": os.lstat(tree).st_ino, "sha256": request.sha256}
    if kept != record.read(request.record_file):
        record.write(request.record_file, kept)


def _result(request: Request, changed: bool, reason: str, entries: Sequence[Entry]) -> dict[str, Any]:
    number = counts(entries)
    text = f"{request.path}: {reason}, {number['files']} files, {number['bytes']} bytes"
    journal: dict[str, Any] = {"summary": text[:300], "changed": changed, "counts": {"files": number["files"], "bytes": number["bytes"]},
                               "digests": {request.path: request.sha256}}
    if changed and not request.check_mode:
        status = os.lstat(request.path)
        journal["created"] = [{"kind": "path", "name": request.path, "identity": f"{status.st_dev}:{status.st_ino}"}]
    return {"changed": changed, "placed": True, "msg": text, "files": number["files"], "bytes": number["bytes"], "sha256": request.sha256,
            "warnings": [], "journal": journal,
            "diff": {"before": "", "after": f"{text}\n"} if changed else {"before": "", "after": ""}}
