# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL's client programs: which ones are here, and several of them at work at once."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, kill_group, run, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import Lease

NEEDED = ("pg_dump", "pg_restore", "pg_dumpall", "psql")
# Options of the PostgreSQL modules, as the documentation fragments dihya.migration.postgresql and .long describe them.
COMMON_SPEC: dict[str, dict[str, Any]] = {
    "jobs": {"type": "int", "default": 2},
    "bin_dir": {"type": "path"},
    "application_name": {"type": "str", "default": "dihya"},
}
LONG_SPEC: dict[str, dict[str, Any]] = {
    **COMMON_SPEC,
    "progress_file": {"type": "path"},
    "lease_file": {"type": "path"},
    "run_id": {"type": "str"},
}
POLL = 0.1  # seconds between two looks at the programs that run
GRACE = 10.0  # seconds a program gets to end its own workers and server sessions before it is killed


def held(lease_file: str | None, run_id: str | None, operation: str) -> Any:
    """A context manager that holds the lease when there is a file for it."""
    return Lease(lease_file, run_id or "none", operation) if lease_file else contextlib.nullcontext()


@dataclass(frozen=True)
class Work:
    """One program to run: ``workers`` is how many of the slots it takes, ``log`` a file that keeps all it prints."""

    argv: Sequence[str]
    env: dict[str, str]
    log: str
    subject: str
    workers: int = 1


@dataclass
class Running:
    """A :class:`Work` with its process."""

    work: Work
    process: subprocess.Popen
    started: float = field(default_factory=time.monotonic)


def parse_version(text: str) -> str:
    """``18.6`` from ``pg_dump (PostgreSQL) 18.6 (Debian …)``; raises :class:`MigrationError` when there is none."""
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*\S*)", text)
    if not found:
        raise MigrationError("a client tool does not print its version as PostgreSQL's do")
    return found.group(1)


def major_of(version: str) -> int:
    """18 for ``18.6`` or ``18beta1``."""
    found = re.match(r"\d+", version)
    return int(found.group()) if found else 0


def tool_version(name: str, bin_dir: str | None = None) -> str:
    """The version of the program ``name``; raises :class:`MigrationError` when it is missing or does not run."""
    return parse_version(run([find_tool(name, bin_dir), "--version"], timeout=20).stdout)


def compression_of(bin_dir: str | None, wanted: str = "auto") -> str:
    """The ``--compress`` value for pg_dump: ``wanted``, or the fastest method this client was built with."""
    if wanted != "auto":
        return wanted
    if major_of(tool_version("pg_dump", bin_dir)) < 16:
        return "1"
    # The client complains about a method that it lacks before it opens a connection, and about the missing host after.
    program = find_tool("pg_dump", bin_dir)
    for method in ("zstd", "lz4"):
        tried = run([program, "-Fc", f"--compress={method}", "-f", os.devnull, "--host=/nonexistent", "--dbname=x"],
                    check=False, timeout=20)
        if "compress" not in tried.stderr:
            return method + ":1"
    return "gzip:1"


def run_all(works: Sequence[Work], slots: int, tick: Callable[[], None] = lambda: None) -> None:
    """Run every work, in order and at most ``slots`` workers at once, calling ``tick`` while they run.

    The first exit status other than 0 ends the others and raises :class:`MigrationError` with facts ``log`` and ``subject``.
    """
    waiting = list(works)
    running: list[Running] = []
    try:
        while waiting or running:
            while waiting and (not running or sum(each.work.workers for each in running) + waiting[0].workers <= slots):
                running.append(_start(waiting.pop(0)))
            time.sleep(POLL)
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                _check(each)
            tick()
    finally:
        for each in running:
            _end(each.process)


def _start(work: Work) -> Running:
    descriptor = os.open(work.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return Running(work, start(work.argv, env=work.env, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=subprocess.STDOUT))
    finally:
        os.close(descriptor)


def _check(running: Running) -> None:
    work, status = running.work, running.process.returncode
    if status == 0:
        return
    program = os.path.basename(work.argv[0])
    with open(work.log, encoding="utf-8", errors="replace") as stream:
        entry = failed_entry(stream.read())
    raise MigrationError(f"{program} of {work.subject} failed with exit status {status}" + (f" at {entry}" if entry else "")
                         + f"; what it printed is in {work.log}", log=work.log, subject=work.subject)


def failed_entry(text: str) -> str | None:
    """Kind and name of the archive entry at which pg_restore stopped, or of the table at which pg_dump did."""
    found = re.search(r"from TOC entry \d+; \d+ \d+ ([^\n]{1,200})", text)
    if found is None:
        found = re.search(r'error: Dumping the contents of (table "[^"\n]{1,130}") failed', text)
    return found.group(1) if found else None


def _end(process: subprocess.Popen) -> None:
    # On SIGTERM pg_dump and pg_restore cancel what their sessions do in the server; a bare kill would leave it running.
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    kill_group(process)
