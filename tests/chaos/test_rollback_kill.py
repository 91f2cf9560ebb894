# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A controller dies inside a restore that would take ten minutes more, and a rollback follows at once: it ends the worker first."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive

from tests.support.move import Move
from tests.support.playbook import kill_with_forks

# Built at once on the source, where the function is quick by then, for more than eight minutes on the target.
SLOW = """
CREATE FUNCTION app.slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN n; END';
CREATE INDEX invoice_slow ON app.invoice (app.slow(id));
CREATE OR REPLACE FUNCTION app.slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
'BEGIN PERFORM pg_catalog.pg_sleep(1); RETURN n; END'"""
BUILDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dihya/{}/migrate' AND query LIKE 'CREATE INDEX invoice_slow%'"


def children_of(pid: int) -> set[int]:
    """The programs that the process ``pid`` started."""
    found = set()
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.add(int(entry.name))
    return found


@pytest.fixture(name="slow")
def fixture_slow(sites, tmp_path):
    """A migration whose restore takes more than eight minutes."""
    move = Move(sites, tmp_path, f"slow{time.monotonic_ns() % 10**9}").fill()
    sites.source.execute(SLOW, move.database)
    move.variables["postgresql_drill"] = False
    yield move
    move.playbook.end()
    sites.clear()


def test_a_rollback_at_once_ends_the_restore_that_outlived_its_controller(slow, tmp_path):
    before = slow.source_state(), slow.target_state()
    run = slow.playbook.start("playbooks/migrate.yml", slow.inventory(), slow.secrets, output=tmp_path / "run.log")
    until = time.monotonic() + 150
    while not (building := slow.sites.target.execute(BUILDS.format(slow.id))):
        assert run.poll() is None and time.monotonic() < until, (tmp_path / "run.log").read_text()[-3000:]
        time.sleep(0.1)
    kill_with_forks(run)
    worker = json.loads((slow.work / "mover" / "workers" / "pg_restore_cluster-mover.lease").read_text())
    programs = children_of(worker["pid"])
    assert is_alive(worker) and programs
    begun = time.monotonic()
    ended = slow.run("rollback", timeout=200)
    took = time.monotonic() - begun
    assert (ended.rc, slow.outcome()) == (0, "rolled_back"), ended.output[-4000:]
    assert took < 95, f"{took:.1f} s: {ended.output[-4000:]}"
    assert not is_alive(worker) and not [pid for pid in programs if pathlib.Path(f"/proc/{pid}").exists()]
    assert building[0] not in slow.sites.target.execute("SELECT pid FROM pg_stat_activity")
    assert (slow.source_state(), slow.target_state()) == before
    # What Ansible itself kept on its controller died with it.
    assert [one for one in slow.leftovers() if "/controller/local/" not in one] == []
