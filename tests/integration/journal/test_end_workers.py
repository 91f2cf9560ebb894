# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workers are ended with all that they started; strangers, and those that ended by themselves, are left alone."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _worker
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive, this_process

ROOT = pathlib.Path(__file__).parents[3]
# A worker whose program, told to end, leaves another one behind; a program of that program ignores SIGTERM in a session of its own.
WORKER = """
import subprocess, sys
from ansible_collections.dihya.migration.plugins.module_utils._command import start
from ansible_collections.dihya.migration.plugins.module_utils._lease import Lease
with Lease(sys.argv[1], 'r1', 'pg_restore_cluster'):
    start(['sh', sys.argv[3]], stdin=subprocess.DEVNULL, stdout=open(sys.argv[2], 'w')).wait()
"""
PROGRAM = """
stubborn='trap "" TERM; echo $$; while :; do sleep 1; done'
trap 'sh -c "$stubborn" & exit' TERM
echo $$
setsid sh -c "$stubborn" &
while :; do sleep 0.1; done
"""


@pytest.fixture(name="work")
def fixture_work(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "workers").mkdir()
    return tmp_path


@pytest.fixture(name="pids")
def fixture_pids(work: pathlib.Path) -> Iterator[list[int]]:
    """A living worker, a program of it, and a program of that one."""
    (work / "program").write_text(PROGRAM)
    arguments = [work / "workers" / "one.lease", work / "pids", work / "program"]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *arguments], start_new_session=True,
                              env=dict(os.environ, PYTHONPATH=f"{ROOT}:{ROOT / 'collections'}"))
    until = time.monotonic() + 60
    found: list[int] = []
    while len(found) < 2:
        assert worker.poll() is None and time.monotonic() < until
        found = programs(work)
        time.sleep(0.05)
    yield [worker.pid, *found]
    for pid in programs(work):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    worker.kill()
    worker.wait()


def programs(work: pathlib.Path) -> list[int]:
    """All that were started by the worker, or by one that it started."""
    return [int(line) for line in (work / "pids").read_text().split()] if (work / "pids").exists() else []


def alive(pid: int) -> bool:
    return _worker.read_stat(pid) is not None


def test_a_worker_is_ended_with_all_that_it_started(work: pathlib.Path, pids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "GRACE", 3.0)  # enough for a busy machine to start what is started on the way out
    assert [one["run_id"] for one in _worker.end_workers(str(work), [], check_mode=True)] == ["r1"] and all(map(alive, pids))
    assert _worker.end_workers(str(work), ["pg_dumpall"]) == [] and all(map(alive, pids))
    assert [one["pid"] for one in _worker.end_workers(str(work), ["pg_restore_cluster"])] == [pids[0]]
    assert not any(map(alive, pids + programs(work))) and len(programs(work)) == 3
    assert _worker.end_workers(str(work), []) == []


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "another"}, {}])
def test_whoever_got_the_number_of_a_dead_worker_is_left_alone(work: pathlib.Path, change: dict[str, object]) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        named = {**this_process(), "pid": stranger.pid, "start": _worker.read_stat(stranger.pid).start, "run_id": "r1", **change}
        lease = work / "workers" / "one.lease"
        lease.write_text(json.dumps(named), encoding="utf-8")
        assert _worker.end_workers(str(work), []) == [], "nobody holds the lease, whatever it says"
        assert stranger.poll() is None
        with lease.open(encoding="utf-8") as stream:  # held by somebody whom it does not name
            _worker.fcntl.flock(stream, _worker.fcntl.LOCK_EX)
            if change:
                with pytest.raises(MigrationError, match="does not name"):
                    _worker.end_workers(str(work), [])
                assert stranger.poll() is None and is_alive(named) is False
    finally:
        stranger.kill()
        stranger.wait()


def test_without_a_work_directory_there_is_nothing_to_end(tmp_path: pathlib.Path) -> None:
    assert _worker.end_workers(str(tmp_path / "none"), []) == []
