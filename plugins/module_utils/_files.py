# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private directories, and files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any


def private_directory(path: str) -> str:
    """Create ``path`` and its missing parents with mode 0700 and return it; an existing one keeps its mode."""
    missing, place = [], os.path.abspath(path)
    while not os.path.isdir(place):
        missing.append(place)
        place = os.path.dirname(place)
    for directory in reversed(missing):
        os.makedirs(directory, mode=0o700, exist_ok=True)  # alone it would give the mode to the last one only
    return path


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


def publish(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data``: temporary file, fsync, rename, fsync of the directory."""
    directory = os.path.dirname(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=".publish-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
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
