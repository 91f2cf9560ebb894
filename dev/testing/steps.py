# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One step of a test run: a command, its time limit, its log, its verdict."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

from dev.testing.results import Counts, read_junit, write_junit

SKIPPED = 77  # exit status of a step that cannot run here, as automake has it; its last line says why
TAIL = 60  # lines of a failed step's output that are shown
BEAT = 60.0  # seconds after which a running step says that it is alive


def cannot_run(reason: str) -> int:
    """Say why a step cannot run here; its exit status, which is that of a failure where a skip is one."""
    print(reason)
    return 1 if os.environ.get("TEST_NO_SKIP") else SKIPPED


@dataclass(frozen=True)
class Step:
    """A command of the test run.

    name: what is printed, also the name of its log and JUnit file; timeout: seconds after which it is killed;
    writes_junit: it writes build/junit/<name>.xml itself; environment: added to ours.
    """

    name: str
    argv: tuple[str, ...]
    timeout: float = 300
    writes_junit: bool = False
    environment: dict[str, str] = field(default_factory=dict)


class Runner:
    """Runs steps in ``root``, with logs and JUnit files below ``root/build``."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.logs = root / "build" / "logs"
        self.junit = root / "build" / "junit"
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    def stop(self) -> None:
        """End the steps that run, begin no other."""
        self._stopped = True
        for process in list(self._running):
            end_group(process)

    def run(self, step: Step) -> Counts:
        """Run one step, print its line, return its counts; whatever goes wrong is a counted failure."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.junit.mkdir(parents=True, exist_ok=True)
        log, xml = self.logs / f"{step.name}.log", self.junit / f"{step.name}.xml"
        begun = time.monotonic()
        code = self._execute(step, log)
        seconds = time.monotonic() - begun
        output = log.read_text(encoding="utf-8", errors="replace")
        counts = self._judge(step, code, output, seconds, xml)
        print(f"  {step.name:<24} {self._verdict(counts):<40} {seconds:6.1f} s", flush=True)
        if counts.failed:
            print(tail(output, f"{step.name} (exit status {code}, all of it in {log.relative_to(self.root)})"), flush=True)
        return counts

    def _execute(self, step: Step, log: pathlib.Path) -> int:
        environment = {**os.environ, **step.environment}
        with log.open("wb") as stream:
            if self._stopped:
                return 130
            try:
                process = subprocess.Popen(step.argv, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=stream,
                                           stderr=subprocess.STDOUT, start_new_session=True)
            except OSError as error:
                stream.write(f"cannot start {step.argv[0]}: {error.strerror}\n".encode())
                return 127
            self._running.add(process)
            try:
                return self._wait(process, step)
            except subprocess.TimeoutExpired:
                stream.write(f"\nstopped after {step.timeout:.0f} s, the limit of this step\n".encode())
                return 124
            finally:
                end_group(process)
                self._running.discard(process)

    @staticmethod
    def _wait(process: subprocess.Popen, step: Step) -> int:
        until = time.monotonic() + step.timeout
        while True:
            left = until - time.monotonic()
            try:
                return process.wait(min(BEAT, max(left, 0.01)))
            except subprocess.TimeoutExpired:
                if left <= BEAT:
                    raise
                print(f"  {step.name:<24} … still running, {step.timeout - left + BEAT:.0f} s", flush=True)

    @staticmethod
    def _judge(step: Step, code: int, output: str, seconds: float, xml: pathlib.Path) -> Counts:
        last = output.strip().rpartition("\n")[2]
        if code == SKIPPED:
            return write_junit(xml, step.name, "skipped", seconds, last or "no reason given")
        if not step.writes_junit:
            return write_junit(xml, step.name, "failed" if code else "passed", seconds, output[-20000:])
        try:
            counts = read_junit(xml)
        except (OSError, ElementTree.ParseError):
            return write_junit(xml, step.name, "failed", seconds, output[-20000:])
        if (code and not counts.failed) or not (counts.ran or counts.skipped):
            # The tool itself broke, or found nothing to run: its file alone would look green.
            return counts + write_junit(xml.with_name(f"{step.name}-run.xml"), step.name, "failed", seconds, output[-20000:])
        return counts

    @staticmethod
    def _verdict(counts: Counts) -> str:
        if counts.passed + counts.failed + counts.skipped > 1:
            return counts.line()
        return "failed" if counts.failed else "skipped" if counts.skipped else "ok"


def tail(output: str, title: str, lines: int = TAIL) -> str:
    """The end of a tool's output between two rules."""
    kept = output.rstrip().splitlines()[-lines:]
    return "\n".join([f"  ──── end of the output of {title}", *(f"  │ {line}" for line in kept), "  ────"])


def end_group(process: subprocess.Popen) -> None:
    """End what is left of a step's process group: asked first, so that it can clean up, killed after ten seconds."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return
