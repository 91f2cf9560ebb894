# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a tree changed, by the change times that its kernel keeps and nobody can set; no content is read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence

from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, FILE, LINK, Entry
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import walk

RECENT = 2_000_000_000
"""Nanoseconds. A kernel counts in ticks of up to 10 ms, a file system in seconds at worst: of what changed just before it was looked at,
a later change may have the same time (the "racy git problem" of git's documentation)."""


def state(entries: Iterable[Entry]) -> str:
    """SHA-256 over path, inode, change time and attributes of scanned ``entries``: another one after every change of the tree."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda e: e.path):
        digest.update(b"%b\0%b\0%b\0%d\0%d\0%d\0%d\0%d\0%d\0%d\0%d\0\n" % (
            entry.path, entry.target or b"", entry.type.encode(), *entry.inode, entry.ctime_ns, entry.mtime_ns, entry.size, entry.mode,
            entry.uid, entry.gid))
    return digest.hexdigest()


def settled(entries: Sequence[Entry], began_ns: int) -> str | None:
    """The :func:`state` of ``entries`` scanned at ``began_ns``, None when one of them changed too shortly before to tell it later."""
    return None if any(entry.ctime_ns > began_ns - RECENT for entry in entries) else state(entries)


def looks_whole(root: bytes, entries: Sequence[Entry]) -> bool:
    """Whether the copy at ``root`` has the names, sizes, modes and times of ``entries``."""
    wanted = {entry.path: entry for entry in entries if entry.type != DIRECTORY}
    try:
        for path, item in walk(root):
            if not item.is_dir(follow_symlinks=False):
                entry = wanted.pop(path, None)
                if entry is None or not _looks_like(item, entry):
                    return False
    except OSError:
        return False
    return not wanted


def _looks_like(item: os.DirEntry[bytes], entry: Entry) -> bool:
    status = item.stat(follow_symlinks=False)
    if status.st_mtime_ns != entry.mtime_ns:
        return False
    if entry.type == LINK:
        return stat.S_ISLNK(status.st_mode) and os.readlink(item.path) == entry.target
    return (entry.type == FILE and stat.S_ISREG(status.st_mode)
            and (status.st_size, stat.S_IMODE(status.st_mode)) == (entry.size, entry.mode))
