# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the user's own commands (tests, schema tools) and gives each a verdict; their output stays in 0600 files."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import env_file, output
from ansible_collections.dihya.migration.plugins.module_utils._app.counts import Counts, from_junit, from_output
from ansible_collections.dihya.migration.plugins.module_utils._command import environment, group_ends_with_us, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

TAIL = 256 << 10
LONGEST_FINDING = 64
_CONTAINER_LINE = re.compile(r"^\S+ (?:stdout|stderr) [FP] ", re.M)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Command:
    """One command; ``expect`` is ``tests`` (some must have run and been counted) or ``exit_status`` (one of ``statuses``).

    ``tells`` has a pattern for each name of what the output tells; ``together`` allows it to run beside the command before it.
    Where those before it told the same by all names of ``unless_same``, it has nothing to do, and would tell just that. With ``stale``,
    ``(made, source)``, it has nothing to do while the one is as new as the other. ``output`` is what it makes.
    """

    name: str
    argv: tuple[str, ...]
    chdir: str | None = None
    env_file: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    timeout: float = 600.0
    expect: str = "tests"
    statuses: tuple[int, ...] = (0,)
    junit: str | None = None
    tells: dict[str, str] = field(default_factory=dict)
    together: bool = False
    done_file: str | None = None
    unless_same: tuple[str, ...] = ()
    stale: tuple[str, str] | None = None
    output: str | None = None


@dataclass
class Outcome:
    """What became of a command; ``status`` None when it never ended by itself, ``told`` what its patterns found."""

    name: str
    verdict: str = "skipped"
    why: str = ""
    status: int | None = None
    counts: Counts | None = None
    told: dict[str, str] = field(default_factory=dict)
    log: str = ""
    duration: float = 0.0
    done_already: bool = False

    def test(self) -> dict[str, Any]:
        """The outcome as the journal wants it."""
        counts = self.counts or Counts()
        facts = {"name": self.name, "verdict": self.verdict, "log": self.log}
        return {**facts, "passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped}


def judge(command: Command, status: int, counts: Counts | None) -> tuple[str, str]:
    """``(verdict, why)``; pure. An exit status of 0 proves nothing when no test ran."""
    if command.expect == "exit_status" and status in command.statuses:
        return "passed", ""
    if status != 0 or command.expect == "exit_status":
        failed = f", {counts.failed} tests failed" if counts and counts.failed else ""
        return "failed", f"exit status {status}{failed}"
    if counts is None:
        return "failed", "no summary of a known test runner was found: name its JUnit file in junit, or set expect to exit_status"
    if counts.failed:
        return "failed", f"{counts.failed} tests failed although the exit status is 0"
    if not counts.passed:
        return "failed", "no test was executed: select at least one test"
    return "passed", ""


def run_all(commands: list[Command], log_dir: str, keep_going: bool, progress_file: str | None = None) -> list[Outcome]:
    """Run ``commands`` in their order; without ``keep_going`` those after the first failure are skipped."""
    private_directory(log_dir)
    progress = Progress(progress_file)
    outcomes: list[Outcome] = []
    for batch in batches(commands):
        if not keep_going and any(outcome.verdict == "failed" for outcome in outcomes):
            outcomes += [Outcome(command.name, why="a command before it failed") for command in batch]
        else:
            told = {name: text for outcome in outcomes for name, text in outcome.told.items()}
            with progress.timed(", ".join(command.name for command in batch)), concurrent.futures.ThreadPoolExecutor(len(batch)) as pool:
                outcomes += pool.map(run_one, batch, [log_dir] * len(batch), [told] * len(batch))
    return outcomes


def batches(commands: list[Command]) -> list[list[Command]]:
    """``commands`` in their order, those that may run together in one list; pure."""
    grouped: list[list[Command]] = []
    for command in commands:
        if command.together and grouped:
            grouped[-1].append(command)
        else:
            grouped.append([command])
    return grouped


def run_one(command: Command, log_dir: str, told: dict[str, str]) -> Outcome:
    """Run ``command`` to its end or its timeout and judge it, knowing what was ``told``; only a wrong set-up raises."""
    outcome = Outcome(command.name)
    same = {told.get(name, "") for name in command.unless_same}
    nothing_to_do = len(same) == 1 and all(same)
    if command.stale and not output.is_stale(*command.stale, command.chdir):
        nothing_to_do = True
    if nothing_to_do or (command.done_file and os.path.exists(command.done_file)):
        outcome.verdict, outcome.done_already = "passed", True
        outcome.told = dict.fromkeys(command.tells, same.pop()) if nothing_to_do and same else {}
        return outcome
    place = output.place_of(command.output, command.chdir) if command.output else None
    if place is None:
        _run(command, log_dir, outcome)
    else:
        _run_for(place, command, log_dir, outcome)
    if command.done_file and outcome.verdict == "passed":
        private_directory(os.path.dirname(command.done_file))
        publish(command.done_file, b"")
    return outcome


def _run_for(place: str, command: Command, log_dir: str, outcome: Outcome) -> None:
    """Run ``command`` for what it makes at ``place``: success without anything there is none, whatever an earlier run left."""
    output.set_aside(place)
    try:
        _run(command, log_dir, outcome)
        if outcome.verdict == "passed" and output.is_nothing(place):
            outcome.verdict, outcome.why = "failed", f"it ended without an error and left nothing at {place}: correct where it writes to"
    finally:
        output.settle(place, outcome.verdict == "passed")


def _run(command: Command, log_dir: str, outcome: Outcome) -> None:
    """Run ``command`` and note in ``outcome`` what became of it."""
    variables = {**command.environment, **(env_file.read(command.env_file) if command.env_file else {})}
    outcome.log = _log_path(log_dir, command.name)
    started = time.monotonic()
    status, problem = _execute(command, environment(variables), outcome.log)
    outcome.duration = time.monotonic() - started
    outcome.status = status
    if status is None:
        outcome.verdict, outcome.why = "failed", problem
        return
    text = _tail(outcome.log)
    try:
        outcome.counts = _counts(command, text)
    except MigrationError as error:
        outcome.verdict, outcome.why = "failed", error.message
        return
    outcome.verdict, outcome.why = judge(command, status, outcome.counts)
    outcome.told = {name: find(pattern, text) for name, pattern in command.tells.items()}


def find(pattern: str, text: str) -> str:
    """What the first group of ``pattern`` matches in ``text``, several joined by commas, in at most 64 characters.

    What is longer becomes a count and a digest: two findings must never look alike because both were cut.
    """
    found = sorted({match.group(1) for match in re.finditer(pattern, _COLOUR.sub("", text), re.M) if match.group(1)})
    joined = ",".join(found)
    if len(joined) <= LONGEST_FINDING:
        return joined
    return f"{len(found)} names, sha256 {hashlib.sha256(joined.encode()).hexdigest()[:40]}"


def new_errors(text: str, pattern: str) -> int:
    """How many lines of a log speak of an error."""
    expression = re.compile(pattern)
    return sum(1 for line in text.splitlines() if expression.search(line))


def scan_log(path: str, since: int, pattern: str, container: bool = False) -> int | None:
    """Errors written to ``path`` after its first ``since`` bytes (all of it when it has become shorter); None without file.

    In the log of a ``container`` the application's lines stand after time, stream and a letter.
    """
    try:
        with open(path, "rb") as stream:
            stream.seek(since if os.fstat(stream.fileno()).st_size >= since else 0)
            text = stream.read().decode("utf-8", "replace")
        return new_errors(_CONTAINER_LINE.sub("", text) if container else text, pattern)
    except FileNotFoundError:
        return None


def _counts(command: Command, text: str) -> Counts | None:
    if not command.junit:
        return from_output(text)
    path = os.path.join(command.chdir or "/", command.junit)
    try:
        with open(path, "rb") as stream:
            return from_junit(stream.read())
    except OSError:
        raise MigrationError(f"the test runner left no JUnit file {path}: name the file that it writes") from None


def _log_path(log_dir: str, name: str) -> str:
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%M%S.%f")
    return os.path.join(log_dir, f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-.') or 'command'}_{stamp}.log")


def _execute(command: Command, variables: dict[str, str], log_path: str) -> tuple[int | None, str]:
    """``(exit status, "")``, or ``(None, why)`` when the command did not start or not end."""
    program = command.argv[0]
    if command.junit and command.chdir:
        _remove_stale(os.path.join(command.chdir, command.junit))
    # The child's PATH counts, not ours: a release brings its own interpreter.
    found = program if "/" in program else shutil.which(program, path=variables.get("PATH"))
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        process = start(command.argv, env=variables, executable=found, cwd=command.chdir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    except MigrationError as error:
        return None, f"{error.message}; install it, or correct argv and chdir"
    finally:
        os.close(log)
    with group_ends_with_us(process):
        ended = _wait(process.pid, command.timeout)
        _end_group(process)
    if ended:
        return process.returncode, ""
    return None, f"it did not end within {command.timeout:g} s and was stopped: raise the timeout, or find what it waits for"


def _wait(pid: int, timeout: float) -> bool:
    """Whether the child ended in time; it is not reaped yet, so that its group's number stays its own."""
    deadline = time.monotonic() + timeout
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _end_group(process: subprocess.Popen) -> None:
    """End what the command left behind, then reap the command itself."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _remove_stale(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _tail(path: str) -> str:
    with open(path, "rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - TAIL))
        return stream.read().decode("utf-8", "replace")
