# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What schema tools are told, what their real output says, and which SQL files are applied."""

from __future__ import annotations

import json
import pathlib

import pytest
import yaml
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres import passfile, schema_files, schema_tools
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.schema_touched import outline, touched

ROLE = pathlib.Path(__file__).parents[3] / "roles" / "postgresql"
SERVER = Endpoint(host="db.example", user="crm", port=5433, sslrootcert="/etc/ca & co.pem")
STATUS = """1 changeset has not been applied to postgres@jdbc:postgresql://127.0.0.1:19255/l?sslmode=disable
     changelog.sql::3-more::ann
     db/sub dir/two.xml::a b::Ann B
"""


def info(*states: tuple[str | None, str, str]) -> str:
    """What ``flyway -outputType=json info`` prints for migrations of version, description and state."""
    return "WARNING: …\n" + json.dumps({"migrations": [{"version": version, "description": what, "state": state}
                                                       for version, what, state in states]})


def test_the_address_is_verified_and_reading_only_where_nothing_may_be_written():
    url = schema_tools.jdbc_url(SERVER, "c/r m", "dihya/x/preflight", True)
    assert url.startswith("jdbc:postgresql://db.example:5433/c%2Fr%20m?sslmode=verify-full&sslrootcert=%2Fetc%2Fca%20%26%20co.pem&")
    assert "options=-c%20default_transaction_read_only%3Don" in url
    assert "read_only" not in schema_tools.jdbc_url(SERVER, "crm", "dihya/x/migrate", False)
    assert "//[::1]:5432/" in schema_tools.jdbc_url(Endpoint(host="::1", user="u"), "crm", "x", False)


def test_a_password_is_written_as_each_tool_reads_it():
    given = {"url": "jdbc:x", "user": "crm", "password": "é\\= 𐍈", "history": "app.history", "path": "/srv/m", "changelog": "c.xml"}
    flyway = schema_tools.configuration("flyway", **given)
    assert "flyway.password=é\\= 𐍈\n" in flyway and "flyway.defaultSchema=app\nflyway.table=history\n" in flyway
    liquibase = schema_tools.configuration("liquibase", **given)
    assert "password=\\u00e9\\u005c\\u003d\\u0020\\ud800\\udf48\n" in liquibase and "liquibaseSchemaName=app\n" in liquibase
    for password in ("sec\nret", "sec${HOME}ret", " secret", "secret "):
        with pytest.raises(MigrationError) as refused:
            schema_tools.configuration("flyway", **{**given, "password": password})
        assert password.strip() not in refused.value.message


@pytest.mark.parametrize("table", ["history", 'a."b"', "a.b;c", "a.b.c", ".b", "a."])
def test_a_history_table_is_a_plain_name(table):
    with pytest.raises(MigrationError):
        schema_tools.split_table(table)


def test_flyway_tells_what_is_pending_and_a_history_that_does_not_fit_is_refused():
    assert schema_tools.flyway_pending(info(("1", "a", "Success"), ("2", "b", "Pending"), (None, "v", "Outdated"))) == ["2", "R__v"]
    with pytest.raises(MigrationError, match="1 is missing, 3 is future, 4 is failed"):
        schema_tools.flyway_pending(info(("1", "a", "Missing"), ("3", "c", "Future"), ("4", "d", "Failed"), ("5", "e", "Pending")))
    for output in ("", "ERROR: no", '{"error": {"errorCode": "FAULT"}}'):
        with pytest.raises(MigrationError):
            schema_tools.flyway_pending(output)


def test_liquibase_tells_changesets_with_blanks_in_their_names():
    assert schema_tools.liquibase_changes(STATUS) == ["changelog.sql::3-more::ann", "db/sub dir/two.xml::a b::Ann B"]
    assert schema_tools.liquibase_changes("postgres@jdbc:postgresql://[::1]:5432/l is up to date\n") == []


def test_a_failure_is_told_without_the_tools_own_words():
    assert schema_tools.clue("SQL State  : 23502\nDetail: row (7, 'Aït')") == "SQL State  : 23502"
    assert schema_tools.clue('"errorCode" : "VALIDATE_ERROR", "message": "secret"') == "VALIDATE_ERROR"
    assert schema_tools.clue("ERROR: Exception Primary Class:  PSQLException") == "PSQLException"
    assert schema_tools.clue("anything else") == ""


def test_the_password_is_found_as_libpq_finds_it():
    text = "# a:b:c:d:e\n*:*:*:other:no\ndb.example:5432:*:crm:wrong port\n*:5433:crm:c\\:r:no\n*:*:*:crm:a\\\\b\\:c\n*:*:*:crm:later\n"
    assert passfile.passfile_password(text, SERVER, "crm") == "a\\b:c"
    with pytest.raises(MigrationError, match="no password of user crm"):
        passfile.passfile_password("*:*:*:other:secret\n", SERVER, "crm")


def test_the_role_knows_the_tables_of_every_tool():
    histories = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["__postgresql_histories"]
    assert histories == schema_tools.HISTORY and set(histories) == set(schema_tools.TOOLS)
    assert schema_tools.own_tables("liquibase", "app.log") == ["app.log", "app.databasechangeloglock"]


FILES = {"1.sql": "a", "2.sql": "b", "10.sql": "c"}


@pytest.mark.parametrize(("recorded", "baseline", "wanted"), [
    ({}, None, ([], ["1.sql", "2.sql", "10.sql"])),
    ({}, "2.sql", (["1.sql", "2.sql"], ["10.sql"])),
    ({"1.sql": "a"}, "2.sql", ([], ["2.sql", "10.sql"])),  # where something is on record, that counts
    (FILES, None, ([], [])),
])
def test_what_is_not_on_record_is_applied_in_the_order_of_the_numbers(recorded, baseline, wanted):
    assert schema_files.plan(FILES, recorded, baseline) == wanted


@pytest.mark.parametrize(("files", "recorded", "baseline", "told"), [
    (FILES, {"1.sql": "other"}, None, "1.sql was changed"),
    (FILES, {"0.sql": "z"}, None, "0.sql was applied and is no longer there"),
    (FILES, {"2.sql": "b"}, None, "1.sql is new and comes before"),
    (FILES, {}, "3.sql", "3.sql, the last file"),
    ({}, {}, None, "no *.sql file"),
])
def test_files_that_do_not_fit_the_record_are_refused(files, recorded, baseline, told):
    with pytest.raises(MigrationError) as refused:
        schema_files.plan(files, recorded, baseline)
    assert told in refused.value.message


def test_a_file_and_its_record_are_one_transaction_that_stops_at_the_first_error():
    argv = schema_files.psql("psql", "dbname='crm'", "public.schema_files", "/srv/m", "o'dd.sql", "ab", run=True)
    assert {"--single-transaction", "ON_ERROR_STOP=1", "-X"} < set(argv) and argv[argv.index("-f") + 1] == "/srv/m/o'dd.sql"
    assert argv[-1] == "INSERT INTO public.schema_files (name, sha256) VALUES ('o''dd.sql', 'ab')"
    assert "-f" not in schema_files.psql("psql", "d", "public.schema_files", "/srv/m", "1.sql", "ab", run=False)


def test_touched_tables_are_those_whose_columns_indexes_or_rights_to_exist_changed():
    def catalog(**kinds: dict) -> dict:
        table = {"app.a": {"kind": "r"}, "app.b": {"kind": "r"}, "app.v": {"kind": "v"}}
        view = {"app.v": {"of": "app.v", "definition": "1"}}
        return {"table": table, "column": {"app.a.x": {"of": "app.a", "type": "int"}}, "view": view, "index": {}, "routine": {}, **kinds}
    before = catalog()
    after = catalog(
        table={**before["table"], "app.new": {"kind": "p"}, "public.log": {"kind": "r"}},
        column={"app.a.x": {"of": "app.a", "type": "bigint"}}, index={"app.i": {"of": "app.b", "definition": "x"}},
        view={"app.v": {"of": "app.v", "definition": "2"}}, routine={"app.f()": {"definition": "x"}})
    found = touched(outline(before), outline(after))
    assert found.tables == {"app.a": "definition", "app.b": "definition", "app.new": "extra", "public.log": "extra"}
    assert found.others == {"routine app.f()": "extra", "view app.v": "definition"}
    gone = touched(outline(after), outline(before))
    assert gone.tables["app.new"] == "missing"  # a dropped table was touched too
    assert touched(outline(before), outline(before)).tables == {}
    told = {(str(one), one.rule) for one in found.differences("crm", ["app.b", "app.new", "public.log"])}
    assert {("database crm: table app.a differs in definition", None), ("database crm: table app.b differs in definition", "schema_change"),
            ("database crm: view app.v differs in definition", "schema_change")} <= told


def test_a_number_that_a_sequence_gave_is_no_change_of_its_definition():
    def catalog(**values: int) -> dict:
        return {"table": {"app.a": {"kind": "r"}}, "sequence": {"app.s": {"of": "app.a", "cache": 1, "last_value": 1, **values}}}
    one, given, other = catalog(), catalog(last_value=9), catalog(cache=9)
    assert touched(outline(one, values=False), outline(given, values=False)).tables == {}
    assert touched(outline(one, values=False), outline(other, values=False)).tables == {"app.a": "definition"}
    assert touched(outline(one), outline(given)).tables == {"app.a": "definition"}  # but a schema tool has no business there
