# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Long modules: live progress, one worker ever, nothing left behind, whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbook import kill_with_forks

from .conftest import PLUGINS, REPOSITORY, Site, shown, wait_for


class Slow:
    """A playbook that runs the slow module in a transaction's variables."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.work = site.root / "work"
        self.dest = site.root / "dest"
        self.until = site.root / "until"
        site.write_inventory(
            migration_work_dir=str(self.work), migration_run_id="r1", migration_stack="postgresql", migration_verb="migrate",
        )

    def playbook(self, **options: Any) -> Path:
        """One task of the slow module, and its result shown."""
        return self.site.playbook("slow.yml", [
            {"name": "Work", "slow_work": {"dest": str(self.dest), **options}, "register": "done"},
            {"name": "Show", "ansible.builtin.debug": {"var": "done"}},
        ])

    def lines(self) -> list[str]:
        """The lines of progress printed so far that know how far it is."""
        begin = "[4/7 migrate] postgresql mover: working "
        return [line for line in self.site.output().splitlines() if line.startswith(begin) and "B/s" in line]

    def starts(self) -> int:
        """How often the work itself was begun."""
        path = Path(f"{self.dest}.starts")
        return len(path.read_text(encoding="ascii").splitlines()) if path.exists() else 0

    def workers(self) -> list[int]:
        """Processes of async wrapper and module that belong to this test."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.site.root / "remote_tmp").encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    @staticmethod
    def kill(pids: list[int]) -> None:
        """End processes, of which one may end with another."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remains(self) -> list[str]:
        """Files that a finished operation left, beside its empty lease and the last sign of its run."""
        mine = [path for place in (self.work, self.site.root / "remote_tmp") for path in place.rglob("*") if path.is_file()]
        return [str(path) for path in mine if not (path.suffix in (".lease", ".alive") and path.stat().st_size == 0)]


@pytest.fixture
def slow(site: Site) -> Any:
    one = Slow(site)
    yield one
    one.kill(one.workers())


def test_progress_is_shown_and_the_result_is_the_modules_own(slow: Slow) -> None:
    stale = slow.work / "async" / "j1.2"
    stale.parent.mkdir(parents=True, mode=0o700)
    slow.work.chmod(0o700)
    stale.write_text("{}", encoding="ascii")
    os.utime(stale, (1, 1))
    process = slow.site.start(slow.playbook(until=str(slow.until)))
    wait_for(lambda: len(slow.lines()) >= 2, "two lines")
    alive = slow.work / "workers" / "run.alive"
    before = alive.stat().st_mtime_ns
    wait_for(lambda: alive.stat().st_mtime_ns > before, "the next sign that the run goes on")
    slow.until.touch()
    assert process.wait(timeout=300) == 0
    output = slow.site.output()
    assert " % " in slow.lines()[-1] and " left" in slow.lines()[-1], output
    given = {"lease_file": f"{slow.work}/workers/slow_work-mover.lease", "run_id": "r1"}
    assert shown(output, "done") == {"changed": True, "failed": False, "msg": "done", "journal": {"counts": {"n": 3}}, "given": given}
    assert slow.remains() == []
    for path in (slow.work, slow.work / "async", slow.work / "workers"):
        assert path.stat().st_mode & 0o777 == 0o700
    status, output = slow.site.run(slow.playbook())
    assert status == 0, output
    assert shown(output, "done")["changed"] is False and "changed=0" in output and slow.starts() == 1


def test_no_line_when_progress_is_off_and_no_lease_outside_of_a_transaction(slow: Slow) -> None:
    slow.site.variables.pop("migration_run_id")
    slow.site.write_inventory(migration_progress=False)
    slow.site.start(slow.playbook(until=str(slow.until)))
    wait_for(lambda: slow.starts() == 1, "the worker")
    time.sleep(2)  # four times the interval of the lines
    slow.until.touch()
    wait_for(lambda: "PLAY RECAP" in slow.site.output(), "the end")
    output = slow.site.output()
    assert "postgresql mover:" not in output, output
    assert shown(output, "done")["given"] == {"lease_file": None, "run_id": None}
    assert slow.remains() == []


def test_a_failure_is_the_modules_own(slow: Slow) -> None:
    status, output = slow.site.run(slow.playbook(fail=True))
    assert status == 2 and "it was asked to fail" in output and '"detail": {' in output, output
    assert "ansible_job_id" not in output and slow.remains() == []


def test_check_mode_runs_the_module_plainly(slow: Slow) -> None:
    status, output = slow.site.run(slow.playbook(until=str(slow.until)), "--check")
    assert status == 0 and shown(output, "done")["changed"] is True, output
    assert not slow.dest.exists() and not slow.work.exists()


def test_a_password_never_reaches_the_host(slow: Slow) -> None:
    status, output = slow.site.run(slow.playbook(source={"password": "canary-4"}))
    assert status == 2 and "only a passfile" in output and slow.starts() == 0, output
    assert not (slow.site.root / "remote_tmp").exists()


def killed_controller(slow: Slow) -> None:
    """A run whose ansible-playbook is killed, with all its forks, while the module works."""
    process = slow.site.start(slow.playbook(until=str(slow.until)))
    wait_for(lambda: slow.starts() == 1, "the worker")
    kill_with_forks(process)


def test_a_rerun_attaches_to_the_worker_that_outlived_its_controller(slow: Slow) -> None:
    killed_controller(slow)
    assert slow.workers() and not slow.dest.exists()
    process = slow.site.start(slow.playbook(until=str(slow.until)), "-e", "migration_run_id=r2")
    wait_for(lambda: "attached to the living worker of run r1" in slow.site.output(), "the rerun to attach")
    wait_for(slow.lines, "the progress of the orphan")
    slow.until.touch()
    assert process.wait(timeout=300) == 0, slow.site.output()
    output = slow.site.output()
    assert shown(output, "done")["changed"] is False, "the work was found done"
    assert slow.starts() == 1
    wait_for(lambda: not slow.workers(), "the end of the wrapper")
    assert slow.remains() == [], "the orphan's own wrapper removes its payload, the run that attached its result"


@pytest.mark.parametrize("victims", ["module", "wrapper and module"])
def test_a_killed_worker_is_an_error_and_the_rerun_does_the_work(slow: Slow, victims: str) -> None:
    process = slow.site.start(slow.playbook(until=str(slow.until)))
    wait_for(lambda: slow.starts() == 1, "the worker")
    worker = int(Path(f"{slow.dest}.starts").read_text(encoding="ascii"))
    slow.kill([worker] if victims == "module" else slow.workers())
    assert process.wait(timeout=300) == 2
    output = slow.site.output()
    assert "was ended from outside" in output and "Traceback" not in output
    assert not slow.dest.exists()
    status, output = slow.site.run(slow.playbook(), "-e", "migration_run_id=r2")
    assert status == 0 and shown(output, "done")["changed"] is True and slow.starts() == 2, output


def test_controller_and_worker_killed_leave_the_work_to_the_rerun(slow: Slow) -> None:
    killed_controller(slow)
    slow.kill(slow.workers())
    status, output = slow.site.run(slow.playbook(), "-e", "migration_run_id=r2")
    assert status == 0 and shown(output, "done")["changed"] is True and slow.starts() == 2, output
    assert "attached" not in output


@pytest.mark.parametrize("long", [True, False])
def test_commands_that_outlived_their_controller_are_waited_for_and_run_once(slow: Slow, long: bool) -> None:
    starts = Path(f"{slow.dest}.starts")
    upgrade = f"echo $$ >> {starts}; until test -e {slow.until}; do sleep 0.1; done"
    command = {"name": "schema upgrade", "argv": ["sh", "-c", upgrade], "expect": "exit_status", "done_file": f"{slow.dest}.done"}
    playbook = slow.site.playbook("checks.yml", [
        {"name": "Make the lines come more often", "slow_work": {"dest": f"{slow.dest}-first"}},
        {"name": "Move the schema", "dihya.migration.run_checks": {"commands": [command], "long": long, "log_dir": f"{slow.work}/log"},
         "register": "done"},
        {"name": "Show", "ansible.builtin.debug": {"var": "done.executed"}},
    ])
    Path(f"{slow.dest}-first").touch()
    process = slow.site.start(playbook)
    wait_for(starts.exists, "the command")
    kill_with_forks(process)
    process = slow.site.start(playbook, "-e", "migration_run_id=r2")
    wait_for(lambda: "attached to the living worker of run r1" in slow.site.output(), "the rerun to attach")
    if long:
        wait_for(lambda: "[4/7 migrate] postgresql mover: schema upgrade 0:0" in slow.site.output(), "what runs, and how long")
    slow.until.touch()
    assert process.wait(timeout=300) == 0, slow.site.output()
    assert shown(slow.site.output(), "done.executed") == [] and slow.starts() == 1
    wait_for(lambda: not slow.workers(), "the end of the wrapper")
    assert [path for path in slow.remains() if "/log/" not in path] == []


def test_a_command_dies_with_its_killed_worker(slow: Slow) -> None:
    starts = Path(f"{slow.dest}.starts")
    command = {"name": "sleep", "argv": ["sh", "-c", f"echo $$ > {starts}; exec sleep 600"], "expect": "exit_status"}
    process = slow.site.start(slow.site.playbook("checks.yml", [
        {"name": "Wait", "dihya.migration.run_checks": {"commands": [command], "log_dir": f"{slow.work}/log"}}]))
    wait_for(lambda: starts.exists() and starts.read_text(encoding="ascii").strip(), "the command")  # the shell makes it before it writes
    holder = json.loads((slow.work / "workers" / "run_checks-mover.lease").read_text(encoding="utf-8"))
    os.kill(holder["pid"], signal.SIGKILL)
    assert process.wait(timeout=300) == 2
    wait_for(lambda: not Path(f"/proc/{starts.read_text(encoding='ascii').strip()}").exists(), "the end of the command")


def test_progress_is_shown_under_ansible_runner(slow: Slow) -> None:
    playbook = slow.playbook(until=str(slow.until))
    data = slow.site.root / "runner"
    data.mkdir()
    runner = str(Path(sys.executable).parent / "ansible-runner")
    log = (slow.site.root / "output").open("w", encoding="utf-8")
    process = subprocess.Popen(
        [runner, "run", str(data), "-p", str(playbook), "--inventory", str(slow.site.inventory)],
        cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        env={
            **os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_LIBRARY": str(PLUGINS / "modules"),
            "ANSIBLE_ACTION_PLUGINS": str(PLUGINS / "action"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
    )
    wait_for(slow.lines, "a line")
    slow.until.touch()
    assert process.wait(timeout=300) == 0 and slow.starts() == 1, slow.site.output()
