# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bytes of single files: read once, hashed on the way, written with what belongs to them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Optional

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.crew import end_if_orphaned
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import MTIME, OWNER, ROOT, Entry, shown
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import read_xattrs

CHUNK = 1 << 20
FICLONE = 0x40049409
INHERITED = ("system.posix_acl_default", "system.posix_acl_access")


def place(root: bytes, path: bytes) -> bytes:
    """Where the entry ``path`` of the tree at ``root`` lies."""
    return root if path == ROOT else os.path.join(root, path)


def same_moment(entry: Entry, status: os.stat_result) -> bool:
    """Whether a file still is what it was when it was scanned: inode, size and both times."""
    return (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode) == (
        status.st_size, status.st_mtime_ns, status.st_ctime_ns, (status.st_dev, status.st_ino))


def changed(path: bytes) -> MigrationError:
    """The refusal of a source that moves."""
    return MigrationError(
        f"the source changed while it was copied ({shown(path)}): stop what writes there, or exclude it", changed_path=shown(path))


def open_source(full: bytes, path: bytes) -> int:
    """A descriptor for reading; never through a link in the last component."""
    try:
        return os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            raise changed(path) from None
        raise MigrationError(f"{shown(path)} cannot be read: {error.strerror}") from None


def chunks(descriptor: int, size: int) -> Iterator[bytes]:
    """What is left to read, in pieces of at most a MiB; ``size`` is what is expected, so that small files need no large buffer."""
    piece = min(size + 1, CHUNK)
    while chunk := os.read(descriptor, piece):
        yield chunk
        if piece == CHUNK:
            end_if_orphaned()


def digest_of(descriptor: int, size: int) -> str:
    """Hexadecimal SHA-256 of what is left to read, ``size`` bytes as far as is known."""
    digest = hashlib.sha256()
    for chunk in chunks(descriptor, size):
        digest.update(chunk)
    return digest.hexdigest()


def unlike(root: bytes, batch: Sequence[Entry], holds: Callable[[int, Entry], bool], prepare: Callable[[int], None]) -> list[bytes]:
    """Paths of ``batch`` that are no readable files below ``root`` or for which ``holds(descriptor, entry)`` is false.

    All are opened and given to ``prepare`` before the first is read, so that the disk can work ahead.
    """
    opened: list[tuple[int, Entry]] = []
    wrong: list[bytes] = []
    try:
        for entry in batch:
            try:
                descriptor = os.open(place(root, entry.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                wrong.append(entry.path)
                continue
            opened.append((descriptor, entry))
            prepare(descriptor)
        for descriptor, entry in opened:
            if not holds(descriptor, entry):
                wrong.append(entry.path)
    finally:
        for descriptor, _entry in opened:
            os.close(descriptor)
    return wrong


def as_it_is(descriptor: int) -> None:
    """Read from the cache what is in it."""


def from_the_disk(descriptor: int) -> None:
    """Drop the cached pages (they must be clean) and let the disk begin."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)


def is_unmoved(descriptor: int, entry: Entry) -> bool:
    """Whether a source file still is the one scanned and has the bytes that were copied."""
    return same_moment(entry, os.fstat(descriptor)) and digest_of(descriptor, entry.size) == entry.sha256


def is_known(descriptor: int, entry: Entry) -> bool:
    """Whether a source file is unmoved and has the attributes, too, of an earlier copy."""
    return read_xattrs(descriptor) == entry.xattrs and is_unmoved(descriptor, entry)


def is_intact(descriptor: int, entry: Entry, owner: tuple[int, int] | None = None) -> bool:
    """Whether a written file is all that its entry says; :func:`wears` and :func:`holds`."""
    return wears(os.fstat(descriptor), descriptor, entry, owner) and holds(descriptor, entry)


def wears(status: os.stat_result, place: bytes | int, entry: Entry, owner: tuple[int, int] | None = None) -> bool:
    """Whether what has ``status`` has the owner, the time (not of a directory) and the attributes that its entry says it was given.

    ``owner`` (uid, gid) replaces that of the entry. Attributes that it has besides, from the directory that it lies in, do not matter.
    """
    if (status.st_uid, status.st_gid) != (owner or (entry.uid, entry.gid)) and (owner or OWNER not in entry.not_kept):
        return False
    if status.st_mtime_ns != entry.mtime_ns and not stat.S_ISDIR(status.st_mode) and MTIME not in entry.not_kept:
        return False
    wanted = {name: value for name, value in (entry.xattrs or {}).items() if name not in entry.not_kept}
    return not wanted or wanted.items() <= (read_xattrs(place) or {}).items()


def holds(descriptor: int, entry: Entry) -> bool:
    """Whether a written file has the mode and the bytes of its entry."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or (status.st_size, stat.S_IMODE(status.st_mode)) != (entry.size, entry.mode):
        return False
    try:
        return digest_of(descriptor, entry.size) == entry.sha256
    except OSError:
        return False


Brought = tuple[str, Optional[dict[str, bytes]], tuple[str, ...]]
"""A file copied: SHA-256 of the bytes read, extended attributes, what the copy could not be given."""


def copy_file(source: bytes, entry: Entry, target: bytes, owner: tuple[int, int] | None,
              write: Callable[..., str] | None = None, dressed: bool = False) -> Brought:
    """Copy one scanned file with its attributes (if ``dressed``, those of its entry). ``write`` replaces :func:`write_file`.

    Raises :class:`MigrationError` when the file is not what was scanned, before or after it was read.
    """
    descriptor = open_source(source, entry.path)
    try:
        if not same_moment(entry, os.fstat(descriptor)):
            raise changed(entry.path)
        attributes = entry.xattrs if dressed else read_xattrs(descriptor)
        digest = (write or write_file)(target, chunks(descriptor, entry.size), entry, owner, attributes, descriptor)
        if not same_moment(entry, os.fstat(descriptor)):
            raise changed(entry.path)
    finally:
        os.close(descriptor)
    return digest, attributes, entry.not_kept


def link_file(source: bytes, entry: Entry, old: bytes, known: Entry, target: bytes) -> Brought | None:
    """Make ``target`` one more name of ``old``, a file of an earlier copy, when the source, read now, is what ``known`` says of it.

    Returns what :func:`copy_file` does; None, with nothing made, when it differs or the file system has no such links.
    """
    descriptor = open_source(source, entry.path)
    try:
        if not same_moment(entry, os.fstat(descriptor)):
            raise changed(entry.path)
        attributes = read_xattrs(descriptor)
        if attributes != known.xattrs or digest_of(descriptor, entry.size) != known.sha256:
            return None
        if not same_moment(entry, os.fstat(descriptor)):
            raise changed(entry.path)
        os.link(old, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT):
            return None
        raise cannot_write(entry.path, error) from None
    finally:
        os.close(descriptor)
    return str(known.sha256), attributes, known.not_kept


def clone(source: int, target: int) -> bool:
    """Let ``target`` share the blocks of ``source`` until one of them is written to; False where the file system cannot."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True


def write_file(target: bytes, data: Iterable[bytes], entry: Entry, owner: tuple[int, int] | None,
               attributes: dict[str, bytes] | None, source: int | None = None) -> str:
    """Create ``target``, which must not exist, from ``data``, and :func:`dress` it.

    ``source`` is a descriptor of the file that ``data`` comes from, whose blocks are shared where that is possible.
    """
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        shared = source is not None and clone(source, descriptor)
        for chunk in data:
            digest.update(chunk)
            if shared:
                continue
            written = os.write(descriptor, chunk)
            while written < len(chunk):
                written += os.write(descriptor, memoryview(chunk)[written:])
        dress(descriptor, entry, owner, attributes)
    except OSError as error:
        raise cannot_write(entry.path, error) from None
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def dress(descriptor: int, entry: Entry, owner: tuple[int, int] | None, attributes: dict[str, bytes] | None) -> None:
    """Give a file that was just written owner (None: we could not), attributes, mode and time; its entry says what it was not given."""
    status = os.fstat(descriptor)  # its group may be that of its directory
    if owner is not None and (status.st_uid, status.st_gid) != owner:
        os.fchown(descriptor, *owner)
    if entry.path == ROOT:
        drop_inherited(descriptor)
    refused = set_xattrs(descriptor, attributes)
    os.fchmod(descriptor, entry.mode)
    os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
    note_not_kept(entry, os.fstat(descriptor), owner, refused)


def note_not_kept(entry: Entry, status: os.stat_result, owner: tuple[int, int] | None, refused: Sequence[str] = ()) -> None:
    """Let ``entry`` say what its copy, which has ``status`` now, was not given."""
    missing = list(refused)
    if owner is None and (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        missing.append(OWNER)
    if status.st_mtime_ns != entry.mtime_ns and not stat.S_ISDIR(status.st_mode):
        missing.append(MTIME)  # a file system that counts in seconds
    entry.not_kept = tuple(missing)


def cannot_write(path: bytes, error: OSError) -> MigrationError:
    """The refusal when the copy's file system refuses."""
    return MigrationError(f"{shown(path)} could not be written: {error.strerror}", errno=errno.errorcode.get(error.errno or 0, "unknown"))


def set_xattrs(place: bytes | int, attributes: dict[str, bytes] | None) -> list[str]:
    """Set what the file system and our rights allow; returns the names of the rest, which the manifest keeps."""
    refused = []
    for name, value in (attributes or {}).items():
        try:
            os.setxattr(place, name, value)
        except OSError:
            refused.append(name)
    return refused


def drop_inherited(place: bytes | int) -> None:
    """Take from the root of a new tree the ACL that it has from the directory it lies in: nothing in it may have it then."""
    for name in INHERITED:
        with contextlib.suppress(OSError):
            os.removexattr(place, name)
