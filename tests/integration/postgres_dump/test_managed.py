# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A move between two managed services: the login on both sides is a plain CREATEROLE CREATEDB role, nobody is superuser."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres import fence, freeze_module
from ansible_collections.dihya.migration.plugins.module_utils._postgres import freeze as freeze_engine

from demo.postgres_server import HOST, PostgresServer, bin_directory
from tests.support.needs import require_postgres
from tests.support.postgres_modules import dump_tools

# What every service has beside the customer's login: its own roles, which the customer may neither become nor grant.
SERVICE = (
    "CREATE ROLE rdsadmin SUPERUSER LOGIN",
    "CREATE ROLE rds_superuser NOLOGIN",
    "CREATE ROLE migrator LOGIN CREATEROLE CREATEDB PASSWORD 'canary-migrator'",
)
# What a customer makes, as the plain login.
OWN = (
    "CREATE ROLE readers NOLOGIN",
    "CREATE ROLE shop LOGIN PASSWORD 'canary-shop' CONNECTION LIMIT 7 VALID UNTIL '2030-01-01'",
    "CREATE ROLE clerk LOGIN PASSWORD 'canary-clerk' IN ROLE readers",
    "GRANT readers, shop, clerk TO migrator",
    "ALTER ROLE shop SET search_path TO app, public",
    "COMMENT ON ROLE shop IS 'the shop''s role'",
    "CREATE DATABASE shop OWNER shop",
    "ALTER DATABASE shop SET timezone TO 'Europe/Paris'",
    "ALTER ROLE clerk IN DATABASE shop SET statement_timeout TO '9s'",
    "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
    "GRANT CONNECT ON DATABASE shop TO readers WITH GRANT OPTION",
    "COMMENT ON DATABASE shop IS 'the shop'",
)
CONTENTS = (
    "CREATE SCHEMA app AUTHORIZATION shop",
    "SET ROLE shop",
    "CREATE TABLE app.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL)",
    "INSERT INTO app.customer (name) SELECT 'client ⵣ ' || n FROM generate_series(1, 500) n",
    "CREATE TYPE app.mood AS ENUM ('glad', 'sad')",
    "CREATE FUNCTION app.twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n'",
    "CREATE VIEW app.names AS SELECT name FROM app.customer",
    "CREATE MATERIALIZED VIEW app.total AS SELECT count(*) FROM app.customer",
    "GRANT USAGE, CREATE ON SCHEMA app TO clerk",
    "GRANT USAGE ON SCHEMA app TO readers",
    "GRANT SELECT ON app.customer TO readers WITH GRANT OPTION",
    "GRANT SELECT ON app.customer TO rds_superuser",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop IN SCHEMA app GRANT SELECT ON TABLES TO readers",
    "SELECT lo_from_bytea(4711, 'large object'::bytea)",
    "GRANT SELECT ON LARGE OBJECT 4711 TO readers",
    "RESET ROLE",
    # Somebody else's things in the schema of another, where that role may no longer make any.
    "SET ROLE clerk",
    "CREATE TABLE app.note (id int GENERATED ALWAYS AS IDENTITY, body text)",
    "INSERT INTO app.note (body) VALUES ('one')",
    "CREATE SEQUENCE app.tickets START 100",
    "CREATE STATISTICS app.both ON id, body FROM app.note",
    "CREATE TEXT SEARCH CONFIGURATION app.words (COPY = pg_catalog.simple)",
    "CREATE COLLATION app.bytes (locale = 'C')",
    "CREATE FUNCTION app.gladder(app.mood, app.mood) RETURNS bool LANGUAGE sql AS 'SELECT $1 < $2'",
    "CREATE OPERATOR app.<~ (LEFTARG = app.mood, RIGHTARG = app.mood, FUNCTION = app.gladder)",
    "SELECT nextval('app.tickets')",
    "SELECT lo_from_bytea(4712, 'of the clerk'::bytea)",
    "RESET ROLE",
    "REVOKE CREATE ON SCHEMA app FROM clerk",
    # A grant that was not made by the owner.
    "SET ROLE readers",
    "GRANT SELECT ON app.customer TO clerk",
    "RESET ROLE",
)
# What the service's administrators did: the customer could not have.
BY_SERVICE = (
    "ALTER ROLE clerk SET log_statement TO 'all'",
    "GRANT SET ON PARAMETER log_statement TO clerk",
    "ALTER DATABASE shop SET app.mode TO 'canary-mode'",
    "GRANT pg_monitor TO clerk",
)


@dataclasses.dataclass
class Service:
    """A server with the endpoint of its plain login."""

    server: PostgresServer
    endpoint: dict

    @classmethod
    def start(cls, major, directory: pathlib.Path) -> Service:
        server = PostgresServer(major, directory / "data", settings={"autovacuum": "off"}).create().start()
        for statement in SERVICE:
            server.execute(statement)
        passfile = directory / "pass"
        passfile.touch(0o600)
        passfile.write_text("*:*:*:migrator:canary-migrator\n")
        return cls(server, {"host": HOST, "port": server.port, "user": "migrator", "passfile": str(passfile), "sslmode": "disable"})

    def own(self, statements, database="postgres") -> None:
        """Run ``statements`` as the plain login."""
        connection = self.server.connect(database, "migrator", "canary-migrator")
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()

    def fill(self) -> Service:
        self.own(OWN)
        self.own(CONTENTS, "shop")
        for statement in BY_SERVICE:
            self.server.execute(statement)
        return self

    def clear(self) -> None:
        """Drop what a test left beside what the service has."""
        for (name,) in self.server.execute("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"):
            self.server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        for (name,) in self.server.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_|^rds|^(postgres|migrator)$'"):
            self.server.execute(f'DROP ROLE "{name}"')

    def names(self):
        return {row[0] for row in self.server.execute("SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles")}


@pytest.fixture(scope="module", name="services")
def fixture_services(tmp_path_factory):
    """Call with a major version and ``old`` or ``new`` to get a managed service; an old one is filled."""
    started = {}

    def get(major, side) -> Service:
        if (major, side) not in started:
            service = Service.start(major, tmp_path_factory.mktemp(f"{side}{major}"))
            started[major, side] = service.fill() if side == "old" else service
        return started[major, side]

    yield get
    for service in started.values():
        service.server.remove()


@dataclasses.dataclass
class Case:
    """One move; ``run`` gives the module what all modules are given."""

    source: Service
    target: Service
    module: object
    tools: str
    directory: pathlib.Path

    def look(self, **options):
        return self.module.run("pg_preflight", source=self.source.endpoint, target=self.target.endpoint, bin_dir=self.tools,
                               dump_bin_dir=dump_tools(self.source.server.major), databases=["shop"], **options)

    def back_up(self):
        return self.module.run("pg_dumpall", source=self.source.endpoint, databases=["shop"], dest=str(self.directory / "backups"),
                               bin_dir=dump_tools(self.source.server.major), digests=True)

    def restore(self, backup, **options):
        return self.module.run("pg_restore_cluster", target=self.target.endpoint, backup=backup, bin_dir=self.tools,
                               created_file=str(self.directory / "created.json"), **options)

    def remove(self):
        return self.module.run("pg_restore_cluster", target=self.target.endpoint, bin_dir=self.tools, state="absent",
                               created_file=str(self.directory / "created.json"))

    def compare(self, **options):
        return self.module.run("pg_verify", source=self.source.endpoint, target=self.target.endpoint, databases=["shop"], **options)


@pytest.fixture(name="case")
def fixture_case(request, services, module, tools, tmp_path):
    """A move from 16, or from the version that the test is given, to 18."""
    major = getattr(request, "param", 16)
    require_postgres(major)
    case = Case(services(major, "old"), services(18, "new"), module, tools, tmp_path)
    yield case
    case.target.clear()


NOT_CARRIED = (
    "role postgres, which belongs to the service",
    "role rds_superuser, which belongs to the service",
    "role rdsadmin, which belongs to the service",
    "membership of clerk in pg_monitor, which migrator may not grant",
    "setting log_statement of role clerk, which migrator may not set",
    "setting app.mode in database shop, which migrator may not set",
    "privileges on parameter log_statement of role clerk, which migrator may not grant",
)


@pytest.mark.parametrize("case", [15, 16, 18], ids=["from15", "from16", "from18"], indirect=True)
def test_a_plain_login_moves_a_database_and_proves_it(case):
    before = case.target.names()
    looked = case.look()
    assert [one["finding"] for one in looked["findings"] if one["blocking"]] == []
    told = [one["finding"] for one in looked["findings"]]
    assert {f"not carried: {subject}" for subject in NOT_CARRIED} <= set(told)
    assert "passwords cannot be read: they must be set anew for clerk, shop" in told
    backup = case.back_up()
    assert backup.get("path"), backup
    restored = case.restore(backup["path"])
    assert restored.get("changed"), restored
    assert set(NOT_CARRIED) <= set(restored["left"])
    assert "password of role clerk: to be set anew, until then it cannot log in with one" in restored["journal"]["skipped"]
    compared = case.compare()
    assert compared.get("equal"), compared
    assert {f"{subject} (not carried)" for subject in NOT_CARRIED} == {one["object"] for one in compared["explained"]
                                                                     if one["rule"] == "not_carried"}
    assert "canary-mode" not in str([looked, backup, restored, compared])
    assert case.restore(backup["path"])["changed"] is False
    case.remove()
    assert case.target.names() == before


def test_passwords_that_are_given_reach_the_roles_and_let_them_in(case):
    with_roles = case.directory / "with_roles"
    with_roles.touch(0o600)
    with_roles.write_text("*:*:*:migrator:canary-migrator\n*:*:*:shop:canary\\:shop\n*:*:*:clerk:canary-new\n")
    case.target = dataclasses.replace(case.target, endpoint=dict(case.target.endpoint, passfile=str(with_roles)))
    assert "passwords" not in str(case.look(logins={"shop": "canary:shop", "clerk": "canary-new"})["findings"])
    restored = case.restore(case.back_up()["path"])
    assert restored["changed"] and "password" not in str(restored["left"])
    compared = case.compare(logins=["shop", "clerk"])
    assert compared.get("equal"), compared
    hashed = "SELECT count(*) FROM pg_authid WHERE rolpassword ~ '^SCRAM' AND rolname IN ('shop', 'clerk')"
    assert case.target.server.execute(hashed) == [(2,)]
    assert "canary-new" not in case.target.server.log.read_text()


def test_a_drill_on_the_service_itself_passes_and_leaves_nothing(case):
    before = case.target.names()
    drilled = case.module.run("pg_restore_drill", target=case.target.endpoint, backup=case.back_up()["path"], server="scratch",
                              work_dir=str(case.directory / "drill"), bin_dir=case.tools)
    assert drilled.get("server") == "scratch", drilled
    assert any("its time includes what else the target was doing" in limit for limit in drilled["limits"])
    assert case.target.names() == before


@pytest.fixture(name="by_service")
def fixture_by_service(case):
    """The service's administrators put things into the customer's database."""
    source = case.source.server
    made = ["CREATE TABLE app.audit AS SELECT 1 AS a", "GRANT SELECT ON app.audit TO shop, migrator",
            "CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
            "CREATE EVENT TRIGGER watch ON ddl_command_start EXECUTE FUNCTION app.watch()", "CREATE EXTENSION vector",
            "CREATE PUBLICATION \"every thing\" FOR ALL TABLES"]
    for statement in made:
        source.execute(statement, "shop")
    yield case
    for statement in ("DROP EVENT TRIGGER watch", "DROP FUNCTION app.watch()", "DROP TABLE app.audit", "DROP EXTENSION vector",
                      'DROP PUBLICATION "every thing"'):
        source.execute(statement, "shop")


def test_what_a_plain_login_cannot_make_is_found_and_travels_by_choice(by_service):
    case = by_service
    assert {one["finding"] for one in case.look()["findings"] if one["blocking"]} == {
        "user migrator cannot make objects of database shop belong to postgres",
        "only a superuser can create on the target: event trigger watch of database shop",
        "only a superuser can create on the target: publication every thing of database shop",
        "only a superuser can create extension vector on the target"}
    chosen = {"owners": {"postgres": "shop"}, "leave_out": ["event trigger watch", "extension vector", "publication every thing"]}
    looked = case.look(**chosen)
    assert [one["finding"] for one in looked["findings"] if one["blocking"]] == []
    told = [one["finding"] for one in looked["findings"]]
    assert {"not carried: role postgres: shop takes its place", "not carried: extension vector, left out by choice"} <= set(told)
    restored = case.restore(case.back_up()["path"], **chosen)
    assert restored.get("changed"), restored
    compared = case.compare(**chosen)
    assert compared.get("equal"), compared
    assert case.target.server.execute("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'audit'", "shop") == [("shop",)]
    assert "role postgres: shop takes its place" in restored["left"]


def test_without_a_role_in_its_place_the_restore_fails_and_leaves_nothing(by_service):
    case = by_service
    before = case.target.names()
    failed = case.restore(case.back_up()["path"], leave_out=["event trigger watch", "extension vector", "publication every thing"])
    assert failed.get("failed") and "role postgres" in failed["msg"], failed
    assert case.target.names() == before


def test_a_difference_that_is_none_of_these_is_still_found(case):
    assert case.restore(case.back_up()["path"])["changed"]
    for change in ("ALTER TABLE app.note OWNER TO shop", "REVOKE SELECT ON app.customer FROM readers CASCADE",
                   "ALTER DEFAULT PRIVILEGES FOR ROLE shop IN SCHEMA app REVOKE SELECT ON TABLES FROM readers"):
        case.target.server.execute(change, "shop")
    case.target.server.execute("ALTER ROLE shop RESET search_path")
    case.target.server.execute("REVOKE readers FROM clerk GRANTED BY migrator")
    found = "\n".join(case.compare()["differences"])
    for part in ("table app.note differs in owner", "app.customer differs in privileges", "default privileges of shop",
                 "settings of role shop", "membership of clerk in readers is missing"):
        assert part in found, found


def test_what_the_service_sets_on_the_target_afterwards_is_compared_again(case):
    assert case.restore(case.back_up()["path"])["changed"]
    case.target.server.execute("ALTER DATABASE shop SET app.mode TO 'other'")
    assert case.compare()["differences"] == ["settings in database shop differs in app.mode"]
    case.target.server.execute("ALTER DATABASE shop SET app.mode TO 'canary-mode'")
    far = ("CREATE FOREIGN DATA WRAPPER far", "CREATE SERVER far FOREIGN DATA WRAPPER far", "GRANT USAGE ON FOREIGN SERVER far TO migrator",
           "CREATE USER MAPPING FOR clerk SERVER far OPTIONS (password 'canary-{0}')", "CREATE USER MAPPING FOR migrator SERVER far")
    feed = ("CREATE SUBSCRIPTION feed CONNECTION 'host={0}.example password=canary-feed' PUBLICATION p"
            " WITH (connect = false, enabled = false, slot_name = NONE)")
    own = "ALTER USER MAPPING FOR migrator SERVER far OPTIONS (ADD password 'canary-own')"
    try:
        for service in (case.source, case.target):
            service.server.execute(";".join(far).format(service.server.major), "shop")
            service.server.execute(feed.format(service.server.port), "shop")
        case.source.server.execute(own, "shop")
        # It reads its own, and that there are none of these too.
        assert case.compare()["differences"] == ["database shop: user mapping far migrator differs in options"]
        case.target.server.execute(own, "shop")
        compared = case.compare()
    finally:
        case.source.server.execute("DROP FOREIGN DATA WRAPPER far CASCADE", "shop")
        for service in (case.source, case.target):
            service.server.execute("DROP SUBSCRIPTION IF EXISTS feed", "shop")
    assert "app.mode" not in str(compared["explained"]) and "canary" not in str(compared)
    assert "options of user mappings in database shop, which a login may not read: far clerk" in compared["not_proved"]
    assert "connections of subscriptions in database shop, which a login may not read: feed" in compared["not_proved"]


def freeze(case, check_mode=False, **options):
    directory = case.directory / "freeze"
    given = {"source": dict(case.source.endpoint, connect_timeout=10), "target": None, "databases": ["shop"], "state": "frozen",
             "method": "revoke_connect", "command": None, "undo": None, "on": None, "keep_readers": False,
             "capture_file": str(directory / "capture.json"), "reopen_script": str(directory / "reopen"), "longest": 0, "lease": 0,
             "signs": [], "disarm": False, "fence": None, "proof": None, "jobs": 1, "other_clients": "fail", "settle": 1,
             "lease_file": None, "run_id": None, "application_name": "dihya/test/freeze", "bin_dir": str(bin_directory(18))}
    return freeze_module.run({**given, **options}, check_mode)


def refuse(*_arguments):
    raise MigrationError("the server refuses it")


def test_a_plain_login_that_is_a_member_of_the_owner_freezes_and_reopens(case, monkeypatch):
    client = case.source.server.connect("shop", "clerk", "canary-clerk")
    case.source.server.execute("CREATE DATABASE private")  # as a service's own one, into which nobody comes
    case.source.server.execute("REVOKE CONNECT ON DATABASE private FROM PUBLIC")
    with monkeypatch.context() as patch:  # what a fence reads is tried before anything stops
        patch.setattr(fence, "sequences", lambda connection: connection.cursor().execute("SELECT 1 / 0"))
        with pytest.raises(MigrationError, match="database shop .* could not be read"):
            freeze(case, check_mode=True)
    tried = freeze(case, check_mode=True)
    assert tried["changed"] and "shop: REVOKE CONNECT" in tried["diff"]["after"]
    try:
        assert freeze(case)["state"] == "frozen"
        tried = freeze(case, state="open", check_mode=True)
        assert tried["changed"] and tried["state"] == "frozen" and "GRANT CONNECT" in tried["diff"]["after"]
        with pytest.raises(Exception, match="closed|terminat"):
            client.cursor().execute("SELECT 1")
        with pytest.raises(Exception, match="permission denied for database"):
            case.source.server.connect("shop", "clerk", "canary-clerk")
        assert freeze(case, state="fenced")["fence"]["value"]
        case.source.server.execute("ANALYZE", "shop")
        with pytest.raises(MigrationError, match="whether that was maintenance alone is unknown where migrator may not connect: .*private"):
            freeze(case, state="fenced")
        with monkeypatch.context() as patch:  # whatever fails in the undo, our own way in stays
            patch.setattr(freeze_engine, "run_in_transaction", refuse)
            with pytest.raises(MigrationError, match="could not be opened in full"):
                freeze(case, state="open")
        case.source.server.connect("shop", "clerk", "canary-clerk").close()
    finally:
        assert freeze(case, state="open")["state"] == "open"  # proves that all is as before
        case.source.server.execute("DROP DATABASE private WITH (FORCE)")
    case.source.server.connect("shop", "clerk", "canary-clerk").close()


@pytest.mark.parametrize("options", [{}, {"method": "command", "keep_readers": True}], ids=["revoke_connect", "keep_readers"])
def test_a_freeze_that_the_login_may_not_make_is_refused_before_it_begins(case, options):
    # What is left is the right to grant them, which whoever creates a role has; it lets nobody act in their name.
    case.source.server.execute("REVOKE shop, clerk FROM migrator GRANTED BY migrator")
    try:
        with pytest.raises(MigrationError, match="user migrator may not .*shop.*(grant that role|pg_signal_backend)"):
            freeze(case, check_mode=True, **options)
        with pytest.raises(MigrationError, match="user migrator may not"):
            freeze(case, **options)
        assert not (case.directory / "freeze" / "capture.json").exists()
    finally:
        case.source.own(["GRANT shop, clerk TO migrator"])


def test_sessions_that_a_plain_login_cannot_look_into_count_as_clients(case):
    with case.source.server.connect("shop", "postgres"):
        looked = case.look()
        assert any("user postgres is connected to the source" in one["finding"] for one in looked["findings"])
        with pytest.raises(MigrationError, match="sessions are still open in the frozen databases, the first of user postgres"):
            freeze(case, method="command", command="true", undo="true")
    freeze(case, state="open", method="command", command="true", undo="true")
