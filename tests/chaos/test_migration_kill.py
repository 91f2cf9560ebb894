# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A migration is killed inside copy, dump, restore and verify, each time a rerun at once: one worker ever, and all is well.

The controller gets SIGKILL or SIGTERM, or the worker that would outlive it SIGKILL, or both. A worker that outlives its
controller is held up until the next run has found it, so that the two really meet. By default one night of two kills, in two of copy,
dump and restore, of two victims, by the turn of the commit; with CHAOS=full many more, verify too. CHAOS_SEED repeats a run; every kill
prints its figures.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive

from dev.testing.turns import parameters
from tests.support.canaries import find_secrets
from tests.support.move import Move, Outcome, equal_data
from tests.support.playbook import kill_with_forks

FULL = os.environ.get("CHAOS") == "full"
SEED = int(os.environ.get("CHAOS_SEED", "20261128"))
ROWS = 600_000 if FULL else 300_000
LONGEST = {"copy": 0.05, "dump": 0.2, "restore": 0.2, "verify": 0.1}  # seconds from the beginning of a stage to the kill, at most
VICTIMS = ("controller", "worker", "both")
# Stage → side, verb and the statement of our own session on it that shows that the stage is on; a copy shows in its lease alone.
STAGES = {
    "copy": ("mover", "backup", ""),
    "dump": ("source", "migrate", "COPY app.bulk %"),
    "restore": ("target", "migrate", "COPY app.bulk %"),
    "verify": ("target", "migrate", "%hashtextextended%"),
}
ATTACHED = "attached to the living worker of run"
MODULES = {"copy": "build_copy", "dump": "pg_dumpall", "restore": "pg_restore_cluster", "verify": "pg_verify"}


def nights() -> list[Any]:
    """Stage, victim, signal for the controller and delay of each kill, by night."""
    dice = random.Random(SEED)
    if not FULL:
        forms = itertools.product(itertools.combinations(list(STAGES)[:3], 2), itertools.permutations(VICTIMS, 2))
        return parameters([([(stage, victim, signal.SIGKILL, dice.uniform(0, LONGEST[stage])) for stage, victim in zip(stages, victims)],)
                           for stages, victims in forms])
    return [[(stage, victim, dice.choice((signal.SIGKILL, signal.SIGTERM)), dice.uniform(0, LONGEST[stage]))
             for stage, victim in zip(STAGES, dice.sample(VICTIMS * 2, 4))] for _night in range(18)]


class Watch:
    """Looks many times a second at who works: never may two workers of one module live, or two tools of one kind."""

    def __init__(self, move: Move) -> None:
        self.move = move
        self.workers = move.work / "mover" / "workers"
        self.holders: dict[str, dict[tuple[int, int], dict[str, Any]]] = {}
        self.crowds: list[str] = []
        self.looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def holder(self, module: str) -> dict[str, Any] | None:
        """The living worker of ``module``, None when there is none."""
        try:
            one = json.loads((self.workers / f"{module}-mover.lease").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return one if is_alive(one) else None

    def _watch(self) -> None:
        while not self._stop.wait(0.03):
            self.looks += 1
            for module in MODULES.values():
                one = self.holder(module)
                known = self.holders.setdefault(module, {})
                if one:
                    known[one["pid"], one["start"]] = one
                living = [pid for (pid, _start), holder in known.items() if is_alive(holder)]
                if len(living) > 1:
                    self.crowds.append(f"{module}: {living}")
            for tool in ("pg_dump", "pg_restore"):
                running = self._tools(tool)
                if len(running) > 1:
                    self.crowds.append(f"{tool}: {running}")

    def _tools(self, tool: str) -> set[int]:
        """Sessions in which ``tool`` works for this migration: every start of it has one, which its parallel workers share."""
        found: set[int] = set()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if argv[0].endswith(f"/{tool}") and any(str(self.move.directory) in word for word in argv):
                    found.add(int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[3]))
        return found


def wait_for(watch: Watch, stage: str, process: subprocess.Popen, seconds: float = 150) -> None:
    """Return as soon as ``stage`` is on; fails when the run ends before."""
    (side, verb, statement), move = STAGES[stage], watch.move
    if not statement:
        until = time.monotonic() + seconds
        while watch.holder(MODULES[stage]) is None:
            assert process.poll() is None and time.monotonic() < until, f"the stage {stage} was not seen"
            time.sleep(0.002)
        return
    connection = getattr(move.sites, side).connect()
    until = time.monotonic() + seconds
    with contextlib.closing(connection), connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND state = 'active' AND query LIKE %s",
                           (f"dihya/{move.id}/{verb}", statement))
            if cursor.fetchall():
                return
            assert process.poll() is None, "the migration ended before the stage was seen"
            time.sleep(0.01)
    raise AssertionError(f"the stage {stage} did not begin in {seconds} s")


def kill(victim: str, number: signal.Signals, process: subprocess.Popen, worker: dict[str, Any] | None) -> dict[str, Any] | None:
    """End the controller by signal ``number`` (SIGKILL: with all its forks), the worker's own process, or both, as a crash would.

    Returns the worker, None when it was done already: it is stopped first, so that it is at work when the kill comes.
    """
    if worker:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker["pid"], signal.SIGSTOP)
        worker = worker if is_alive(worker) else None
    if victim in ("controller", "both"):
        if number == signal.SIGKILL:
            kill_with_forks(process)
        else:
            process.send_signal(number)
    if victim in ("worker", "both") and worker:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker["pid"], signal.SIGKILL)
    return worker


class Run:
    """One start of the migration. A worker that is held up goes on once this run says that it attached, or after a minute and a half."""

    def __init__(self, move: Move, number: int, held: dict[str, Any] | None) -> None:
        self.log, self.held = move.directory / f"run{number}.log", held
        self.process = move.playbook.start("playbooks/migrate.yml", move.inventory(), move.secrets, output=self.log)
        until = time.monotonic() + 90
        while held and self.process.poll() is None and not self.attached() and time.monotonic() < until:
            time.sleep(0.1)
        if held:
            time.sleep(0.5)  # a second worker would show now
            with contextlib.suppress(ProcessLookupError):
                os.kill(held["pid"], signal.SIGCONT)

    def attached(self) -> bool:
        return ATTACHED in self.log.read_text(encoding="utf-8", errors="replace")

    def end(self) -> Outcome:
        """Wait for its end; it must have attached to a worker that was there, and to nothing else."""
        outcome = Outcome(self.process.wait(290), self.log.read_text(encoding="utf-8", errors="replace"))
        assert (ATTACHED in outcome.output) == bool(self.held), outcome.output[-4000:]
        return outcome


@pytest.fixture(name="bulk")
def fixture_bulk(sites, tmp_path) -> Iterator[Move]:
    """A migration with a table that takes a while."""
    move = Move(sites, tmp_path, f"kill{time.monotonic_ns() % 10**9}").fill(ROWS)
    yield move
    move.playbook.end()
    sites.clear()


@pytest.mark.parametrize("kills", nights(), ids=lambda kills: "-".join(f"{stage}-{victim}" for stage, victim, *_how in kills))
def test_a_migration_killed_in_several_stages_is_finished_by_the_last_run(bulk, kills, capsys):
    move = bulk
    move.variables["postgresql_drill"] = False
    move.variables["migration_backup_copies"] = [{"path": "{{ test_base }}/second"}]
    held, at_work = None, []
    with Watch(move) as watch:
        for night, (stage, victim, number, delay) in enumerate(kills):
            run = Run(move, night, held)
            wait_for(watch, stage, run.process)
            time.sleep(delay)
            worker = kill(victim, number, run.process, watch.holder(MODULES[stage]))
            at_work.append(worker is not None)
            killed = time.monotonic()
            ended = run.end()
            assert ended.rc != 0 or not worker, ended.output[-3000:]
            held = worker if victim == "controller" else None
            with capsys.disabled():
                sys.stdout.write(f"\n{stage}: {victim} got {number.name} {delay:.2f} s in (worker {'alive' if worker else 'done'}), ended "
                                 f"after {time.monotonic() - killed:.1f} s, seed {SEED}\n")
            if ended.rc == 0:  # the victim was done already
                break
        last = Run(move, len(kills), held).end()
    assert last.rc == 0, last.output[-4000:]
    assert (move.outcome(), equal_data(move)) == ("ok", True)
    assert any(at_work), "every worker was done before its kill: nothing is shown"
    assert watch.crowds == []
    assert watch.looks > 20
    # Ansible's own scratch directory of a controller that was killed stays: no run of ours could know of it.
    assert [one for one in move.leftovers() if "/controller/local/" not in one] == []
    given = list(move.playbook.directory.glob("variables-*.json"))  # what the user gave
    for path in given:
        path.unlink()
    canaries = {"source": move.sites.source.password, "target": move.sites.target.password, **move.passwords}
    assert find_secrets([move.directory, move.sites.source.log, move.sites.target.log], canaries) == []
