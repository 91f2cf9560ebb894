# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a tree is: its entries, their digest, and what differs between two trees. Nothing here touches a disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

DIRECTORY, FILE, LINK = "directory", "file", "link"
ROOT = b"."
OWNER, MTIME = "owner", "mtime"
SHOWN_PATHS = 10


@dataclass
class Entry:
    """One name in a tree. ``path`` is relative to the root, which is itself the entry ``b"."``; names are bytes.

    ``mtime_ns`` and ``ctime_ns`` in nanoseconds, ``size`` in bytes (files only), ``sha256`` hexadecimal (files, once read),
    ``target`` of a symbolic link, ``link_of`` the first path of the same inode when this one is a further hard link. A file that is
    stored encrypted has ``clear_size``, the bytes that it held, and in memory alone ``clear_sha256``, their digest. ``not_kept`` names
    what the copy could not be given (``owner``, ``mtime``, names of extended attributes).
    """

    path: bytes
    type: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    owner: str | None = None
    group: str | None = None
    mtime_ns: int = 0
    size: int = 0
    sha256: str | None = None
    target: bytes | None = None
    link_of: bytes | None = None
    xattrs: dict[str, bytes] | None = None
    ctime_ns: int = 0
    inode: tuple[int, int] = (0, 0)
    clear_size: int | None = None
    clear_sha256: str | None = None
    not_kept: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.type == FILE


def text(path: bytes) -> str:
    """A name as text: UTF-8, other bytes as lone surrogates (PEP 383), so that it can be turned back."""
    return path.decode("utf-8", "surrogateescape")


def raw(path: str) -> bytes:
    """The bytes of a name made by :func:`text`."""
    return path.encode("utf-8", "surrogateescape")


def shown(path: bytes) -> str:
    """A name for people: one line, never an undecodable or control character."""
    name = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def first_names(paths: Iterable[bytes], limit: int = SHOWN_PATHS) -> str:
    """The first ``limit`` names and how many more there are."""
    names = sorted(paths)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(shown(name) for name in names[:limit]) + more


def tree_digest(entries: Iterable[Entry]) -> str:
    """SHA-256 over the sorted entries: path, type, mode, size, and content or link target.

    Owners, times and extended attributes are not in it: the same tree keeps its digest on another host and under another user.
    """
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda e: e.path):
        digest.update(_digested(entry))
    return digest.hexdigest()


def _digested(entry: Entry) -> bytes:
    # Always five fields, none of which can contain a NUL: no two trees give the same bytes.
    if entry.type == FILE:
        return b"%b\0file\0%o\0%d\0%b\0" % (entry.path, entry.mode, entry.size, (entry.sha256 or "").encode())
    if entry.type == LINK:
        return b"%b\0link\0\0\0%b\0" % (entry.path, entry.target or b"")
    return b"%b\0directory\0%o\0\0\0" % (entry.path, entry.mode)


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """Numbers of files, directories (the root not counted) and links, and the files' bytes."""
    found = {"files": 0, "directories": 0, "links": 0, "bytes": 0}
    for entry in entries:
        if entry.type == FILE:
            found["files"] += 1
            found["bytes"] += entry.size
        elif entry.type == LINK:
            found["links"] += 1
        elif entry.path != ROOT:
            found["directories"] += 1
    return found


def summary(entries: Sequence[Entry]) -> str:
    """A tree in a few lines: counts and the first names, for diffs."""
    number = counts(entries)
    line = f"{number['files']} files, {number['directories']} directories, {number['links']} links, {number['bytes']} bytes"
    names = sorted(entry.path for entry in entries if entry.path != ROOT)
    more = [f"… and {len(names) - SHOWN_PATHS} more"] if len(names) > SHOWN_PATHS else []
    return "\n".join([line, *map(shown, names[:SHOWN_PATHS]), *more]) + "\n"


def differing(expected: Iterable[Entry], found: Iterable[Entry], fields: Sequence[str]) -> list[bytes]:
    """Sorted paths that are in one tree only or differ in one of ``fields`` (names of :class:`Entry`)."""
    left, right = ({entry.path: _facts(entry, fields) for entry in entries} for entries in (expected, found))
    return sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path))


def _facts(entry: Entry, fields: Sequence[str]) -> tuple[Any, ...]:
    # The mode of a link and the size and time of a directory say nothing about the tree.
    ignored = {LINK: ("mode",), DIRECTORY: ("size", "mtime_ns")}.get(entry.type, ())
    return (entry.type, *(getattr(entry, field) for field in fields if field not in ignored))
