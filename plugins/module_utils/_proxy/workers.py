# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The processes of a proxy: its master, and workers of before a reload, which live on until their requests are answered."""

from __future__ import annotations

import os
import time

from ansible_collections.dihya.migration.plugins.module_utils._processes import Stat, read_stat
from ansible_collections.dihya.migration.plugins.module_utils._proxy.table import refusal

REWRITTEN = 2.0
PAUSE = 0.02
_ENDING = b"is shutting down"


def master(pid_file: str) -> int:
    """The living process that ``pid_file`` names; raises when there is none.

    HAProxy removes its pid file for a moment whenever it reloads, so one that names no process is read again for two seconds.
    """
    deadline = time.monotonic() + REWRITTEN
    while True:
        try:
            with open(pid_file, encoding="ascii") as stream:
                pid = int(stream.readline())
        except (OSError, ValueError):
            pid = 0
        if pid and read_stat(pid) is not None:
            return pid
        if time.monotonic() > deadline:
            wrong = f"the process of {pid_file} does not run" if pid else f"{pid_file} names no process"
            raise refusal("pid_file", wrong, "start the proxy, or name its pid file")
        time.sleep(PAUSE)


def children(parent: int) -> list[Stat]:
    """Living children of ``parent``, the oldest first."""
    found = (read_stat(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return sorted((stat for stat in found if stat and stat.parent == parent), key=lambda stat: (stat.start, stat.pid))


def signalled(pid: int, number: int) -> None:
    """Send the master a signal; raises when it is not ours to signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise refusal("pid_file", f"process {pid} of the proxy ended", "start the proxy again") from None
    except PermissionError:
        raise refusal("pid_file", f"process {pid} of the proxy belongs to another user", "use become on this host") from None


def leaving(proxy: str, parent: int, before: list[Stat]) -> int:
    """How many workers of before the reload are still at work: those of ``before``, and those that an earlier reload left."""
    now = children(parent)
    old = {stat for stat in before if stat in now}
    if proxy == "nginx":
        old |= {stat for stat in now if _ENDING in _command_line(stat.pid)}
    else:
        old |= set(now[:-1])  # each generation of HAProxy is one process
    return len(old)


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read()
    except OSError:
        return b""
