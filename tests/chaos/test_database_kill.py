# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kill -9 at random moments of dump, restore and verify, each followed at once by a rerun that ends right and leaves nothing.

CHAOS=full: 40 moments each, else a sample; CHAOS_SEED repeats one. Every test prints its figures.
"""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _manifest

from demo.postgres_server import bin_directory
from tests.support.move import Sites
from tests.support.postgres_modules import Module, Site

FULL = os.environ.get("CHAOS") == "full"
TIMES = 40 if FULL else 3
SEED = int(os.environ.get("CHAOS_SEED", "20261128"))
OURS = "dihya/killed/test"
FILL = (
    "CREATE TABLE bulk (id bigint PRIMARY KEY, word text NOT NULL)",
    "INSERT INTO bulk SELECT n, md5(n::text) FROM generate_series(1, {rows}) n",
    "CREATE INDEX ON bulk (word)",
    "CREATE TABLE small (id int PRIMARY KEY, bulk bigint REFERENCES bulk)",
    "INSERT INTO small SELECT n, n FROM generate_series(1, 1000) n",
    "SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex')) FROM generate_series(1, 20)",
)


class Night:
    """A database on an old server, a new server, and one module that is killed and run again."""

    def __init__(self, sites: Sites, directory: pathlib.Path, name: str) -> None:
        self.source, self.target = (Site(server, directory / f"pass{server.major}") for server in (sites.source, sites.target))
        self.directory, self.module, self.name = directory, Module(directory), name
        self.given: dict[str, Any] = {"bin_dir": str(bin_directory(sites.target.major)), "jobs": 2, "application_name": OURS,
                                      "lease_file": str(directory / "lease"),
                                      "progress_file": str(directory / "progress.json")}
        self.runs = 0
        self.kills: list[bool] = []

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """With what all modules share, and a run of its own."""
        self.runs += 1
        return {**self.given, "run_id": f"r{self.runs}", **options}

    def run(self, **options: Any) -> dict[str, Any]:
        """Let the module end by itself; right after a kill the programs that it had started may still be ending."""
        until = time.monotonic() + 20
        while (result := self.module.run(self.name, **self.options(options))).get("failed"):
            assert "still works" in result["msg"] and time.monotonic() < until, result["msg"]
            time.sleep(0.1)
        return result

    def other(self, name: str, **options: Any) -> dict[str, Any]:
        """Run another module, which nobody kills."""
        return self.module.run(name, bin_dir=self.given["bin_dir"], **options)

    def back_up(self) -> str:
        """The path of a backup of the database."""
        return self.other("pg_dumpall", source=self.source.endpoint, databases=["killed"], dest=str(self.directory / "backups"))["path"]

    def kill(self, moment: float, **options: Any) -> None:
        """Start the module and kill it after so many seconds; :attr:`kills` has whether it was still at work."""
        process = self.module.start(self.name, **self.options(options))
        try:
            process.communicate(timeout=moment)
            self.kills.append(False)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.kills.append(True)

    def moments(self, took: float) -> Iterator[float]:
        """Random moments over what the module takes when it is left alone, few of them not in its start; two kills find it at work."""
        dice = random.Random(f"{SEED} {self.name}")
        while len(self.kills) < TIMES or sum(self.kills) < 2:
            assert len(self.kills) < 4 * TIMES, "the module is too quick to be killed"
            yield dice.uniform(0 if FULL else 0.3 * took, took)

    def sessions(self) -> int:
        """How many of our sessions either server has."""
        statement = f"SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '{OURS}%'"
        return sum(site.execute(statement)[0][0] for site in (self.source, self.target))


@pytest.fixture(name="night")
def fixture_night(sites: Sites, tmp_path: pathlib.Path) -> Iterator[Any]:
    """Call with a module's name to get a night with a filled database ``killed``."""
    def prepared(name: str) -> Night:
        night = Night(sites, tmp_path, name)
        night.source.execute("CREATE ROLE killed_owner LOGIN PASSWORD 'canary'")
        night.source.execute("CREATE DATABASE killed OWNER killed_owner")
        for statement in FILL:
            night.source.execute(statement.format(rows=400_000 if FULL else 150_000), "killed")
        return night

    yield prepared
    sites.clear()


def timed(night: Night, **options: Any) -> tuple[dict[str, Any], float]:
    """Result of a run that is left alone, and its seconds."""
    begun = time.monotonic()
    return night.run(**options), time.monotonic() - begun


def tell(capsys: pytest.CaptureFixture[str], night: Night, took: float) -> None:
    """Print the figures."""
    with capsys.disabled():
        sys.stdout.write(f"\n{night.name}: {sum(night.kills)} kills at work of {len(night.kills)} within {took:.1f} s, each rerun ended "
                         f"right, seed {SEED}\n")


def test_a_killed_dump_is_never_a_backup_and_a_rerun_leaves_one_whole(night, tmp_path, capsys, eventually):
    dump, dest = night("pg_dumpall"), tmp_path / "backups"
    options = {"source": dump.source.endpoint, "databases": ["killed"], "dest": str(dest), "digests": True, "keep": 1}
    first, took = timed(dump, **options)
    for moment in dump.moments(took):
        dump.kill(moment, **options)
        for name in os.listdir(dest):
            assert name.startswith(".") or _manifest.damaged_files(str(dest / name), _manifest.read_manifest(
                str(dest / name), "postgresql")["files"]) == []
        again = dump.run(**options)
        assert again["changed"] and again["counts"]["tables"] == first["counts"]["tables"]
        assert [name for name in os.listdir(dest) if name.startswith(".")] == []
        assert eventually(lambda: dump.sessions() == 0)
    tell(capsys, dump, took)


def test_a_killed_restore_is_completed_or_undone_by_a_rerun_and_nothing_stays_of_it(night, tmp_path, capsys, eventually):
    restore = night("pg_restore_cluster")
    backup = restore.back_up()
    options = {"target": restore.target.endpoint, "created_file": str(tmp_path / "created.json")}
    before = restore.target.names()
    _first, took = timed(restore, backup=backup, **options)
    restore.run(state="absent", **options)
    for number, moment in enumerate(restore.moments(took)):
        restore.kill(moment, backup=backup, **options)
        if number % 4:  # the next run completes it, or, one time in four, the rollback finds it as it is
            restore.run(backup=backup, **options)
            compared = restore.other("pg_verify", source=restore.source.endpoint, target=restore.target.endpoint, databases=["killed"])
            assert compared["equal"] is True
        restore.run(state="absent", **options)
        assert restore.target.names() == before
        assert eventually(lambda: restore.sessions() == 0)
    tell(capsys, restore, took)


def test_a_killed_proof_leaves_nothing_on_either_server_and_a_rerun_proves(night, tmp_path, capsys, eventually):
    verify = night("pg_verify")
    ends = {"source": verify.source.endpoint, "target": verify.target.endpoint}
    verify.other("pg_restore_cluster", backup=verify.back_up(), target=ends["target"], created_file=str(tmp_path / "created.json"))
    options = {**ends, "databases": ["killed"]}
    first, took = timed(verify, **options)
    files = set(os.listdir(tmp_path))
    for moment in verify.moments(took):
        verify.kill(moment, **options)
        again = verify.run(**options)
        assert again["equal"] is True and again["digests"] == first["digests"]
        assert eventually(lambda: verify.sessions() == 0)
        assert {name for name in set(os.listdir(tmp_path)) - files if not name.startswith(("arguments", "progress"))} == set()
    tell(capsys, verify, took)
