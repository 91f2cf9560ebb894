# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bytes of single files: read once, hashed on the way, written with what belongs to them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.crew import end_if_orphaned
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import Entry, shown
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import read_xattrs

CHUNK = 1 << 20


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


def chunks(descriptor: int) -> Iterator[bytes]:
    """What is left to read, in pieces of at most a MiB."""
    while chunk := os.read(descriptor, CHUNK):
        yield chunk
        if len(chunk) == CHUNK:
            end_if_orphaned()


def digest_of(descriptor: int) -> str:
    """Hexadecimal SHA-256 of what is left to read."""
    digest = hashlib.sha256()
    for chunk in chunks(descriptor):
        digest.update(chunk)
    return digest.hexdigest()


def is_unmoved(full: bytes, entry: Entry) -> bool:
    """Whether a source file still is the one scanned and has the bytes that were copied."""
    try:
        descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return same_moment(entry, os.fstat(descriptor)) and digest_of(descriptor) == entry.sha256
    finally:
        os.close(descriptor)


def is_intact(full: bytes, entry: Entry) -> bool:
    """Whether a written file, read from the disk and not from the cache (its pages must be clean), is what its entry says."""
    try:
        descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or (status.st_size, stat.S_IMODE(status.st_mode)) != (entry.size, entry.mode):
            return False
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return digest_of(descriptor) == entry.sha256
    except OSError:
        return False
    finally:
        os.close(descriptor)


def copy_file(source: bytes, entry: Entry, target: bytes, owner: tuple[int, int] | None) -> tuple[str, dict[str, bytes] | None]:
    """Copy one scanned file; returns the SHA-256 of the bytes written and the extended attributes.

    Raises :class:`MigrationError` when the file is not what was scanned, before or after it was read.
    """
    descriptor = open_source(source, entry.path)
    try:
        if not same_moment(entry, os.fstat(descriptor)):
            raise changed(entry.path)
        attributes = read_xattrs(descriptor)
        digest = write_file(target, chunks(descriptor), entry, owner, attributes)
        if not same_moment(entry, os.fstat(descriptor)):
            raise changed(entry.path)
    finally:
        os.close(descriptor)
    return digest, attributes


def write_file(target: bytes, data: Iterable[bytes], entry: Entry, owner: tuple[int, int] | None,
               attributes: dict[str, bytes] | None) -> str:
    """Create ``target``, which must not exist, from ``data``, and give it mode, time, owner and attributes of ``entry``."""
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for chunk in data:
            digest.update(chunk)
            written = os.write(descriptor, chunk)
            while written < len(chunk):
                written += os.write(descriptor, memoryview(chunk)[written:])
        if owner is not None:
            os.fchown(descriptor, *owner)
        set_xattrs(descriptor, attributes)
        os.fchmod(descriptor, entry.mode)
        os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
    except OSError as error:
        raise cannot_write(entry.path, error) from None
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def cannot_write(path: bytes, error: OSError) -> MigrationError:
    """The refusal when the copy's file system refuses."""
    return MigrationError(f"{shown(path)} could not be written: {error.strerror}", errno=errno.errorcode.get(error.errno or 0, "unknown"))


def set_xattrs(place: bytes | int, attributes: dict[str, bytes] | None) -> None:
    """Set what the file system and our rights allow; the manifest keeps the rest."""
    for name, value in (attributes or {}).items():
        try:
            os.setxattr(place, name, value)
        except OSError:
            continue
