# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real servers of every major version to be had here, one of each for all tests of this folder."""

from __future__ import annotations

import itertools
import os
import shutil

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._postgres import freeze_module

from demo.postgres_server import HOST, PostgresServer, bin_directory
from tests.integration.postgres_verify.support import DROP_ROLES, ROLES, fill
from tests.support.needs import require_postgres
from tests.support.postgres_modules import SOURCE

NUMBER = itertools.count()
PSQL = shutil.which("psql") or str(bin_directory(18) / "psql")


def started(major, factory):
    require_postgres(major)
    server = PostgresServer(major, factory.mktemp(f"postgres{major}") / "data").create()
    return server.start()


def fixture_of(major, name):
    @pytest.fixture(scope="session", name=name)
    def fixture(tmp_path_factory):
        server = started(major, tmp_path_factory)
        yield server
        server.remove()
    return fixture


postgres15 = fixture_of(15, "postgres15")
postgres16 = fixture_of(16, "postgres16")
postgres18 = fixture_of(18, "postgres18")
other18 = fixture_of(18, "other18")


@pytest.fixture(name="new_database")
def fixture_new_database():
    """Call with a server to get an empty database of a name nobody else uses; all are dropped afterwards."""
    made = []

    def create(server, name=None, options=""):
        name = name or f"d{next(NUMBER)}"
        made.append((server, name))
        server.execute(f"CREATE DATABASE {name} {options}")
        return name

    yield create
    for server, name in made:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module", name="server")
def fixture_server(request):
    """A server of the version from which databases move."""
    server = request.getfixturevalue(f"postgres{SOURCE}")
    server.execute("ALTER SYSTEM SET autovacuum = off")  # it moves the fence, whenever it likes
    server.execute("SELECT pg_reload_conf()")
    server.execute("DROP DATABASE IF EXISTS frozen WITH (FORCE)")
    server.execute(DROP_ROLES)
    server.execute(ROLES)
    server.execute("CREATE DATABASE frozen TEMPLATE template0")
    fill(server, "frozen")
    yield server
    server.execute("DROP DATABASE frozen WITH (FORCE)")
    server.execute(DROP_ROLES)
    server.execute("ALTER SYSTEM RESET autovacuum")
    server.execute("SELECT pg_reload_conf()")


@pytest.fixture(name="run")
def fixture_run(server, tmp_path):
    """Call with options that differ from a freeze that keeps readers; what is frozen is opened afterwards."""
    options = {
        "source": {"host": HOST, "port": server.port, "user": "postgres", "password": server.password, "sslmode": "disable"},
        "target": None, "databases": ["frozen"], "state": "frozen", "method": "command", "command": f"touch {tmp_path}/stopped",
        "undo": ["touch", f"{tmp_path}/started again"], "on": None, "keep_readers": True,
        "capture_file": str(tmp_path / "f" / "capture.json"),
        "reopen_script": str(tmp_path / "f" / "reopen"), "longest": 0, "lease": 0, "signs": [], "disarm": False,
        "pgbouncer": None, "fence": None, "proof": None, "jobs": 1, "other_clients": "fail", "settle": 1,
        "lease_file": None, "run_id": None, "application_name": "dihya/test/freeze", "bin_dir": os.path.dirname(PSQL)}

    def call(check_mode=False, **changes):
        return freeze_module.run({**options, **changes}, check_mode)

    call.options = options
    yield call
    for changes in ({}, {"method": "revoke_connect", "keep_readers": False}):
        state = str(tmp_path / "f" / "capture.json.state")
        if os.path.exists(state) and read_json(state)["state"] != "open":
            try:
                call(state="open", **changes)
            except MigrationError:
                continue
