# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No password is in any file that a run writes, in any output, or in what other users of the machine can see of it.

The passwords hold every character that some notation escapes. What the user gave (the file with the secrets) lies apart
and is not searched.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from demo.postgres_server import bin_directory
from tests.integration.failures.conftest import Before, Intrusion, tells
from tests.support.canaries import Find, find_secrets
from tests.support.move import ROOT, Move
from tests.support.recorder import Recorder

BIN = pathlib.Path(sys.executable).parent


def canaries(move: Move) -> dict[str, str]:
    """Every password of the test, also as a libpq password file writes it."""
    plain = {"source": move.sites.source.password, "target": move.sites.target.password, **move.passwords}
    escaped = {f"{name} in a password file": value.replace("\\", "\\\\").replace(":", "\\:") for name, value in plain.items()}
    return {**plain, **escaped}


def search(move: Move, given: pathlib.Path) -> list[Find]:
    """Where passwords are in what a run wrote: below its directory, which is its home too, and in the logs of both servers."""
    found = find_secrets([move.directory, move.sites.source.log, move.sites.target.log], canaries(move))
    return [find for find in found if not find.path.startswith(str(given))]


@pytest.fixture(name="given")
def fixture_given(move, tmp_path) -> pathlib.Path:
    """The file with the secrets, in a directory of its own, as a vault would be; every login really needs its password."""
    for server in (move.sites.source, move.sites.target):
        with pytest.raises(Exception, match="password authentication failed"):
            server.connect(password="Zq9-wrong-password")
    directory = tmp_path / "given"
    directory.mkdir(mode=0o700)
    path = directory / "secrets.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(move.secrets), encoding="utf-8")
    move.secrets = {}
    move.variables.update(postgresql_roles="{{ vault_roles }}", postgresql_pin_settings=["DateStyle"])
    return path


@pytest.fixture(name="recorded")
def fixture_recorded(move, recorder) -> Recorder:
    """Every client tool, every shell and every Python of a module is recorded."""
    move.variables["postgresql_bin_dir"] = str(recorder.mirror(bin_directory(18)))
    interpreter = recorder.mirror(BIN) / "python3"
    move.mover["ansible_python_interpreter"] = str(interpreter)
    return recorder


def surroundings(move: Move, recorder: Recorder) -> dict[str, str]:
    """A PATH on which shells and what carries bytes are recorded, and a home of its own."""
    home = move.directory / "home"
    home.mkdir()
    return {"PATH": f"{recorder.path('sh', *filter(shutil.which, ('ssh', 'rsync')))}{os.pathsep}{BIN}", "HOME": str(home)}


def nothing_is_told(move: Move, given: pathlib.Path, recorder: Recorder) -> None:
    """Neither files nor processes of the run told a password; both were really looked at."""
    assert search(move, given.parent) == []
    seen = {call.program for call in recorder.calls()}
    assert {"python3", "pg_dump", "pg_dumpall", "pg_restore", "psql"} <= seen
    text = "\0".join(word for call in recorder.calls() for word in [*call.argv, *call.environ, *call.environ.values()])
    assert [name for name, value in canaries(move).items() if value in text] == []
    assert len(find_secrets([given], canaries(move))) >= len(canaries(move)) // 2  # the search finds what is there


def test_one_byte_changed_on_the_target_before_the_proof_is_found_and_undone_and_no_password_is_told(move, given, recorded):
    intrusion, before = Intrusion(move, given.parent), Before(move)
    intrusion.plan("before the proof", move.sites.target, [
        "UPDATE app.client SET name = overlay(name PLACING 'X' FROM 3 FOR 1) WHERE id = 7", "SELECT lo_put(4711, 3, 'X')"])
    failed = intrusion.run(["-vvv", "--diff", "-e", f"@{given}"], surroundings(move, recorded))
    assert intrusion.refused() == []
    nothing_is_told(move, given, recorded)
    tells(move, failed, "app.client")
    assert "large objects" in failed.output
    before.is_back()


def test_no_password_is_told_by_a_run_of_ansible_runner_that_succeeds(move, given, recorded):
    private = move.directory / "runner"
    for name in ("project", "inventory"):
        (private / name).mkdir(parents=True)
    (private / "inventory" / "hosts.json").write_text(json.dumps(move.inventory()), encoding="utf-8")
    (private / "project" / "migrate.yml").write_text("- import_playbook: dihya.migration.migrate\n", encoding="utf-8")
    environment = move.playbook.environment({"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), **surroundings(move, recorded)})
    argv = [str(BIN / "ansible-runner"), "run", str(private), "-p", "migrate.yml", "-i", "one", f"--cmdline=-vvv --diff -e @{given}"]
    with (move.directory / "runner.log").open("wb") as log:
        process = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=290,
                                 check=False)
    output = (move.directory / "runner.log").read_text(encoding="utf-8", errors="replace")
    assert (process.returncode, move.outcome()) == (0, "ok"), output[-3000:]
    assert len(list((private / "artifacts" / "one" / "job_events").glob("*.json"))) > 50
    # The old passwords work on the target: hashes travelled, not words.
    move.sites.target.connect(move.database, move.owner, move.passwords[move.owner]).close()
    nothing_is_told(move, given, recorded)
