# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tar stream taken apart as it arrives. The sender is not trusted: nothing it says may reach outside the tree."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import IO, Callable

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._tree import content, copying
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, FILE, LINK, ROOT, Entry, raw, shown
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import PLACE_BOUND, excluder, hidden
from ansible_collections.dihya.migration.plugins.module_utils._tree.sealing import Sealing

END = b"dihya-end\n"
XATTR = "SCHILY.xattr."
TRAILER_LIMIT = 64 << 20


@dataclass
class Received:
    """The entries that arrived, and what the sender's closing look found: changed meanwhile, sockets."""

    entries: list[Entry] = field(default_factory=list)
    moved: list[bytes] = field(default_factory=list)
    unsupported: list[bytes] = field(default_factory=list)


def safe_path(name: bytes) -> bytes:
    """The relative path of a member, ``b"."`` for the root; raises on an absolute one, on ``..``, on a NUL."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts or b"\0" in name:
        raise MigrationError(f"the stream names {shown(name)}, which lies outside its tree")
    return b"/".join(parts) or ROOT


def stays_inside(path: bytes, target: bytes) -> bool:
    """Whether a link at ``path`` can only lead into the tree, however the links on its way are resolved.

    That holds when it is relative, has ``..`` only at its front, and not more of them than ``path`` has directories.
    """
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    ups = next((i for i, part in enumerate(parts) if part != b".."), len(parts))
    return bool(target) and not target.startswith(b"/") and ups <= path.count(b"/") and b".." not in parts[ups:]


def receive(stream: IO[bytes], target: bytes, exclude: Sequence[str], progress: Progress, owner: tuple[int, int] | None = None,
            outside_links: bool = False, sealing: Sealing | None = None) -> Received:
    """Write the files of a tar ``stream`` below ``target``; directories are finished and links made by the caller.

    What ``sealing`` covers is written encrypted, its entry still says what was sent.

    Raises :class:`MigrationError` on a hostile member, ``EOFError`` when the stream ends early.
    """
    taking = _Taking(target, owner, outside_links, progress, sealing)
    excluded = excluder(exclude)
    try:
        # Blocks of one tar record: what follows the archive is still in the stream when tarfile has seen the end.
        with tarfile.open(fileobj=stream, mode="r|", bufsize=tarfile.RECORDSIZE, encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # a stream has no use for them, and they would fill the memory
                path = safe_path(raw(member.name))
                if not hidden(path, excluded):
                    taking.take(archive, member, path)
    except tarfile.TarError:
        raise EOFError from None
    if not taking.entries or ROOT not in taking.entries:
        raise EOFError
    found = Received(sorted(taking.entries.values(), key=lambda e: e.path))
    if sealing is not None:
        sealing.require(found.entries)
    _name_by_the_first(found.entries, target)
    _read_trailer(stream, found, excluded)
    return found


def _name_by_the_first(entries: Sequence[Entry], target: bytes) -> None:
    """Let each file with several names lie at the first of them, as in a tree that is read here: tar takes them as it meets them."""
    found = {entry.path: entry for entry in entries}
    groups: dict[bytes, list[Entry]] = {}
    for entry in entries:
        if entry.link_of is not None:
            groups.setdefault(entry.link_of, []).append(entry)
    for path, (first, *others) in groups.items():
        if first.path < path:
            os.rename(content.place(target, path), content.place(target, first.path))
            first.link_of = None
            for other in [found[path], *others]:
                other.link_of = first.path


class _Taking:
    """The entries taken so far; a member is only written below directories that this stream made."""

    def __init__(self, target: bytes, owner: tuple[int, int] | None, outside_links: bool, progress: Progress,
                 sealing: Sealing | None) -> None:
        self.entries: dict[bytes, Entry] = {}
        self._target, self._owner, self._outside, self._progress, self._sealing = target, owner, outside_links, progress, sealing

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: bytes) -> None:
        """Check one member and write it."""
        if path in self.entries:
            raise MigrationError(f"the stream names {shown(path)} twice")
        parent = self.entries.get(os.path.dirname(path) or ROOT)
        if path != ROOT and (parent is None or parent.type != DIRECTORY):
            raise MigrationError(f"the stream names {shown(path)} below what is not a directory of it")
        entry = self._entry(member, path)
        if entry.type == DIRECTORY:
            copying.make_directories(self._target, [entry])
        elif entry.type == FILE and entry.link_of is None:
            data = archive.extractfile(member)
            if data is None:
                raise AssertionError("data is set before")
            write = self._way_of(path)
            full = content.place(self._target, path)
            entry.sha256 = write(full, _whole(data, entry.size), entry, copying.chosen_owner(entry, self._owner), entry.xattrs)
            self._progress.advance(entry.size)
        self.entries[path] = entry

    def _way_of(self, path: bytes) -> Callable[..., str]:
        """How the file is written: in clear or encrypted."""
        if self._sealing is None:
            return content.write_file
        self._sealing.require_free(path, self.entries)
        return self._sealing.write if self._sealing.covers(path) else content.write_file

    def _entry(self, member: tarfile.TarInfo, path: bytes) -> Entry:
        owners = member.uid, member.gid, member.uname or None, member.gname or None
        entry = Entry(path, FILE, member.mode & 0o7777, *owners, mtime_ns(member))
        if member.isdir():
            entry.type = DIRECTORY
        elif member.issym():
            entry.type, entry.target, entry.mode = LINK, raw(member.linkname), 0o777
            if not self._outside and not stays_inside(path, entry.target):
                raise MigrationError(f"the link {shown(path)} leads outside the tree: remove or exclude it, or accept such links "
                                     "(outside_links of source_host)")
        elif member.islnk():
            first = self.entries.get(safe_path(raw(member.linkname)))
            if first is None or first.type != FILE:
                said = f"the stream links {shown(path)} to what is not a file of it"
                raise MigrationError(f"{said}, or is excluded: let the sender exclude it too")
            entry.link_of, entry.size, entry.sha256, entry.mode = first.link_of or first.path, first.size, first.sha256, first.mode
            entry.xattrs, entry.not_kept = first.xattrs, first.not_kept  # tar sends them with the first name alone
            return entry
        elif member.isreg() and not member.issparse():
            entry.size = member.size
        else:
            raise MigrationError(f"the stream holds what cannot be copied (device, fifo or sparse map): {shown(path)}")
        sent = {k[len(XATTR):]: raw(v) for k, v in member.pax_headers.items() if k.startswith(XATTR)}
        entry.xattrs = {name: value for name, value in sent.items() if name not in PLACE_BOUND} or None
        return entry


def _whole(data: IO[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = data.read(min(left, content.CHUNK))
        if not chunk:
            raise EOFError
        left -= len(chunk)
        yield chunk


def mtime_ns(member: tarfile.TarInfo) -> int:
    """The modification time in nanoseconds, exact: tarfile itself keeps it as a float."""
    try:
        return int(Decimal(member.pax_headers["mtime"]) * 1_000_000_000)
    except (KeyError, InvalidOperation, ValueError):
        return int(member.mtime) * 1_000_000_000


def _read_trailer(stream: IO[bytes], found: Received, excluded: Callable[[bytes], bool]) -> None:
    """What the forced command adds after the archive: a mark that it is whole, then what its closing look found."""
    rest = b""
    while chunk := stream.read(content.CHUNK):
        rest = (rest + chunk).lstrip(b"\0") if not rest else rest + chunk
        if len(rest) > TRAILER_LIMIT:
            raise MigrationError("the stream goes on after its archive: the forced command is not the one that pull_access writes")
    if not rest.startswith(END):
        raise EOFError
    for note in rest[len(END):].split(b"\0"):
        kind, _space, name = note.partition(b" ")
        if name and not hidden(path := safe_path(name), excluded):
            {b"changed": found.moved, b"socket": found.unsupported}.get(kind, found.moved).append(path)
