# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tree as one tar stream that GNU tar unpacks exactly, each file hashed on its way out."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Sequence
from typing import IO, Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import content
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, LINK, ROOT, Entry, shown, text
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import read_xattrs

XATTR = "SCHILY.xattr."
HEADERS = 4096
TYPES = {DIRECTORY: tarfile.DIRTYPE, LINK: tarfile.SYMTYPE}


def bound(entries: Sequence[Entry]) -> int:
    """Upper limit of the archive's size in bytes."""
    return 1 << 16 | sum(entry.size + HEADERS + 4 * len(entry.path) + sum(map(len, (entry.xattrs or {}).values())) for entry in entries)


def write_archive(stream: IO[bytes], root: bytes, entries: Sequence[Entry], below: str, tick: Callable[[int], None]) -> None:
    """Write the scanned ``entries`` of ``root`` as the directory ``below``; gives files their digest, or compares it where they have one.

    Raises :class:`MigrationError` when a file is not what was scanned.
    """
    digests: dict[bytes, str | None] = {}
    with tarfile.open(fileobj=stream, mode="w|", bufsize=content.CHUNK, format=tarfile.PAX_FORMAT, encoding="utf-8",
                      errors="surrogateescape") as archive:
        for entry in entries:
            archive.members = []  # type: ignore[attr-defined]  # nobody reads them, and they would fill the memory
            if entry.is_file and entry.link_of is None:
                digests[entry.path] = _add_file(archive, content.place(root, entry.path), entry, below)
                tick(entry.size)
            else:
                archive.addfile(header(entry, below))
            if entry.link_of is not None:
                entry.sha256 = digests[entry.link_of]


def header(entry: Entry, below: str) -> tarfile.TarInfo:
    """The tar member of ``entry``; times to the nanosecond, attributes and other bytes than UTF-8 as GNU tar writes them."""
    found = tarfile.TarInfo(_name(entry.path, below))
    found.mode, found.uid, found.gid = entry.mode, entry.uid, entry.gid
    found.uname, found.gname = entry.owner or "", entry.group or ""
    seconds, rest = divmod(entry.mtime_ns, 1_000_000_000)
    found.pax_headers = {"mtime": f"{seconds}.{rest:09}", **{
        XATTR + name: value.decode("utf-8", "surrogateescape") for name, value in (entry.xattrs or {}).items()}}
    if entry.link_of is not None:
        found.type, found.linkname = tarfile.LNKTYPE, _name(entry.link_of, below)
    elif entry.is_file:
        found.size = entry.size
    else:
        found.type, found.linkname = TYPES[entry.type], text(entry.target or b"")
    return found


def _name(path: bytes, below: str) -> str:
    return below if path == ROOT else f"{below}/{text(path)}"


class _Hashed:
    """A file as tarfile reads it, hashed on the way."""

    def __init__(self, descriptor: int, digest: Any) -> None:
        self._descriptor, self._digest = descriptor, digest

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end."""
        chunk = os.read(self._descriptor, size)
        while len(chunk) < size and (more := os.read(self._descriptor, size - len(chunk))):
            chunk += more
        self._digest.update(chunk)
        return chunk


def _add_file(archive: tarfile.TarFile, full: bytes, entry: Entry, below: str) -> str:
    descriptor = content.open_source(full, entry.path)
    digest = hashlib.sha256()
    try:
        if not content.same_moment(entry, os.fstat(descriptor)):
            raise content.changed(entry.path)
        if entry.sha256 is None:
            entry.xattrs = read_xattrs(descriptor)
        archive.addfile(header(entry, below), _Hashed(descriptor, digest))  # type: ignore[arg-type]  # only its read is used
        if not content.same_moment(entry, os.fstat(descriptor)):
            raise content.changed(entry.path)
    except (tarfile.TarError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise content.changed(entry.path) from None
    finally:
        os.close(descriptor)
    if entry.sha256 is not None and entry.sha256 != digest.hexdigest():
        raise MigrationError(f"{shown(entry.path)} is not what was copied before: do not trust the disk of the first copy")
    entry.sha256 = digest.hexdigest()
    return entry.sha256
