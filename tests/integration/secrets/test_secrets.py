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
from tests.support.canaries import Find, find_secrets
from tests.support.move import ROOT, Move
from tests.support.recorder import Recorder

HOME = pathlib.Path.home() / ".ansible"


def canaries(move: Move) -> dict[str, str]:
    """Every password of the test, also as a libpq password file writes it."""
    plain = {"source": move.sites.source.password, "target": move.sites.target.password, **move.passwords}
    escaped = {f"{name} in a password file": value.replace("\\", "\\\\").replace(":", "\\:") for name, value in plain.items()}
    return {**plain, **escaped}


def newer(directory: pathlib.Path, since: float) -> list[pathlib.Path]:
    """Files below ``directory`` that were written after ``since``."""
    return [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since]


def search(move: Move, given: pathlib.Path, begun: float) -> list[Find]:
    """Everything that a run wrote: below its directory, in the user's Ansible directory, in the logs of both servers."""
    found = find_secrets([move.directory, move.sites.source.log, move.sites.target.log, *newer(HOME, begun)], canaries(move))
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
    recorder.path("sh", "ssh", "rsync")
    recorder._wrap(recorder.directory / "bin", "python3", sys.executable)
    move.mover["ansible_python_interpreter"] = str(recorder.directory / "bin" / "python3")
    return recorder


def seen_by_others(recorder: Recorder) -> str:
    """Arguments and environments of every recorded process."""
    return "\0".join(text for call in recorder.calls() for text in [*call.argv, *call.environ, *call.environ.values()])


def test_no_password_is_anywhere_after_a_success_and_a_failure_at_the_highest_verbosity(move, given, recorded, recorder):
    begun = given.stat().st_mtime
    path = {"PATH": f"{recorder.directory / 'bin'}{os.pathsep}{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    arguments = ["-vvv", "--diff", "-e", f"@{given}"]
    move.variables["postgresql_after_restore"] = [str(pathlib.Path(__file__).parent / "fail.yml")]
    failed = move.run(arguments=arguments, environment=path)
    assert move.outcome() == "rolled_back", failed.output[-3000:]
    move.variables["postgresql_after_restore"] = []
    done = move.run(arguments=arguments, environment=path)
    assert done.rc == 0, done.output[-3000:]
    # The new passwords work on the target: hashes travelled, not words.
    move.sites.target.connect(move.database, move.owner, move.passwords[move.owner]).close()
    recorded_programs = {call.program for call in recorder.calls()}
    assert {"python3", "pg_dump", "pg_dumpall", "pg_restore", "psql"} <= recorded_programs
    assert search(move, given.parent, begun) == []
    text = seen_by_others(recorder)
    assert [name for name, value in canaries(move).items() if value in text] == []
    # The search finds what is there: a file that holds one, and the secrets where they were given.
    assert find_secrets([given], canaries(move)) != []


def test_no_password_is_anywhere_after_a_run_of_ansible_runner(move, given):
    begun = given.stat().st_mtime
    private = move.directory / "runner"
    for name in ("project", "inventory"):
        (private / name).mkdir(parents=True)
    (private / "inventory" / "hosts.json").write_text(json.dumps(move.inventory()), encoding="utf-8")
    (private / "project" / "migrate.yml").write_text("- import_playbook: dihya.migration.migrate\n", encoding="utf-8")
    environment = move.playbook.environment({"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")})
    argv = [str(pathlib.Path(sys.executable).parent / "ansible-runner"), "run", str(private), "-p", "migrate.yml", "-i", "one",
            f"--cmdline=-vvv -e @{given}"]
    with (move.directory / "runner.log").open("wb") as log:
        process = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=290,
                                 check=False)
    output = (move.directory / "runner.log").read_text(encoding="utf-8", errors="replace")
    assert (process.returncode, move.outcome()) == (0, "ok"), output[-3000:]
    events = list((private / "artifacts" / "one" / "job_events").glob("*.json"))
    assert len(events) > 50
    assert search(move, given.parent, begun) == []
    shutil.rmtree(private)
