# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At most one worker: a long operation holds a lease on its host for as long as it lives.

The lease is an ``flock`` on a file, so the kernel releases it however the worker ends; the file says who holds it.
Children started by the worker must not inherit the descriptor (it is close-on-exec).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError


def boot_id() -> str:
    """The kernel's identifier of this boot: a pid means nothing across a restart."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def machine() -> str:
    """This machine, as two migrations see the same one: its host name and the first digits of its machine id."""
    try:
        with open("/etc/machine-id", encoding="ascii") as stream:
            return f"{socket.gethostname()} {stream.read(12).strip()}".strip()
    except (OSError, ValueError):
        return socket.gethostname()


def start_time(pid: int) -> int | None:
    """Start of process ``pid`` in clock ticks since boot (proc(5), field 22), None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return int(stream.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def is_alive(holder: dict[str, Any]) -> bool:
    """Whether the process described by ``holder`` (``pid``, ``start``, ``boot``) of this machine still runs."""
    return holder.get("boot") == boot_id() and start_time(int(holder.get("pid", 0))) == holder.get("start")


def this_process() -> dict[str, Any]:
    """What :func:`is_alive` needs to know of this process, and when that was written down."""
    pid = os.getpid()
    return {"pid": pid, "start": start_time(pid), "boot": boot_id(), "since": time.time()}


class Lease:
    """Context manager: takes the lease at ``path`` or raises :class:`MigrationError` with the holder in its facts."""

    def __init__(self, path: str, run_id: str, operation: str) -> None:
        self._path = path
        self._owner = {"run_id": run_id, "operation": operation}
        self._descriptor = -1

    def __enter__(self) -> Lease:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            holder = read_holder(self._path) or {}
            raise MigrationError(
                f"{holder.get('operation', 'an operation')} of run {holder.get('run_id', 'unknown')} still works "
                f"(pid {holder.get('pid', 'unknown')})", lease_holder=holder,
            ) from None
        owner = dict(self._owner, **this_process())
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(owner).encode(), 0)
        return self

    def __exit__(self, *_exc: object) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def held(lease_file: str | None, run_id: str | None, operation: str) -> Any:
    """A context manager that holds the lease when there is a file for it."""
    return Lease(lease_file, run_id or "none", operation) if lease_file else contextlib.nullcontext()


def read_holder(path: str) -> dict[str, Any] | None:
    """Who wrote the lease file last, None when it is absent, empty or torn; says nothing about being alive."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None
