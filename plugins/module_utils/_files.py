# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private directories, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id, start_time


def private_directory(path: str) -> str:
    """Create ``path`` and its missing parents with mode 0700 and return it; an existing one keeps its mode."""
    missing, place = [], os.path.abspath(path)
    while not os.path.isdir(place):
        missing.append(place)
        place = os.path.dirname(place)
    for directory in reversed(missing):
        os.makedirs(directory, mode=0o700, exist_ok=True)  # alone it would give the mode to the last one only
    return path


def nearest_directory(path: str) -> str:
    """``path`` or the deepest directory above it that is there: the file system that ``path`` would be on."""
    place = os.path.abspath(path)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    return place


def fsync_directory(path: str) -> None:
    """Make the names in ``path`` durable: a rename is only safe once its directory is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: str) -> None:
    """Make the bytes of ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


PUBLISHING = re.compile(r"\.publish-(?P<world>[0-9a-f]+-[0-9]+)-(?P<pid>[0-9]+)-(?P<start>[0-9]+)-")
FORGOTTEN = 3600.0  # seconds after which a temporary file is nobody's, when its maker cannot be asked for


def publish(path: str, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace ``path`` by ``data``: temporary file, fsync, rename, fsync of the directory.

    The temporary file's name says who writes it; those of the dead are removed. ``owner`` (uid, gid) is given as far as this user may.
    """
    directory = os.path.dirname(os.path.abspath(path))
    sweep_published(directory)
    pid = os.getpid()
    descriptor, temporary = tempfile.mkstemp(prefix=f".publish-{_world()}-{pid}-{start_time(pid)}-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if owner is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(stream.fileno(), *owner)
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    fsync_directory(directory)


def sweep_published(directory: str) -> None:
    """Remove what :func:`publish` left in ``directory`` when it was killed; what a living process may be writing stays."""
    for name in os.listdir(directory):
        match = PUBLISHING.match(name)
        if match is None:
            continue
        place = os.path.join(directory, name)
        with contextlib.suppress(OSError):  # another one sweeps too, or it is not ours to remove
            if match["world"] == _world():
                dead = start_time(int(match["pid"])) != int(match["start"])
            else:
                dead = time.time() - os.lstat(place).st_mtime > FORGOTTEN
            if dead:
                os.unlink(place)


def _world() -> str:
    """Within which a pid and a start time mean one process: this boot and this namespace of pids."""
    return f"{boot_id()[:8]}-{os.stat('/proc/self/ns/pid').st_ino}"


def publish_json(path: str, value: Any, mode: int = 0o600) -> None:
    """Publish ``value`` as indented JSON with sorted keys and a final newline."""
    publish(path, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(), mode)


def differs(path: str, data: bytes) -> bool:
    """Whether ``path`` is missing or holds other bytes than ``data``."""
    try:
        with open(path, "rb") as stream:
            return stream.read() != data
    except FileNotFoundError:
        return True


def link(path: str, target: str) -> None:
    """Point the symlink ``path`` at ``target`` in one step; whoever looks sees the former or the new one."""
    temporary = os.path.join(os.path.dirname(path), f".link-{os.getpid()}-{os.path.basename(path)}")
    os.symlink(target, temporary)
    os.replace(temporary, path)
    fsync_directory(os.path.dirname(path))


def read_json(path: str) -> Any:
    """The JSON value in ``path``; raises ``OSError`` or ``ValueError``."""
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)
