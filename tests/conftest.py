# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of all tests: real servers, playbook runs, a recorder of child processes."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
import time

import pytest
from ansible.module_utils import basic

from demo.postgres_server import PostgresServer
from tests.support.move import Move, Sites
from tests.support.needs import require_postgres, require_program
from tests.support.playbook import Playbook
from tests.support.postgres_modules import SOURCE
from tests.support.recorder import Recorder
from tests.support.sshd import serve

NUMBER = itertools.count()


@pytest.fixture(scope="session", name="postgres")
def fixture_postgres(tmp_path_factory):
    """Call with a major version to get its running server, the same one for the whole session."""
    servers: dict[int, PostgresServer] = {}

    def running(major: int) -> PostgresServer:
        require_postgres(major)
        if major not in servers:
            servers[major] = PostgresServer(major, tmp_path_factory.mktemp(f"postgres{major}") / "data").create().start()
        return servers[major]

    yield running
    for server in servers.values():
        server.remove()


@pytest.fixture(scope="session", name="identities")
def fixture_identities(tmp_path_factory):
    """Three key pairs for the program age: path of the identity and its recipient; the third is nobody's."""
    keygen = require_program("age-keygen")
    require_program("age")
    directory = tmp_path_factory.mktemp("identities")
    made = []
    for number in range(3):
        path = directory / f"identity{number}"
        subprocess.run([keygen, "-o", str(path)], check=True, capture_output=True)
        path.chmod(0o600)
        made.append((str(path), subprocess.run([keygen, "-y", str(path)], check=True, capture_output=True, text=True).stdout.strip()))
    return made


@pytest.fixture(scope="session", name="sshd")
def fixture_sshd(tmp_path_factory):
    """An SSH server on loopback, the same one for the whole session."""
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(name="eventually")
def fixture_eventually():
    """Waits for a condition, ten seconds unless told otherwise, and tells whether it came about."""
    def wait(condition, seconds: float = 10) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.05)
        return bool(condition())
    return wait


@pytest.fixture(name="database")
def fixture_database():
    """Call with a server to get the name of a new, empty database, dropped after the test."""
    made: list[tuple[PostgresServer, str]] = []

    def create(server: PostgresServer, options: str = "") -> str:
        name = f"t{next(NUMBER)}"
        server.execute(f"CREATE DATABASE {name} {options}")
        made.append((server, name))
        return name

    yield create
    for server, name in made:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(name="playbook")
def fixture_playbook(tmp_path):
    """Runs playbooks of the checkout; what Ansible writes stays below the test's directory."""
    return Playbook(tmp_path / "controller")


@pytest.fixture(name="recorder")
def fixture_recorder(tmp_path):
    """Records argument list and environment of child processes."""
    return Recorder(tmp_path / "recorder")


@pytest.fixture(scope="session", name="sites")
def fixture_sites(tmp_path_factory):
    """An old server and a new one (18) for whole migrations, the same ones for the whole session."""
    for major in (SOURCE, 18):
        require_postgres(major)
    sites = Sites.start(tmp_path_factory.mktemp("sites"))
    yield sites
    sites.remove()


@pytest.fixture(name="move")
def fixture_move(sites, tmp_path):
    """A migration that has not begun, its source database filled; both servers are cleared after the test."""
    move = Move(sites, tmp_path, f"m{next(NUMBER)}").fill()
    yield move
    move.playbook.end()
    sites.clear()


def _become(main, output, options) -> None:
    """Run a module's ``main`` in this forked process and end it."""
    try:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        main()
    except SystemExit:
        pass
    finally:
        sys.stdout.flush()
        os._exit(0)


@pytest.fixture(name="run_module")
def fixture_run_module(tmp_path):
    """Runs a module of the collection in a process of its own and returns its result, ``failed`` included."""
    def run(name: str, check_mode: bool = False, /, **options):
        output = tmp_path / "result.json"
        module = importlib.import_module(f"ansible_collections.dihya.migration.plugins.modules.{name}")
        child = os.fork()  # a process of its own, as on a managed host, without importing everything again
        if not child:
            _become(module.main, output, {**options, "_ansible_check_mode": check_mode})
        os.waitpid(child, 0)
        result = {"failed": False, **json.loads(output.read_text())}
        assert result.pop("invocation", None) is not None  # what the caller gave, not what the module found
        return result
    return run
