# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a tree changed, by the change times that its kernel keeps and nobody can set; no content is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, Entry, differing
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan

RECENT = 2_000_000_000
"""Nanoseconds. A kernel counts in ticks of up to 10 ms, a file system in seconds at worst: of what changed just before it was looked at,
a later change may have the same time (the "racy git problem" of git's documentation)."""


def state(entries: Iterable[Entry]) -> str:
    """SHA-256 over path, inode, change time and attributes of scanned ``entries``: another one after every change of the tree."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda e: e.path):
        facts = (entry.type, *entry.inode, entry.ctime_ns, entry.mtime_ns, entry.size, entry.mode, entry.uid, entry.gid)
        digest.update(b"\0".join((entry.path, entry.target or b"", *(str(fact).encode() for fact in facts))) + b"\0\n")
    return digest.hexdigest()


def settled(entries: Sequence[Entry], began_ns: int) -> str | None:
    """The :func:`state` of ``entries`` scanned at ``began_ns``, None when one of them changed too shortly before to tell it later."""
    return None if any(entry.ctime_ns > began_ns - RECENT for entry in entries) else state(entries)


def looks_whole(root: bytes, entries: Sequence[Entry]) -> bool:
    """Whether the copy at ``root`` has the names, sizes, modes and times of ``entries``."""
    try:
        found = scan(root)
    except (OSError, MigrationError):
        return False
    fields = ("mode", "size", "mtime_ns", "target")
    wanted = [entry for entry in entries if entry.type != DIRECTORY]
    return not differing([entry for entry in found if entry.type != DIRECTORY], wanted, fields)
