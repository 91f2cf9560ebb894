# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which processes are ours, read from /proc: a pid alone proves nothing, it is given again to a stranger."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app.restart import MARK
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id
from ansible_collections.dihya.migration.plugins.module_utils._processes import everyone, read_stat

_LISTEN = "0A"


def identity(pid: int) -> dict[str, Any]:
    """``pid``, ``start`` and ``boot`` of a living process: together they are never given to another one."""
    found = read_stat(pid)
    return {"pid": pid, "start": found.start if found else 0, "boot": boot_id()}


def is_alive(record: dict[str, Any]) -> bool:
    """Whether the very process that ``record`` identifies still runs."""
    found = read_stat(int(record.get("pid") or 0))
    return found is not None and found.start == record.get("start") and record.get("boot") == boot_id()


def members(record: dict[str, Any]) -> list[int]:
    """Pids of the recorded process and its children, those included that outlived it or left its session.

    A process belongs to us when it carries our random mark in its environment, or stands in the session of the
    recorded process while that one lives.
    """
    leader = is_alive(record)
    mark = f"{MARK}={record.get('mark')}".encode() if record.get("mark") else None
    found = []
    for process in everyone():
        ours = (leader and process.session == record["pid"]) or (mark and mark in _environment(process.pid))
        if ours and process.pid != os.getpid():
            found.append(process.pid)
    return sorted(found)


def is_watched(record: dict[str, Any]) -> bool:
    """Whether the recorded process is what would start the program again, and lives."""
    return bool(record.get("watched")) and is_alive(record)


def programs(record: dict[str, Any]) -> list[int]:
    """The members without the one that only watches: none while it waits to start what ended by itself."""
    watches = record["pid"] if is_watched(record) else None
    return [pid for pid in members(record) if pid != watches]


def listening_inodes(table: str, port: int) -> set[str]:
    """Socket inodes that listen on ``port`` according to the text of ``/proc/net/tcp`` or ``tcp6``."""
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            found.add(fields[9])
    return found


def port_holder(port: int, ours: Iterable[int]) -> str:
    """``free``, ``own`` (one of the pids ``ours`` listens on TCP ``port``, or may) or ``foreign``."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as stream:
                inodes |= listening_inodes(stream.read(), port)
        except OSError:
            continue
    if not inodes:
        return "free"
    held = {f"socket:[{inode}]" for inode in inodes}
    # What ours of another user listen on cannot be seen: those of a container, for who may only ask docker for it. It counts as theirs;
    # a stranger there would keep the next release from becoming healthy.
    return "own" if any(links is None or held & links for links in map(_descriptors, ours)) else "foreign"


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return stream.read().split(b"\0")
    except OSError:
        return []


def _descriptors(pid: int) -> set[str] | None:
    """What the descriptors of ``pid`` stand for, None when that may not be read."""
    links = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            links.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    except PermissionError:
        return None
    except OSError:
        pass
    return links
