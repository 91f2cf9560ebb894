# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel offers and Python's ``os`` does not: syncfs, exchange of two names; locks on directories; removal."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

AT_FDCWD = -100
RENAME_EXCHANGE = 2
TICK = 50_000_000
"""Nanoseconds by which the clock that stamps files may be behind ours."""


def sync_filesystem(path: bytes) -> None:
    """Write everything of the file system that holds ``path`` to its disk; raises ``OSError`` when writing failed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if call is None:
            os.sync()
        elif call(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def exchange(one: bytes, other: bytes) -> bool:
    """Swap two existing names in one step; False when this kernel or file system cannot."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """What the operating system refuses becomes the one exception of this collection, naming the path."""
    try:
        yield
    except OSError as error:
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "the file system"
        raise MigrationError(f"{where}: {error.strerror or type(error).__name__}") from None


def try_lock(directory: bytes) -> int | None:
    """A descriptor that holds the exclusive lock of ``directory``, None when another process holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def locked(directory: bytes, wait: float = 30.0) -> Iterator[None]:
    """Hold the lock of ``directory``, waiting at most ``wait`` seconds for another process to let it go."""
    until = time.monotonic() + wait
    while (descriptor := try_lock(directory)) is None:
        if time.monotonic() >= until:
            raise MigrationError(f"{os.fsdecode(directory)} is in use by another process")
        time.sleep(0.01)
    try:
        yield
    finally:
        os.close(descriptor)


class Stage:
    """A private directory ``.partial-LABEL-…`` in which a tree grows; its lock says that its maker lives.

    The caller holds the lock of ``parent`` while it makes one, so that nobody takes it for abandoned in between.
    """

    PREFIX = b".partial-"

    def __init__(self, parent: bytes, label: bytes) -> None:
        self.parent = parent
        self.path = tempfile.mkdtemp(prefix=self.PREFIX + label + b"-", dir=parent)
        self._lock = try_lock(self.path)

    def publish(self, final: bytes) -> None:
        """Give it its name, which must be free (``OSError`` otherwise), durably."""
        os.rename(self.path, final)
        self.path = final
        _sync_directory(self.parent)

    def close(self, remove: bool = True) -> None:
        """Release the lock; with ``remove`` take away what was not published."""
        if remove and os.path.basename(self.path).startswith(self.PREFIX) and os.path.lexists(self.path):
            remove_tree(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_abandoned(parent: bytes, label: bytes) -> list[bytes]:
    """Remove the stages of ``label`` in ``parent`` whose maker is dead; returns their names."""
    removed = []
    for name in os.listdir(parent):
        if not name.startswith(Stage.PREFIX + label + b"-"):
            continue
        path = os.path.join(parent, name)
        lock = try_lock(path)
        if lock is not None:
            remove_tree(path)
            os.close(lock)
            removed.append(name)
    return removed


def sweep(directory: str, prefixes: tuple[str, ...]) -> None:
    """Remove the temporary names that killed predecessors left; the caller holds the lock of ``directory``."""
    for name in os.listdir(directory):
        if name.startswith(prefixes):
            remove_tree(os.fsencode(os.path.join(directory, name)))


def retired(path: bytes, label: bytes) -> Stage:
    """The stage into which a published directory was moved, so that no moment shows half of it; it goes when the stage is closed."""
    parent = os.path.dirname(path)
    stage = Stage(parent, label)
    try:
        os.rename(path, os.path.join(stage.path, b"retired"))
        _sync_directory(parent)
    except BaseException:
        stage.close()
        raise
    return stage


def retire(path: bytes, label: bytes) -> None:
    """Remove a published directory, in one step for whoever looks."""
    retired(path, label).close()


def remove_tree(path: bytes) -> None:
    """Remove a file, link or directory with everything in it, also below directories that may not be written to."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    if os.geteuid() != 0:
        os.chmod(path, 0o700)
        for directory, names, _files in os.walk(path):
            for name in names:
                full = os.path.join(directory, name)
                if not os.path.islink(full):
                    os.chmod(full, 0o700)
    shutil.rmtree(path)


def _sync_directory(path: bytes) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
