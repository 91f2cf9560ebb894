# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""End a worker that outlived its controller, with every program that it started, and prove that it is gone."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import re
import signal
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id, read_holder
from ansible_collections.dihya.migration.plugins.module_utils._processes import Stat, everyone, read_stat

SIGNED = 2.0  # seconds within which whoever locked a lease has written down who it is
GRACE = 10.0  # seconds for the worker's programs to cancel what they do in a server, before they are killed
LAST = 10.0  # seconds after that until it is an error
POLL = 0.05
RESULT = 3.0  # seconds for the async wrapper of an ended worker to write down that it ended
JOB = re.compile(rb"j[0-9]+\Z")  # how ansible-core names an async job in the arguments of its wrapper


def end_workers(work_dir: str, operations: list[str], check_mode: bool = False) -> list[dict[str, Any]]:
    """End all workers that hold a lease below ``work_dir``, those of ``operations`` when there are any; returns their leases' words.

    ``work_dir`` is the one of the migration on this host, see ``plugin_utils/long_action.py`` for what lies where in it.
    Raises :class:`MigrationError`, after all were tried, when one cannot be ended.
    """
    ended, problems = [], []
    for path in sorted(glob.glob(os.path.join(glob.escape(work_dir), "workers", "*.lease"))):
        try:
            holder = find_holder(path)
            if holder and (not operations or holder.get("operation") in operations):
                if not check_mode:
                    _end(path, holder, os.path.join(work_dir, "async"))
                ended.append(holder)
        except MigrationError as error:
            problems.append(error.message)
    if problems:
        raise MigrationError("; ".join(problems), ended=ended)
    return ended


def find_holder(path: str) -> dict[str, Any] | None:
    """Who holds the lease ``path`` now; None when nobody does, whatever a worker that died left in the file."""
    until = time.monotonic() + SIGNED
    while not _is_free(path):
        holder = read_holder(path)
        if holder and _process_of(holder):
            return holder
        if time.monotonic() > until:
            raise MigrationError(f"the lease {path} is held by a process that it does not name: end that process (fuser {path} tells it)")
        time.sleep(POLL)
    return None


def _is_free(path: str) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: another look is no holder
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _process_of(holder: dict[str, Any]) -> Stat | None:
    """The very process that the lease names: neither one of another boot nor one that got its number later."""
    found = read_stat(int(holder.get("pid") or 0))
    return found if found and found.start == holder.get("start") and holder.get("boot") == boot_id() else None


def _end(path: str, holder: dict[str, Any], async_dir: str) -> None:
    worker = _process_of(holder)
    if worker is None:
        return
    jobs = _jobs_of(worker, async_dir)
    family = Family(worker)
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, LAST)):
        until = time.monotonic() + patience
        family.send(number)
        while family.living() and time.monotonic() < until:
            time.sleep(POLL)
            if number == signal.SIGKILL:
                family.send(number)  # to those too that were started meanwhile
    left = sorted(one.pid for one in family.living())
    if left or not _is_free(path):
        raise MigrationError(f"{holder.get('operation', 'an operation')} of run {holder.get('run_id', 'unknown')} could not be ended "
                             f"(pids {left or [worker.pid]}): end it, and roll back again")
    for job in jobs:
        _forget(job)


class Family:
    """A worker and all that it started: its descendants, and whoever is in a session that one of them began.

    The wrapper that started the worker is none of them: it removes the worker's payload and notes its end.
    """

    def __init__(self, worker: Stat) -> None:
        self._known = {worker.pid: worker}
        self._sessions: set[int] = set()

    def living(self) -> list[Stat]:
        """Those that live now. Programs whose parent died meanwhile are found by their session, whose number is theirs until they end."""
        there = {one.pid: one for one in everyone()}
        self._known = {pid: one for pid, one in self._known.items() if there.get(pid) == one}
        found, size = dict(self._known), -1
        while len(found) > size:
            size = len(found)
            self._sessions |= {one.session for one in found.values() if one.session in found}
            found.update({pid: one for pid, one in there.items() if one.parent in found or one.session in self._sessions})
        self._known = found
        return list(found.values())

    def send(self, number: int) -> None:
        """Signal all of them."""
        for one in self.living():
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(one.pid)
                try:
                    if read_stat(one.pid) == one:  # the descriptor keeps it from becoming somebody else from here on
                        signal.pidfd_send_signal(descriptor, number)
                except PermissionError:
                    raise MigrationError(f"process {one.pid} belongs to another user: roll back as who ran the migration") from None
                finally:
                    os.close(descriptor)


def _jobs_of(worker: Stat, async_dir: str) -> list[str]:
    """Files in which the async wrapper of ``worker``, its parent, tells how it ended."""
    try:
        with open(f"/proc/{worker.parent}/cmdline", "rb") as stream:
            names = [word.decode() for word in stream.read().split(b"\0") if JOB.match(word)]
    except OSError:
        return []
    return [path for name in names for path in glob.glob(os.path.join(glob.escape(async_dir), f"{name}.*")) if not path.endswith(".tmp")]


def _forget(job: str) -> None:
    """Remove the result of a job that nobody waits for, once it is written; one that is late is removed by the next run."""
    until = time.monotonic() + RESULT
    while time.monotonic() < until:
        try:
            with open(job, encoding="utf-8") as stream:
                done = bool(json.load(stream).get("finished", True))
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            done = False
        if done:
            os.unlink(job)
            return
        time.sleep(POLL)
