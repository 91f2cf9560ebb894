# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A freeze does not outlast its limit, nor its run: a timer opens the source, unless the commit was faster."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.guard import Guard
from ansible_collections.dihya.migration.plugins.module_utils._worker import end_workers, read_stat

from demo.postgres_server import HOST
from tests.integration.postgres_verify.support import as_application, die, normal, passfile


@pytest.fixture(name="limited")
def fixture_limited(server, run, tmp_path):
    """The same with a password file, as the timer has nobody who types a password."""
    source = {"host": HOST, "port": server.port, "user": "postgres", "passfile": passfile(tmp_path, server), "sslmode": "disable"}
    return lambda **changes: run(source=source, **changes)


@pytest.fixture(name="held")
def fixture_held(tmp_path, monkeypatch):
    """A file without which no timer goes on, so that nothing before it has to be quick."""
    held, program = tmp_path / "held", tmp_path / "bin" / "sleep"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nuntil [ -e {held} ]; do /bin/sleep 0.05; done\nexec /bin/sleep "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")  # the timer has it from us
    yield held
    held.touch()


def timers(tmp_path):
    """The timer's process; without those that it starts, which have its command line until they become another program."""
    found = subprocess.run(["pgrep", "-f", f"{tmp_path}/f/capture.json.guard.sh$"], capture_output=True, check=False, text=True).stdout
    living = [one for one in map(read_stat, map(int, found.split())) if one]
    return [one.pid for one in living if one.parent not in {other.pid for other in living}]


def is_heard_of(sign, seconds=0):
    """Write a sign of the run, one that is newer than any look of the timer for so long."""
    subprocess.run(["touch", f"--date=+{seconds} seconds", str(sign)], check=True)


def guard_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "f").iterdir() if ".guard" in path.name)


def test_a_freeze_that_lasts_too_long_is_undone_by_a_timer_that_needs_nobody(server, limited, held, tmp_path, eventually):
    before = normal(server)
    assert limited(longest=2)["state"] == "frozen" and normal(server) != before
    os.kill(*timers(tmp_path), signal.SIGKILL)  # as a restart of the host does
    assert eventually(lambda: not timers(tmp_path))
    assert limited(state="fenced")["state"] == "frozen" and len(timers(tmp_path)) == 1
    secrets = tmp_path / "f" / "capture.json.guard.pgpass"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    (tmp_path / "pgpass").unlink()  # as at the end of a run, whatever became of it
    held.touch()
    assert eventually((tmp_path / "f" / "capture.json.guard.reopened").exists) and eventually(lambda: not secrets.exists())
    passfile(tmp_path, server)
    assert normal(server) == before and (tmp_path / "started again").exists()
    as_application(server, "SELECT 1")
    for changes in ({"state": "fenced"}, {"state": "fenced", "disarm": True}):
        with pytest.raises(MigrationError, match="the source was opened again"):
            limited(**changes)
    assert limited(state="open")["state"] == "open" and guard_files(tmp_path) == [] and timers(tmp_path) == []


def test_a_run_that_is_no_longer_heard_of_loses_its_freeze_and_one_that_is_keeps_it_until_its_limit(limited, held, tmp_path, eventually):
    sign, reopened = tmp_path / "alive", tmp_path / "f" / "capture.json.guard.reopened"
    is_heard_of(sign, 600)
    limited(longest=4, lease=2, signs=[str(sign), str(tmp_path / "is never written")])
    held.touch()
    assert eventually(reopened.exists, 30)
    with pytest.raises(MigrationError, match="the freeze lasted longer than it may"):
        limited(state="fenced", disarm=True)
    limited(longest=600, lease=2, signs=[str(sign)])
    is_heard_of(sign)
    assert eventually(reopened.exists, 30)
    with pytest.raises(MigrationError, match="the run was not heard of"):
        limited(state="fenced", disarm=True)


def test_a_timer_takes_nobody_for_dead_before_a_sign_that_lies_in_the_future(limited, tmp_path, eventually):
    sign, reopened = tmp_path / "alive", tmp_path / "f" / "capture.json.guard.reopened"
    is_heard_of(sign, 600)  # as the transaction does before other hosts work
    limited(longest=600, lease=1, signs=[str(sign)])
    time.sleep(4)
    assert not reopened.exists()
    is_heard_of(sign)  # the mover works again
    assert eventually(reopened.exists)


def test_a_source_that_the_timer_opened_and_its_application_changed_is_frozen_anew(
        server, limited, held, tmp_path, eventually, monkeypatch):
    try:
        server.execute("CREATE TABLE crm.last_day (a int, b int); GRANT INSERT, UPDATE (b) ON crm.last_day TO crm_app", "frozen")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Guard, "arm", die)
            limited(longest=1)
        first = limited(longest=1)["fence"]["value"]  # has a timer although the freeze began without one
        held.touch()
        assert eventually((tmp_path / "f" / "capture.json.guard.reopened").exists)
        server.execute("CREATE TABLE crm.day (); DROP TABLE crm.last_day; SELECT lo_create(70007); CREATE ROLE hired", "frozen")
        server.execute("ALTER ROLE crm_app CONNECTION LIMIT 21", "frozen")
        opened = limited(state="open", longest=600)
        assert opened["state"] == "open" and "all that the freeze changed" in opened["msg"]
        told = {one["object"] for one in opened["explained"]}
        assert {"/databases/frozen/objects/TABLE/crm.day", "/roles/hired", "/roles/crm_app/connection_limit"} <= told
        again = limited(longest=600)
        assert again["changed"] and again["fence"]["value"] != first and len(timers(tmp_path)) == 1
        assert limited(state="fenced")["state"] == "frozen"
        # Without a timer only a stop that is not undone leaves it otherwise.
        server.execute("ALTER ROLE crm_app NOLOGIN; DROP TABLE crm.day", "frozen")
        with pytest.raises(MigrationError, match="1 things are not as before the freeze: /roles/crm_app/login"):
            limited(state="open")
        server.execute("ALTER ROLE crm_app LOGIN", "frozen")
        assert limited(state="open")["state"] == "open" and timers(tmp_path) == [] and guard_files(tmp_path) == []
    finally:
        server.execute("DROP TABLE IF EXISTS crm.day, crm.last_day; DROP ROLE IF EXISTS hired; "
                       "SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid = 70007", "frozen")
        server.execute("ALTER ROLE crm_app LOGIN CONNECTION LIMIT 20", "frozen")


def test_a_timer_that_is_opening_the_source_is_waited_for(server, limited, held, tmp_path, eventually):
    before, fired, done = normal(server), tmp_path / "f" / "capture.json.guard.fired", tmp_path / "done"
    waits = f"for n in $(seq 600); do [ -e {done} ] && break; sleep 0.1; done"
    undo = ["sh", "-c", f"echo begins >> {tmp_path}/log; {waits}; echo ends >> {tmp_path}/log"]
    limited(longest=1, undo=undo)
    held.touch()
    assert eventually(fired.exists)
    with pytest.raises(MigrationError, match="the freeze lasted longer than it may"):
        limited(state="fenced")
    assert fired.exists()
    threading.Timer(0.7, done.touch).start()
    assert limited(state="open", undo=undo)["changed"] and normal(server) == before
    assert (tmp_path / "log").read_text().split() == ["begins", "ends"] * 2 and guard_files(tmp_path) == []


def test_a_timer_that_was_taken_away_never_opens_the_source(limited, held, tmp_path):
    limited(longest=2, lease=2, signs=[str(tmp_path / "is never written")])
    assert limited(state="fenced", disarm=True)["state"] == "frozen"
    assert timers(tmp_path) == [] and guard_files(tmp_path) == []
    held.touch()
    time.sleep(2.7)
    assert limited(state="fenced", disarm=True)["state"] == "frozen"
    assert not (tmp_path / "started again").exists()


ORPHAN = """
import json, sys
from ansible_collections.dihya.migration.plugins.module_utils._postgres import freeze_module
freeze_module.run(json.load(sys.stdin), False)
"""
ROOT = pathlib.Path(__file__).parents[3]


def orphaned(options):
    """The module in a process of its own, which nobody controls."""
    orphan = subprocess.Popen([sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, text=True, start_new_session=True,
                              env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"})
    json.dump(options, orphan.stdin)
    orphan.stdin.close()
    return orphan


def test_a_rollback_that_dies_while_it_opens_the_source_leaves_that_to_the_timer(server, limited, run, tmp_path, eventually):
    before, sign, opening = normal(server), tmp_path / "alive", tmp_path / "opening"
    is_heard_of(sign, 600)
    limited(longest=600, lease=1, signs=[str(sign)])
    hangs = {"state": "open", "undo": ["sh", "-c", f"touch {opening}; exec sleep 60"], "source": run.options["source"]}
    with orphaned({**run.options, **hangs}) as rollback:
        assert eventually(lambda: (sign.write_bytes(b""), opening.exists())[1])
        time.sleep(2.2)
        assert "capture.json.guard.aside" in guard_files(tmp_path) and len(timers(tmp_path)) == 1  # who lives is not disturbed
        os.killpg(rollback.pid, signal.SIGKILL)
    assert eventually((tmp_path / "f" / "capture.json.guard.reopened").exists)
    assert (tmp_path / "started again").exists() and normal(server) == before
    assert limited(state="open")["state"] == "open" and guard_files(tmp_path) == []


def test_a_freeze_that_outlived_its_controller_is_ended_before_it_is_undone(server, limited, run, sshd, tmp_path, eventually, monkeypatch):
    before = normal(server)
    monkeypatch.setenv("PATH", f"{sshd.alias('app1', tmp_path / 'ssh')}:{os.environ['PATH']}")
    options = {"method": "revoke_connect", "keep_readers": False, "longest": 600, "lease_file": f"{tmp_path}/workers/pg_freeze-mover.lease",
               "on": "app1", "command": ["sh", "-c", f"echo $$ > {tmp_path}/stopping; sleep 60 & wait; touch {tmp_path}/stopped"]}
    source = {**run.options["source"], "password": None, "passfile": passfile(tmp_path, server)}
    with orphaned({**run.options, **options, "source": source, "run_id": "r1"}) as orphan:
        assert eventually((tmp_path / "stopping").exists)
        with pytest.raises(MigrationError, match="pg_freeze of run r1 still works"):
            limited(state="open", **options)
        assert [one["operation"] for one in end_workers(str(tmp_path), [])] == ["pg_freeze"]
    assert orphan.returncode != 0 and not (tmp_path / "stopped").exists()
    assert eventually(lambda: read_stat(int((tmp_path / "stopping").read_text())) is None)  # on that host too
    assert len(timers(tmp_path)) == 1  # what undoes the freeze if the rollback dies too
    with pytest.raises(MigrationError, match="ssh failed"):
        limited(state="open", undo=["false"], **options)
    assert len(timers(tmp_path)) == 1 and (tmp_path / "f" / "capture.json.guard.armed").exists()
    assert limited(state="open", **options)["changed"] and normal(server) == before and timers(tmp_path) == []
    assert (tmp_path / "started again").exists()
