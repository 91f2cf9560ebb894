# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two real servers, an old one with something of everything in it and a new one, and the modules run as Ansible runs them."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

import pytest

from demo.postgres_server import PostgresServer, bin_directory
from tests.support.needs import require_postgres
from tests.support.postgres_modules import SOURCE, Module, Site

# The name holds what breaks careless quoting: a blank, both quotes, an equals sign, letters that are not ASCII.
EXTENSION = "bloom" if SOURCE == 15 else "vector"  # neither is trusted; Debian's 15 comes without the other
ODD = 'o\'dd "name" a=b ⵣ é'


def fill(site: Site) -> None:
    """Roles, grants, settings and contents of two databases."""
    site.execute("CREATE ROLE readers NOLOGIN")
    site.execute("CREATE ROLE shop LOGIN PASSWORD 'canary-shop' CONNECTION LIMIT 7 VALID UNTIL '2030-01-01'")
    site.execute("CREATE ROLE clerk LOGIN PASSWORD 'canary-clerk' IN ROLE readers")
    site.execute("ALTER ROLE shop SET search_path TO app, public")
    site.execute("COMMENT ON ROLE shop IS 'the shop''s role'")
    site.execute("CREATE DATABASE shop OWNER shop")
    site.execute("ALTER DATABASE shop SET timezone TO 'Europe/Paris'")
    site.execute("ALTER ROLE clerk IN DATABASE shop SET statement_timeout TO '9s'")
    site.execute("REVOKE CONNECT ON DATABASE shop FROM PUBLIC")
    site.execute("GRANT CONNECT ON DATABASE shop TO readers WITH GRANT OPTION")
    site.execute("SET ROLE readers; GRANT CONNECT ON DATABASE shop TO clerk")
    site.execute("GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO readers WITH GRANT OPTION")
    site.execute('GRANT SET ON PARAMETER "app.Mode" TO clerk')
    site.execute("COMMENT ON DATABASE shop IS 'the shop'")
    site.execute("ALTER ROLE ALL SET app.shared TO 'canary-shared'")
    site.execute("GRANT SET ON PARAMETER log_statement TO PUBLIC")
    for statement in (
        "CREATE SCHEMA app AUTHORIZATION shop",
        "CREATE TABLE app.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,"
        " up text GENERATED ALWAYS AS (upper(name)) STORED)",
        "INSERT INTO app.customer (name) SELECT 'client ⵣ ' || n FROM generate_series(1, 20000) n",
        "ALTER TABLE app.customer OWNER TO shop",
        "CREATE INDEX by_name ON app.customer (name)",
        "GRANT SELECT ON app.customer TO readers",
        "GRANT USAGE ON SCHEMA app TO readers",
        "CREATE SEQUENCE app.tickets START 100",
        "SELECT nextval('app.tickets'), nextval('app.tickets')",
        "CREATE VIEW app.names AS SELECT name FROM app.customer",
        "CREATE MATERIALIZED VIEW app.total AS SELECT count(*) FROM app.customer",
        "SELECT lo_from_bytea(4711, 'large object'::bytea)",
        "GRANT SELECT ON LARGE OBJECT 4711 TO readers",
        f"CREATE EXTENSION {EXTENSION}",
    ):
        site.execute(statement, "shop")
    quoted = '"' + ODD.replace('"', '""') + '"'
    site.execute(f"CREATE DATABASE {quoted}")
    site.execute('CREATE TABLE "t\'t" (a int)', ODD)
    site.execute('INSERT INTO "t\'t" VALUES (1), (2)', ODD)


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory):
    require_postgres(SOURCE)
    directory = tmp_path_factory.mktemp("old")
    server = PostgresServer(SOURCE, directory / "data", settings={"autovacuum": "off"}).create().start()
    site = Site(server, directory / "pass")
    fill(site)
    yield site
    server.remove()


@pytest.fixture(scope="session")
def new(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("new")
    server = PostgresServer(18, directory / "data", settings={"autovacuum": "off"}).create().start()
    yield Site(server, directory / "pass")
    server.remove()


@pytest.fixture
def odd() -> str:
    return ODD


@pytest.fixture
def extension() -> str:
    return EXTENSION


@pytest.fixture(autouse=True)
def cleared(request: pytest.FixtureRequest):
    """What a test that failed left on the new server is no obstacle to the next one."""
    new = request.getfixturevalue("new") if "new" in request.fixturenames else None
    before = new.names() if new else {}
    yield
    if new:
        new.clear(before)


@pytest.fixture
def module(tmp_path: pathlib.Path):
    """Runs modules; those that a test leaves at work are ended."""
    made = Module(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def tools() -> str:
    """The client tools of the newest server."""
    return str(bin_directory(18))


@pytest.fixture(scope="session")
def backup(old: Site, tools: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A backup of both databases, with row digests, made once."""
    directory = tmp_path_factory.mktemp("backup")
    return Module(directory).run(
        "pg_dumpall",
        source=old.endpoint,
        databases=["all"],
        dest=str(directory / "backups"),
        bin_dir=tools,
        digests=True,
        progress_file=str(directory / "progress.json"),
    )


@pytest.fixture
def copy(backup: dict[str, Any], tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the backup that a test may damage."""
    return pathlib.Path(shutil.copytree(backup["path"], tmp_path / "copy"))


@pytest.fixture(name="scratch")
def fixture_scratch(old):
    """Call with statements to get a database on the source that holds what they make."""
    made: list[str] = []

    def create(name: str, *statements: str, options: str = "") -> str:
        old.execute(f"CREATE DATABASE {name} {options}")
        made.append(name)
        for statement in statements:
            old.execute(statement, name)
        return name

    yield create
    for name in made:
        old.execute(f"DROP DATABASE {name} WITH (FORCE)")
