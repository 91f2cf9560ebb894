# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pg_schema with the real Flyway, Liquibase and psql on a real server."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from demo.postgres_server import HOST, PostgresServer
from dev.testing.turns import parameters
from tests.integration.postgres_dump.conftest import Module
from tests.support.java_tools import java_tool
from tests.support.recorder import Recorder

HERE = pathlib.Path(__file__).parent
PASSWORD = "canary: é'\\%\"& =#!schema"


class Schema:
    """One database, the files of one tool in a directory of the test's own, and the module."""

    def __init__(self, server: PostgresServer, database: str, tool: str, root: pathlib.Path) -> None:
        self.server, self.database, self.tool, self.root = server, database, tool, root
        self.files = pathlib.Path(shutil.copytree(HERE / tool, root / "files"))
        self.user = f"{database}_owner"
        quoted = PASSWORD.replace("'", "''")
        server.execute(f"CREATE ROLE {self.user} LOGIN PASSWORD '{quoted}'; ALTER DATABASE {database} OWNER TO {self.user}")
        self.passfile = root / "pgpass"
        self.passfile.touch(0o600)
        escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
        self.passfile.write_text(f"*:*:*:postgres:not-it\n*:*:*:{self.user}:{escaped}\n", encoding="utf-8")
        self.module = Module(root)

    def run(self, check: bool = False, **options) -> dict:
        """The module's result."""
        given = {"command": java_tool(self.tool)} if self.tool != "sql" else {"bin_dir": str(self.server.bin)}
        given.update({"changelog": "changelog.sql"} if self.tool == "liquibase" else {})
        server = {"host": HOST, "port": self.server.port, "user": self.user, "passfile": str(self.passfile), "sslmode": "disable"}
        return self.module.run("pg_schema", check, server=server, database=self.database, tool=self.tool, path=str(self.files),
                               log_dir=str(self.root / "log"), **{"expected_changes": ["app.client"], **given, **options})

    def relations(self) -> set[str]:
        """The tables and views outside of the system's schemas."""
        return {row[0] for row in self.server.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'v')"
            " AND relnamespace <> 'pg_toast'::regnamespace", self.database)}


@pytest.fixture(name="schema")
def fixture_schema(postgres, database, tmp_path):
    """Call with a tool."""
    made: list[Schema] = []

    def begin(tool: str) -> Schema:
        server = postgres(18)
        made.append(Schema(server, database(server), tool, tmp_path))
        return made[-1]

    yield begin
    for one in made:
        one.server.execute(f"ALTER DATABASE {one.database} OWNER TO postgres")
        one.server.execute(f"DROP OWNED BY {one.user}")
        one.server.execute(f"DROP OWNED BY {one.user}", one.database)
        one.server.execute(f"DROP ROLE {one.user}")


def no_secret_was_shown(recorder: Recorder, program: str) -> None:
    """No argument and no environment of ``program`` holds the password."""
    calls = recorder.calls(program)
    assert calls
    for call in calls:
        assert not [text for text in (*call.argv, *call.environ.values()) if PASSWORD in text or "canary" in text]


@pytest.mark.parametrize(("tool", "versions", "first", "others"), parameters((
    ("liquibase", ["changelog.sql::1-clients::ann", "changelog.sql::2-town::ann"], ["every change in the changelog"], ["schema app"]),
    ("flyway", ["1", "2", "R__towns"], ["1", "2", "R__towns"], ["schema app", "view app.town"]),  # at the others in a whole migration
)))
def test_a_tool_of_java_moves_a_schema_and_what_it_touched_is_told(schema, recorder, monkeypatch, tool, versions, first, others):
    one = schema(tool)
    monkeypatch.setenv("PATH", recorder.path("java"))
    looked = one.run(check=True)
    assert (looked["changed"], looked["pending"], looked["before"]) == (True, first, []), looked
    assert one.relations() == set() and not (one.root / "log").exists()
    moved = one.run()
    assert (moved["changed"], moved["before"], moved["after"]) == (True, [], versions), moved
    assert moved["touched"] == sorted(["app.client", *moved["own_tables"]]) and moved["objects"] == others
    assert {tool_table in one.relations() for tool_table in ("app.client", moved["own_tables"][0].removeprefix("public."))} == {True}
    assert {entry["object"] for entry in moved["journal"]["explained"]} >= {f"{one.database}: app.client"}
    no_secret_was_shown(recorder, "java")
    logs = list((one.root / "log").iterdir())
    assert logs and not [log for log in logs if "canary" in log.read_text() or log.stat().st_mode & 0o077]
    if tool == "liquibase":
        with (one.files / "changelog.sql").open("a") as stream:
            stream.write("\n--changeset ann:3-broken\nINSERT INTO app.client (id) VALUES (1);\n")
        failed = one.run()
        assert failed["failed"] and "exit status 1" in failed["msg"] and str(one.root / "log") in failed["msg"], failed
    # Files older than the database: it is never taken for up to date.
    if tool == "flyway":
        (one.files / "V2__client_town.sql").unlink()
    else:
        changelog = one.files / "changelog.sql"
        changelog.write_text(changelog.read_text().partition("--changeset ann:2")[0])
    older = one.run(check=True)
    assert older["failed"] and ("2 is" in older["msg"] or "2-town" in older["msg"]), older


def test_a_table_that_nobody_named_is_a_failure_and_so_is_what_stays_pending_whatever_the_exit_status(schema):
    one = schema("flyway")
    refused = one.run(expected_changes=[])
    assert refused["failed"] and "app.client" in refused["msg"] and "postgresql_schema_changes" in refused["msg"], refused
    (one.files / "V3__broken.sql").write_text("INSERT INTO app.client (id) VALUES (1);")
    failed = one.run()
    assert failed["failed"] and "flyway" in failed["msg"] and str(one.root / "log") in failed["msg"], failed
    assert one.server.execute("SELECT count(*) FROM app.client", one.database) == [(0,)]


def test_sql_files_are_applied_once_in_the_order_of_their_numbers(schema, recorder):
    one = schema("sql")
    mirror = str(recorder.mirror(one.server.bin))
    looked = one.run(check=True)
    assert (looked["changed"], looked["pending"]) == (True, ["9_clients.sql", "10_town.sql"]), looked
    assert one.relations() == set() and not (one.root / "log").exists()
    moved = one.run(bin_dir=mirror)
    assert moved["after"] == ["9_clients.sql", "10_town.sql"] and moved["touched"] == ["app.client", "public.schema_files"], moved
    no_secret_was_shown(recorder, "psql")
    again = one.run()
    assert (again["changed"], again["pending"], again["touched"]) == (False, [], []), again
    (one.files / "11_more.sql").write_text("INSERT INTO app.client VALUES (1, 'Aït');\nSELECT 1/0;\n")
    failed = one.run()
    assert failed["failed"] and "11_more.sql" in failed["msg"], failed
    assert one.server.execute("SELECT count(*) FROM app.client", one.database) == [(0,)]
    (one.files / "11_more.sql").write_text("INSERT INTO app.client VALUES (1, 'Aït');\nCOMMIT;\n")
    ended = one.run()
    assert ended["failed"] and one.run(check=True)["pending"] == ["11_more.sql"], ended
    (one.files / "11_more.sql").write_text("SET ROLE pg_monitor; SET search_path = '';\n")  # the record does not depend on it
    assert one.run()["failed"]  # the owner is no member of that role
    (one.files / "11_more.sql").write_text("SET search_path = 'nowhere';\n")
    assert one.run()["after"][-1] == "11_more.sql"


def test_sql_files_that_do_not_fit_the_record_are_all_named_and_a_baseline_is_only_recorded(schema):
    one = schema("sql")
    one.server.execute(f"SET ROLE {one.user}; CREATE SCHEMA app; CREATE TABLE app.client (id int PRIMARY KEY, name text NOT NULL)",
                       one.database)
    moved = one.run(baseline="9_clients.sql")
    assert moved["after"] == ["9_clients.sql", "10_town.sql"] and not moved.get("failed"), moved
    (one.files / "9_clients.sql").unlink()
    (one.files / "10_town.sql").write_text("SELECT 1;")
    (one.files / "9b_late.sql").write_text("SELECT 1;")
    wrong = one.run(check=True)
    assert wrong["failed"] and all(name in wrong["msg"] for name in ("9_clients.sql", "10_town.sql", "9b_late.sql")), wrong
