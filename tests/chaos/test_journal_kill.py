# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever moment a writer of the journal is killed at, the chain verifies and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._journal import commands
from ansible_collections.dihya.migration.plugins.module_utils._journal.store import Journal

REPOSITORY = Path(__file__).parents[2]
FULL = os.environ.get("CHAOS") == "full"
ROUNDS = 400 if FULL else 40
STEPS = 300 if FULL else 80

# Runs begin-record-end for ever and acknowledges each command on stdout once it returned, as a module would.
WRITER = """
import itertools, sys
from ansible_collections.dihya.migration.plugins.module_utils._journal.commands import execute
state, run = sys.argv[1:]
base = {"state_dir": state, "migration_id": "crm-1", "purpose": "migrate", "run": {"stacks": ["pg"]}, "identities": ["old"],
        "token": None, "stack": "pg", "status": "started", "outcome": "ok", "cause": None, "rollback": [], "state_host": "state",
        "holder": {"host": "h", "boot": "b", "pid": int(run), "start": 1, "pid_namespace": "n"}, "dead_runs": [], "takeover": []}
def call(command, **params):
    result = execute({**base, "command": command, **params}, False)
    sys.stdout.write(f"{command}\\n"); sys.stdout.flush()
    return result
import json
holder = json.loads(sys.stdin.readline())
token = call("begin", dead_runs=[holder] if holder else [])["token"]
for number in itertools.count():
    events = [{"host": f"h{n}", "facts": {"summary": "x" * 250}, "inputs_sha256": f"{run}{number}"} for n in range(6)]
    call("record", token=token, verb="migrate", events=events)
    call("record", token=token, verb="migrate", status="ok", events=events)
"""


def start_writer(state: Path, run: int) -> subprocess.Popen:
    """A writer that took over from the one before, which is dead."""
    status = commands.execute({"state_dir": str(state), "migration_id": "crm-1", "command": "status"}, False)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(state), str(run)], cwd=REPOSITORY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "collections")},
    )
    assert writer.stdin is not None
    writer.stdin.write(f'"{status["lock"]["run_id"] or ""}"\n')
    writer.stdin.flush()
    return writer


def expected_events(acknowledged: list[str]) -> int:
    """The fewest events that the journal of a writer with these acknowledged commands has of its own."""
    return sum({"begin": 1, "record": 6}[command] for command in acknowledged)


def test_a_writer_killed_at_random_moments_leaves_an_intact_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "20261123"))
    moments = random.Random(seed)
    before = torn = 0
    for run in range(1, ROUNDS + 1):
        writer = start_writer(tmp_path, run)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        acknowledged = [line.strip() for line in [first, *writer.stdout.read().splitlines()] if line.strip()]
        writer.wait()
        reading = Journal(str(tmp_path), "crm-1").read_shared()
        assert reading.problem == "", f"seed {seed}, round {run}: {reading.problem}"
        assert len(reading.events) >= before + expected_events(acknowledged), f"seed {seed}, round {run}: an acknowledged event is lost"
        before, torn = len(reading.events), torn + bool(reading.torn)
    reading = Journal(str(tmp_path), "crm-1").read_shared()
    verbs = {event["verb"] for event in reading.events if event["stack"] == "migration"}
    assert verbs <= {"begin", "end", "takeover", "torn_write"}
    assert sum(event["verb"] == "torn_write" for event in reading.events) + bool(reading.torn) == torn
    with capsys.disabled():
        sys.stdout.write(f"\na writer of the journal: {ROUNDS} kills at work of {ROUNDS}, {torn} of them within a line, {before} events "
                         f"kept, seed {seed}\n")


class Killed(BaseException):
    """Stands for SIGKILL inside one process: no handler of the code under test may run on it but ``finally``."""


@pytest.mark.parametrize("first", [False, True], ids=["later run", "first run"])
@pytest.mark.parametrize("short", [False, True], ids=["whole writes", "cut write"])
def test_a_writer_that_dies_between_any_two_system_calls_leaves_an_intact_chain(
    tmp_path: Path, short: bool, first: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dies after the n-th write, fsync, rename or truncate, for every n; with ``short``, that write was cut in the middle."""
    base: dict[str, Any] = {
        "migration_id": "crm-1", "purpose": "migrate", "run": {}, "identities": ["old"], "token": None, "stack": "pg", "verb": "backup",
        "status": "started", "events": [{"host": "a", "facts": {"summary": "é" * 200}}, {"host": "b"}], "outcome": "refused", "cause": None,
        "rollback": [], "state_host": "state", "dead_runs": [], "takeover": [],
        "holder": {"host": "h", "boot": "b", "pid": 1, "start": 1, "pid_namespace": "n"},
    }

    def whole_run(state: Path) -> None:
        token = commands.execute({**base, "state_dir": str(state), "command": "begin"}, False)["token"]
        for status in ("started", "ok"):
            commands.execute({**base, "state_dir": str(state), "command": "record", "token": token, "status": status}, False)
        commands.execute({**base, "state_dir": str(state), "command": "end", "token": token}, False)

    for number in range(STEPS):
        state = tmp_path / str(number)
        if not first:
            whole_run(state)
            with (state / "crm-1" / "journal.jsonl").open("ab") as stream:
                stream.write(b'{"torn')  # so that setting aside is killed too
        left = [number]
        with monkeypatch.context() as patch:
            for name in ("write", "fsync", "replace", "truncate", "ftruncate", "unlink"):
                patch.setattr(f"os.{name}", dying(getattr(os, name), left, short and name == "write"))
            try:
                whole_run(state)
                died = False
            except Killed:
                died = True
        reading = Journal(str(state), "crm-1").read_shared()
        assert reading.problem == "", f"step {number}: {reading.problem}"
        whole_run(state)
        reading = Journal(str(state), "crm-1").read_shared()
        assert reading.problem == "" and reading.torn == b"" and reading.events[-1]["verb"] == "end"
        if not died:
            break
    assert not died, "the run has more steps than were tried"


def dying(real: Any, left: list[int], short: bool) -> Any:
    """``real``, which dies when ``left`` calls were made, and after that never comes to life again."""
    def call(*args: Any, **kwargs: Any) -> Any:
        if left[0] < 0:
            raise Killed
        if left[0] == 0:
            left[0] -= 1
            real(args[0], args[1][: len(args[1]) // 2]) if short else real(*args, **kwargs)
            raise Killed
        left[0] -= 1
        return real(*args, **kwargs)
    return call
