# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL's client programs: which ones are here, and several of them at work at once."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, kill_group, run, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_file

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
POLL = 0.1  # seconds between two looks at the programs that run, at most: those that run for a moment are looked at more often
GRACE = 10.0  # seconds a program gets to end its own workers and server sessions before it is killed


# What the tools print without a value of any row: what they do, the place of a failure, and everything that age says.
HARMLESS = re.compile(rb'(?:pg_dump|pg_restore): (?!error:|detail:|hint:|warning:).*|age: .*'
                      rb'|pg_dump: error: Dumping the contents of table "[^"\n]*" failed')


@dataclass(frozen=True)
class Work:
    """One program to run, or two: ``then`` reads what ``argv`` prints. ``workers`` is how many of the slots it takes.

    ``output`` is a file to which the last program's output is appended (made durable at its end); ``log`` keeps what
    else is printed, with ``harmless`` only what cannot hold a value of a row.
    """

    argv: Sequence[str]
    env: dict[str, str]
    log: str
    subject: str
    workers: int = 1
    then: Sequence[str] = ()
    output: str | None = None
    harmless: bool = False


@dataclass
class Running:
    """A :class:`Work` with its processes, in the order of the pipe."""

    work: Work
    processes: list[subprocess.Popen]
    reader: threading.Thread | None = None
    started: float = field(default_factory=time.monotonic)

    def failed(self) -> list[tuple[str, int]]:
        """Program and exit status of those that ended with another status than 0."""
        argvs = (self.work.argv, self.work.then)
        return [(os.path.basename(argv[0]), process.returncode) for argv, process in zip(argvs, self.processes) if process.poll()]

    def over(self) -> bool:
        """Whether all ended, or one failed."""
        return bool(self.failed()) or all(process.poll() is not None for process in self.processes)

    def end(self) -> None:
        """End what still runs."""
        # On SIGTERM pg_dump and pg_restore cancel what their sessions do in the server; a bare kill would leave it running.
        alive = [process for process in self.processes if process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        for process in alive:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            kill_group(process)
        if self.reader:
            self.reader.join(GRACE)


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
    old = major_of(tool_version("pg_dump", bin_dir)) < 16  # knows levels of gzip only, and no names
    if wanted != "auto":
        return {"none": "0"}.get(wanted, wanted.removeprefix("gzip:")) if old else wanted
    if old:
        return "1"
    # The client complains about a method that it lacks before it opens a connection, and about the missing host after.
    program = find_tool("pg_dump", bin_dir)
    for method in ("zstd", "lz4"):
        tried = run([program, "-Fc", f"--compress={method}", "-f", os.devnull, "--host=/nonexistent", "--dbname=x"],
                    check=False, timeout=20)
        if "compress" not in tried.stderr:
            return method + ":1"
    return "gzip:1"


def run_all(works: Sequence[Work], slots: int, tick: Callable[[Sequence[Running]], None] = lambda _running: None) -> None:
    """Run every work, in order and at most ``slots`` workers at once, calling ``tick`` with those that run.

    The first exit status other than 0 ends the others and raises :class:`MigrationError` with facts ``log`` and ``subject``.
    """
    waiting = list(works)
    running: list[Running] = []
    began = time.monotonic()
    try:
        while waiting or running:
            while waiting and (not running or sum(each.work.workers for each in running) + waiting[0].workers <= slots):
                running.append(_start(waiting.pop(0)))
            tick(running)
            time.sleep(min(POLL, 0.01 + (time.monotonic() - began) / 20))
            for each in [each for each in running if each.over()]:
                running.remove(each)
                _check(each)
    finally:
        for each in running:
            each.end()


def _start(work: Work) -> Running:
    with contextlib.ExitStack() as stack:
        log = errors = _open(stack, work.log, os.O_TRUNC)
        output = _open(stack, work.output, os.O_APPEND) if work.output else log
        running = Running(work, [])
        if work.harmless:
            read, errors = os.pipe()
            stack.callback(os.close, errors)
            running.reader = threading.Thread(target=_keep_harmless, args=(read, os.dup(log)), daemon=True)
            running.reader.start()
        try:
            feed: Any = subprocess.DEVNULL
            for argv in filter(None, (work.argv, work.then)):
                last = argv is work.then or not work.then
                running.processes.append(start(argv, env=work.env, stdin=feed, stdout=output if last else subprocess.PIPE, stderr=errors))
                if feed is not subprocess.DEVNULL:
                    feed.close()  # else the first program would never learn that the second is gone
                feed = running.processes[-1].stdout
        except BaseException:
            running.end()
            raise
        return running


def _open(stack: contextlib.ExitStack, path: str, how: int) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    stack.callback(os.close, descriptor)
    return descriptor


def _keep_harmless(source: int, log: int) -> None:
    """Write those lines of ``source`` to ``log`` that hold no value of a row, until all who print are gone."""
    with os.fdopen(source, "rb") as stream, os.fdopen(log, "wb", 0) as kept:
        for line in stream:
            found = HARMLESS.match(line)
            kept.write(found.group() + b"\n" if found else b"(withheld)\n")


def _check(running: Running) -> None:
    work, failed = running.work, running.failed()
    running.end()
    if not failed:
        if work.output:
            fsync_file(work.output)
        return
    programs, statuses = (" and ".join(map(str, words)) for words in zip(*failed))
    with open(work.log, encoding="utf-8", errors="replace") as stream:
        entry = failed_entry(stream.read())
    raise MigrationError(f"{programs} of {work.subject} failed with exit status {statuses}" + (f" at {entry}" if entry else "")
                         + f"; what was printed is in {work.log}", log=work.log, subject=work.subject)


def failed_entry(text: str) -> str | None:
    """Kind and name of the archive entry at which pg_restore stopped, or of the table at which pg_dump did."""
    found = re.search(r"from TOC entry \d+; \d+ \d+ ([^\n]{1,200})", text)
    if found is None:
        found = re.search(r'error: Dumping the contents of (table "[^"\n]{1,130}") failed', text)
    return found.group(1) if found else None
