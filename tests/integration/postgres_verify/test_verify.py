# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An untouched move is equal, and every single change after it is found and named."""

from __future__ import annotations

import json
import stat

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.verify import VerifyRequest, verify

from tests.integration.postgres_verify.support import DROP_ROLES, FRAME, ROLES, SUBSCRIBE, endpoint_of, fill, move, move_by_modules


@pytest.fixture(scope="module", params=["postgres15", "postgres16", "other18"], name="moved")
def fixture_moved(request, tmp_path_factory):
    """(source, target) with the database ``moved`` on both: moved by the bare tools from 15, by the modules else."""
    source, target = request.getfixturevalue(request.param), request.getfixturevalue("postgres18")
    for server in (source, target):
        server.execute("DROP DATABASE IF EXISTS moved WITH (FORCE)")
        server.execute(DROP_ROLES)
    source.execute(ROLES)
    source.execute("CREATE DATABASE moved TEMPLATE template0")
    fill(source, "moved")
    subscribe(source, "moved")
    if source.major == 15:
        move(source, target, "moved")
    else:
        left = move_by_modules(source, target, "moved", tmp_path_factory.mktemp("moved"))["left"]
        assert left == [], left
    yield source, target
    for server in (source, target):
        server.execute("DROP SUBSCRIPTION feed", "moved")
        server.execute("DROP DATABASE moved WITH (FORCE)")
        server.execute(DROP_ROLES)


def subscribe(server, database):
    for statement in SUBSCRIBE.split(";"):
        server.execute(statement, database)


def request_of(moved, **options):
    source, target = moved
    return VerifyRequest(**{"source": endpoint_of(source), "target": endpoint_of(target), "databases": ["moved"], **options})


def differences(moved, **options):
    with pytest.raises(MigrationError) as failure:
        verify(request_of(moved, **options))
    return failure.value.facts["differences"]


def test_an_untouched_move_has_no_unexplained_difference(moved, tmp_path):
    digests = tmp_path / "digests.json"
    result = verify(request_of(moved, digest_file=str(digests)))
    newer = moved[0].major >= 18
    assert result["equal"] and result["tables"] == (16 if newer else 12) and result["rows"] > 5000
    # What dumps of an older major leave to the default of the target is told, and what a dump cannot say; nothing else is.
    inherited = {f"moved: column crm.child.{name} (position)" for name in ("b", "later")}
    assert {one["object"] for one in result["explained"]} == {"role postgres (password)"} | inherited | (
        set() if newer else {"moved: subscription feed (streaming)"})
    assert stat.S_IMODE(digests.stat().st_mode) == 0o600
    assert result["journal"]["proofs"][0]["path"] == str(digests)
    assert "rows of materialized view crm.stale in database moved: they are made again on the target" in result["not_proved"]
    assert [server.execute("SELECT rows FROM crm.stale", "moved") for server in moved] == [[(0,)], [(1,)]]


def test_a_move_of_a_database_that_is_read_only_by_default_has_none_either(moved):
    for server in moved:
        server.execute("ALTER DATABASE moved SET default_transaction_read_only = on")
    try:
        assert verify(request_of(moved, scope="catalog"))["equal"]
    finally:
        for server in moved:
            server.execute("ALTER DATABASE moved RESET default_transaction_read_only")


CATALOGS = "SET allow_system_table_mods = on;"  # for what no statement changes alone
CHANGES = {
    # on the target: (statement, what must be said of it)
    "ALTER TABLE crm.purchase ALTER COLUMN customer DROP NOT NULL": "column crm.purchase.customer differs in not_null",
    "CREATE OR REPLACE VIEW crm.single AS SELECT id, name FROM crm.customer WHERE EXISTS (SELECT 1 FROM crm.purchase WHERE"
    " purchase.customer = customer.id AND purchase.id > 0)": "view crm.single differs in definition",
    "REVOKE INSERT ON crm.purchase FROM crm_app": "table crm.purchase differs in privileges",
    "REVOKE SELECT (id) ON crm.purchase FROM crm_reader": "column crm.purchase.id differs in privileges",
    "REVOKE SELECT ON LARGE OBJECT 70001 FROM crm_app": "large object 70001 differs in privileges",
    "REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM crm_app":
        "routine pg_catalog.pg_read_file(text) differs in privileges changed from the initial ones",
    "ALTER SEQUENCE crm.numbers CACHE 1": "sequence crm.numbers differs in cache",
    "SELECT setval('crm.purchase_id_seq', 1)": "sequence crm.purchase_id_seq differs in last_value",
    "SELECT setval('crm.numbers', last_value, false) FROM crm.numbers": "sequence crm.numbers differs in is_called",
    f"{CATALOGS} UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'crm.totals_total_idx'::regclass":
        "index crm.totals_total_idx differs in valid",
    "ALTER TABLE crm.customer FORCE ROW LEVEL SECURITY": "table crm.customer differs in force_row_security",
    "DROP INDEX crm.by_name": "index crm.by_name is missing on the target",
    "CREATE TABLE crm.surplus ()": "table crm.surplus is on the target only",
    "ALTER TABLE crm.purchase DROP CONSTRAINT buyer": "constraint crm.purchase buyer is missing on the target",
    "ALTER TABLE crm.purchase VALIDATE CONSTRAINT short": "constraint crm.purchase short differs in validated",
    "ALTER TABLE crm.customer DROP CONSTRAINT known, ADD CONSTRAINT known CHECK (name <> '')":
        "constraint crm.customer known differs in definition",
    "ALTER TABLE crm.purchase ENABLE TRIGGER touched": "trigger crm.purchase touched differs in enabled",
    "ALTER POLICY own ON crm.purchase USING (true)": "policy crm.purchase own differs in using",
    "ALTER TABLE crm.purchase DISABLE ROW LEVEL SECURITY": "table crm.purchase differs in row_security",
    "DROP RULE no_delete ON crm.events": "rule crm.events no_delete is missing on the target",
    "ALTER PUBLICATION changes DROP TABLE crm.events": "publication changes differs in tables",
    "ALTER EVENT TRIGGER watch DISABLE": "event trigger watch differs in enabled",
    "COMMENT ON COLUMN crm.customer.mail IS 'Post'": "column crm.customer.mail differs in comment",
    "ALTER TABLE crm.customer ALTER COLUMN colour SET DEFAULT 'red'": "column crm.customer.colour differs in expression",
    "CREATE OR REPLACE FUNCTION crm.same(crm.address, crm.address) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'":
        "routine crm.same(crm.address, crm.address) differs in definition",
    "ALTER FUNCTION crm.atomic SECURITY INVOKER": "routine crm.atomic(a integer, b text) differs in definition",
    "ALTER TYPE crm.colour ADD VALUE 'black'": "type crm.colour differs in labels",
    "ALTER TABLE crm.customer REPLICA IDENTITY DEFAULT": "table crm.customer differs in replica_identity",
    "ALTER TABLE crm.parent OWNER TO crm_app": "table crm.parent differs in owner",
    "ALTER TABLE crm.quick SET LOGGED": "table crm.quick differs in persistence",
    "REFRESH MATERIALIZED VIEW crm.later": "table crm.later differs in populated",
    "ALTER DEFAULT PRIVILEGES FOR ROLE crm_owner IN SCHEMA crm REVOKE SELECT ON TABLES FROM crm_reader":
        "default privileges of crm_owner in crm for r differs in privileges",
    "ALTER DATABASE changed SET timezone = 'UTC'": "settings in database changed differs in TimeZone",
    "ALTER DATABASE changed CONNECTION LIMIT 7": "the database differs in connection_limit",
    "GRANT CONNECT ON DATABASE changed TO PUBLIC": "the database differs in privileges",
    "UPDATE crm.customer SET name = name || '!' WHERE id = 1234": "rows of crm.customer differs in values (1 row, key 1234)",
    "DELETE FROM crm.hashed WHERE v = 100":
        "rows of crm.hashed differs in values (2500 rows there, 2499 here) (without a primary key to name rows by)",
    "SELECT lo_put(70002, 0, 'x')": "rows of large objects differs in values",
    "ALTER COLLATION crm.bytes OWNER TO crm_app": "collation crm.bytes differs in owner",
    f"{CATALOGS} UPDATE pg_collation SET collicurules = '& a < b' WHERE collname = 'bytes'": "collation crm.bytes differs in rules",
    "COMMENT ON CONVERSION crm.latin IS NULL": "conversion crm.latin differs in comment",
    "ALTER OPERATOR crm.~~~ (crm.address, crm.address) OWNER TO crm_app":
        "operator crm.~~~(crm.address, crm.address) differs in owner",
    "ALTER OPERATOR crm.~~~ (crm.address, crm.address) SET (RESTRICT = eqsel)":
        'operator crm."~~~"(crm.address,crm.address) differs in restrict',
    "ALTER OPERATOR FAMILY crm.numbers USING hash ADD FUNCTION 2 hashint4extended(int4, int8)":
        "operator family crm.numbers hash differs in functions",
    f"{CATALOGS} UPDATE pg_opclass SET opckeytype = 'int8'::regtype WHERE opcname = 'ints'":
        "operator class crm.ints hash differs in stored",
    "ALTER STATISTICS crm.together SET STATISTICS 200": "statistics crm.together differs in target",
    "ALTER STATISTICS crm.together OWNER TO crm_app": "statistics crm.together differs in owner",
    "ALTER TEXT SEARCH CONFIGURATION crm.french DROP MAPPING FOR asciiword": "text search configuration crm.french differs in mapping",
    "ALTER TEXT SEARCH CONFIGURATION crm.split OWNER TO crm_app": "text search configuration crm.split differs in owner",
    "ALTER TEXT SEARCH DICTIONARY crm.plain (accept = true)": "text search dictionary crm.plain differs in options",
    "DROP TEXT SEARCH DICTIONARY crm.own; CREATE TEXT SEARCH DICTIONARY crm.own (TEMPLATE = pg_catalog.simple)":
        "text search dictionary crm.own differs in template",
    "COMMENT ON TEXT SEARCH PARSER crm.splitter IS NULL": "text search parser crm.splitter differs in comment",
    "COMMENT ON TEXT SEARCH TEMPLATE crm.simple IS NULL": "text search template crm.simple differs in comment",
    "COMMENT ON ACCESS METHOD heap_again IS NULL": "access method heap_again differs in comment",
    "ALTER TABLE crm.again SET ACCESS METHOD heap": "table crm.again differs in method",
    "DROP LANGUAGE plagain; CREATE LANGUAGE plagain HANDLER crm.handler; COMMENT ON LANGUAGE plagain IS 'said'":
        "language plagain differs in trusted",
    "DROP CAST (crm.address AS text)": "cast crm.address AS text is missing on the target",
    "DROP TRANSFORM FOR crm.address LANGUAGE sql": "transform for crm.address language sql is missing on the target",
    "ALTER FOREIGN DATA WRAPPER elsewhere OPTIONS (SET note 'b')": "foreign data wrapper elsewhere differs in options",
    "ALTER SERVER archive VERSION '2'": "foreign server archive differs in version",
    "REVOKE USAGE ON FOREIGN SERVER archive FROM crm_app": "foreign server archive differs in privileges",
    "ALTER USER MAPPING FOR crm_app SERVER archive OPTIONS (SET password 'canary-other')":
        "user mapping archive crm_app differs in options",
    "ALTER FOREIGN TABLE crm.far OPTIONS (SET name 'near')": "table crm.far differs in foreign",
    "ALTER FOREIGN TABLE crm.far ALTER COLUMN id OPTIONS (SET name 'key')": "column crm.far.id differs in foreign_options",
    "ALTER SUBSCRIPTION feed CONNECTION 'host=feed.example password=canary-other'": "subscription feed differs in connection",
    "ALTER SUBSCRIPTION feed SET (binary = false)": "subscription feed differs in binary",
    "ALTER SUBSCRIPTION feed OWNER TO postgres; COMMENT ON SUBSCRIPTION feed IS 'else'": "subscription feed differs in comment",
    "DROP PUBLICATION whole": "publication whole is missing on the target",
    "ALTER PUBLICATION schemas DROP TABLES IN SCHEMA crm": "publication schemas differs in schemas",
    "ALTER PUBLICATION schemas SET (publish_via_partition_root = false)": "publication schemas differs in actions",
    "COMMENT ON CONSTRAINT has_at ON DOMAIN crm.email IS NULL": "type crm.email differs in constraints",
    f"{CATALOGS} UPDATE pg_type SET typcategory = 'U' WHERE typname = 'word'": "type crm.word differs in base_type",
    f"{CATALOGS} UPDATE pg_range SET rngsubdiff = 'float8mi'::regproc WHERE rngtypid = 'crm.span'::regtype":
        "type crm.span differs in subtype",
    "DROP TYPE crm.promised": "type crm.promised is missing on the target",
    "ALTER INDEX crm.by_length ALTER COLUMN 1 SET STATISTICS 300": "index crm.by_length differs in statistics",
    "ALTER TABLE crm.purchase ALTER COLUMN note SET COMPRESSION DEFAULT": "column crm.purchase.note differs in compression",
    "ALTER TABLE crm.customer ALTER COLUMN name SET STORAGE EXTENDED": "column crm.customer.name differs in storage",
    "ALTER TABLE crm.customer SET (fillfactor = 70)": "table crm.customer differs in options",
    "ALTER TABLE crm.customer SET WITHOUT CLUSTER": "index crm.by_mail differs in clustered",
    "ALTER TABLE crm.events ENABLE TRIGGER everywhere": "trigger crm.events everywhere differs in enabled",
    "ALTER TABLE crm.events DETACH PARTITION crm.events_rest;"
    "ALTER TABLE crm.events ATTACH PARTITION crm.events_rest FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')":
        "table crm.events_rest differs in partition_bound",
    "COMMENT ON AGGREGATE crm.product(numeric) IS NULL": "routine crm.product(numeric) differs in comment",
    "ALTER DEFAULT PRIVILEGES FOR ROLE crm_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC":
        "default privileges of crm_owner for f differs in privileges",
}
NEWER_CHANGES = {
    # where both servers are of 18
    "ALTER TABLE crm.newest VALIDATE CONSTRAINT late_some_day": "not null constraint crm.newest late_some_day differs in validated",
    "COMMENT ON CONSTRAINT id_is_needed ON crm.newest IS NULL": "not null constraint crm.newest id_is_needed differs in comment",
    "ALTER TABLE crm.hopes DROP CONSTRAINT hoped, ADD CONSTRAINT hoped CHECK (low > 0) NOT VALID":
        "constraint crm.hopes hoped differs in definition",
    "ALTER TABLE crm.computed ALTER COLUMN twice SET EXPRESSION AS (low * 4)": "column crm.computed.twice differs in expression",
    "DROP COLLATION crm.modern": "collation crm.modern is missing on the target",
    "ALTER PUBLICATION computed SET (publish_generated_columns = none)": "publication computed differs in generated",
}


@pytest.fixture(name="changed")
def fixture_changed(moved):
    """A copy of the target's database, with the frame that CREATE DATABASE does not copy."""
    _source, target = moved
    target.execute("CREATE DATABASE changed TEMPLATE moved")
    target.execute(FRAME.format("changed"))
    subscribe(target, "changed")
    yield target
    target.execute("DROP SUBSCRIPTION feed", "changed")
    target.execute("DROP DATABASE changed WITH (FORCE)")


def test_every_change_is_found_and_named_and_nothing_else(moved, changed, tmp_path):
    changes = {**CHANGES, **(NEWER_CHANGES if moved[0].major >= 18 else {})}
    for statement in changes:
        changed.execute(statement, "changed")
    report = tmp_path / "differences.json"
    first = differences(moved, rename={"moved": "changed"}, differences_file=str(report))
    said = {text.replace("database moved: ", "") for text in json.loads(report.read_text())["differences"]}
    wanted = set(changes.values())
    brought_along = {"index crm.by_mail differs in replica_identity", "table crm.parent differs in privileges",
                     "rows of crm.surplus is on the target only", "constraint crm.customer known differs in comment",
                     "sequence crm.purchase_id_seq is behind the numbers in its column: what it gives next may be there already",
                     "trigger crm.events_2025 everywhere differs in enabled", "trigger crm.events_rest everywhere differs in enabled"}
    if moved[0].major >= 18:
        brought_along |= {"column crm.newest.late differs in not_null",
                          "not null constraint crm.purchase purchase_customer_not_null is missing on the target"}
    assert said == wanted | brought_along
    assert len(first) == 20
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert json.loads(report.read_text())["rows"]["moved"]["crm.customer"]["keys"] == [["1234"]]


def test_what_a_schema_tool_changed_is_explained_and_nothing_else(moved, changed, tmp_path):
    digests = str(tmp_path / "digests.json")
    verify(request_of(moved, digest_file=digests))
    changed.execute("ALTER TABLE crm.purchase ADD COLUMN due date; CREATE TABLE crm.version (v text); INSERT INTO crm.version VALUES ('1');"
                    "CREATE VIEW crm.due AS SELECT due FROM crm.purchase; SELECT nextval('crm.numbers')", "changed")
    after = {"source": None, "baseline": digests, "rename": {"moved": "changed"}}
    again = str(tmp_path / "again.json")
    result = verify(request_of(moved, expected_changes=["crm.purchase", "crm.version"], digest_file=again, **after))
    assert {(one["rule"], one["object"]) for one in result["explained"]} == {("schema_change", f"moved: {what}") for what in (
        "rows of crm.purchase (values)", "rows of crm.version (extra)", "table crm.purchase (definition)", "table crm.version (extra)",
        "view crm.due (extra)")}
    assert differences(moved, **after) == [f"database moved: {what}" for what in (
        "rows of crm.purchase differs in values", "rows of crm.version is on the target only",
        "table crm.purchase differs in definition", "table crm.version is on the target only")]
    assert result["not_proved"] == []  # no login was asked for
    (tmp_path / "capture.json").write_text(json.dumps({"roles": {"crm_old": {}, "crm_reader": {}}}))
    named = {**after, "scope": "catalog", "logins": [], "expected_changes": ["crm.purchase", "crm.version"]}
    for more in ({}, {"capture_file": str(tmp_path / "capture.json"), "owners": {"crm_old": "crm_app"}}):
        assert "login of role crm_app: no password was given" in verify(request_of(moved, **named, **more))["not_proved"]
    (tmp_path / "capture.json").write_text(json.dumps({"roles": {"crm_reader": {}}}))
    named["capture_file"] = str(tmp_path / "capture.json")
    assert verify(request_of(moved, **named))["not_proved"] == []  # a role of others on the same server
    live = verify(request_of(moved, expected_changes=["crm.purchase", "crm.version", "crm.due", "crm.numbers"],
                             rename={"moved": "changed"}))
    assert {one["rule"] for one in live["explained"]} >= {"schema_change"}
    changed.execute("UPDATE crm.customer SET amount = amount + 1 WHERE id = 7; DROP INDEX crm.by_name;"
                    "REVOKE DELETE ON crm.customer FROM crm_app; GRANT SELECT (mail) ON crm.customer TO crm_app;"
                    "ALTER TABLE crm.purchase OWNER TO crm_reader; GRANT CREATE ON SCHEMA crm TO crm_app;"
                    "ALTER FUNCTION crm.touch() OWNER TO crm_app; REVOKE USAGE ON SEQUENCE crm.numbers FROM crm_app", "changed")
    assert differences(moved, expected_changes=["crm.purchase", "crm.version"], **after) == [f"database moved: {what}" for what in (
        "rows of crm.customer differs in values", "table crm.customer differs in definition",
        "column crm.customer.mail differs in privileges", "table crm.customer differs in privileges")]
    named["expected_changes"] = ["crm.customer", "crm.purchase", "crm.version"]
    told = {one["object"].partition(": ")[2] for one in verify(request_of(moved, **named))["explained"]}
    assert told >= {"table crm.purchase (owner)", "schema crm (privileges)", "routine crm.touch() (owner)",
                    "sequence crm.numbers (privileges)", "column crm.customer.mail (privileges)", "table crm.customer (privileges)"}
    # What was touched is known from now on; a file that was written without definitions says so.
    since = differences(moved, scope="catalog", **{**after, "baseline": again})
    assert {text for text in since if " table " in text} == {f"database moved: table crm.{what}" for what in (
        "customer differs in definition", "customer differs in privileges", "purchase differs in owner", "purchase differs in privileges")}
    assert "database moved: sequence crm.purchase_id_seq differs in owner" in since  # of its column
    written = json.loads((tmp_path / "again.json").read_text())
    del written["databases"]["moved"]["outline"]
    (tmp_path / "digests.json").write_text(json.dumps(written))
    assert verify(request_of(moved, scope="catalog", **after))["not_proved"] == [
        "definitions of objects in database moved: the baseline holds none to compare with"]


def test_a_sequence_that_a_schema_tool_left_behind_its_column_is_found_and_one_that_came_so_is_told(moved, changed, tmp_path):
    digests = str(tmp_path / "digests.json")
    verify(request_of(moved, digest_file=digests))
    changed.execute("CREATE TABLE crm.seeded (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, down serial);"
                    "ALTER SEQUENCE crm.seeded_down_seq INCREMENT -1 MINVALUE -9 START -1 RESTART;"
                    "INSERT INTO crm.seeded (id) VALUES (1)", "changed")
    after = {"baseline": digests, "rename": {"moved": "changed"}, "scope": "rows", "expected_changes": ["crm.seeded", "crm.purchase"]}
    behind = "database moved: sequence crm.{} is behind the numbers in its column: what it gives next may be there already"
    assert differences(moved, source=None, **after) == [behind.format("seeded_id_seq")]
    changed.execute("SELECT setval('crm.seeded_id_seq', 1);"
                    "INSERT INTO crm.purchase (id, customer) SELECT max(id) + 1, 1 FROM crm.purchase;"
                    "UPDATE crm.seeded SET down = -2", "changed")
    assert differences(moved, source=None, **after) == [behind.format("purchase_id_seq"), behind.format("seeded_down_seq")]
    changed.execute("DROP TABLE crm.seeded", "changed")
    ((stands,),) = moved[0].execute("SELECT setval('crm.purchase_id_seq', last_value) FROM crm.purchase_id_seq", "moved")
    moved[0].execute("SELECT setval('crm.purchase_id_seq', 1)", "moved")  # before the move, so it did not do it
    try:
        told = verify(request_of(moved, **{**after, "baseline": None}))["explained"]
    finally:
        moved[0].execute(f"SELECT setval('crm.purchase_id_seq', {stands})", "moved")
    assert {"rule": "sequence_behind", "object": "moved: sequence crm.purchase_id_seq (behind)"} in told


def test_changed_roles_are_found(moved):
    _source, target = moved
    target.execute("ALTER ROLE crm_app CREATEDB PASSWORD 'other' CONNECTION LIMIT 3; REVOKE crm_reader FROM crm_app;"
                   "ALTER ROLE crm_app RESET statement_timeout; CREATE ROLE surplus; GRANT SET ON PARAMETER work_mem TO crm_app")
    try:
        assert differences(moved, scope="catalog") == [
            "role crm_app differs in connection_limit", "role crm_app differs in createdb", "role crm_app differs in password",
            "membership of crm_app in crm_reader is missing on the target", "settings of role crm_app differs in statement_timeout",
            "parameter work_mem differs in privileges of role crm_app"]
    finally:
        target.execute("DROP ROLE surplus; REVOKE SET ON PARAMETER work_mem FROM crm_app;"
                       "ALTER ROLE crm_app NOCREATEDB CONNECTION LIMIT 20; GRANT crm_reader TO crm_app;"
                       "ALTER ROLE crm_app SET statement_timeout = '5min'")
        for (verifier,) in moved[0].execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'crm_app'"):
            target.execute(f"ALTER ROLE crm_app PASSWORD '{verifier}'")
    assert verify(request_of(moved, scope="catalog"))["equal"]


def test_md5_verifiers_are_compared_and_stay_on_the_server(moved, tmp_path):
    report = tmp_path / "differences.json"
    try:
        for server, word in zip(moved, ("one", "other")):
            server.execute(f"SET password_encryption = md5; ALTER ROLE crm_reader PASSWORD '{word}'")
        assert differences(moved, scope="catalog", differences_file=str(report)) == ["role crm_reader differs in password"]
        taken = json.dumps(capture(endpoint_of(moved[0]), ["moved"])) + report.read_text()
        ((verifier,),) = moved[0].execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'crm_reader'")
        assert verifier.startswith("md5") and verifier[3:] not in taken
        moved[1].execute(f"ALTER ROLE crm_reader PASSWORD '{verifier}'")
        assert verify(request_of(moved, scope="catalog"))["equal"]
    finally:
        for server in moved:
            server.execute("ALTER ROLE crm_reader PASSWORD NULL")


def test_what_every_role_has_more_on_the_target_is_explained_and_less_is_not(moved):
    source, target = moved
    target.execute("ALTER ROLE ALL SET app.shared TO 'theirs'; GRANT SET ON PARAMETER log_statement TO PUBLIC")
    try:
        explained = {one["object"] for one in verify(request_of(moved, scope="catalog"))["explained"] if one["rule"] == "not_carried"}
        assert explained == {"settings of every role (app.shared)", "parameter log_statement (privileges of role public)"}
        source.execute("ALTER ROLE ALL SET app.shared TO 'ours'; ALTER ROLE ALL SET app.lost TO 'ours';"
                       "GRANT SET ON PARAMETER log_statement, work_mem TO PUBLIC")
        assert differences(moved, scope="catalog") == [
            "settings of every role differs in app.lost", "parameter work_mem differs in privileges of role public"]
    finally:
        for server in moved:
            server.execute("ALTER ROLE ALL RESET ALL; REVOKE SET ON PARAMETER log_statement, work_mem FROM PUBLIC")


def test_logins_are_tried_over_the_real_path(moved, tmp_path):
    _source, target = moved
    passfile = tmp_path / "pgpass"
    passfile.touch(mode=0o600)

    def request(password, logins=("crm_app",)):
        passfile.write_text(f"*:{target.port}:*:postgres:{target.password}\n*:{target.port}:*:crm_app:{password}\n")
        return request_of(moved, target=endpoint_of(target, password=None, passfile=str(passfile)), scope="catalog", logins=list(logins))

    assert "login of role" not in str(verify(request("app-secret"))["not_proved"])
    with pytest.raises(MigrationError, match="role crm_app cannot log in.*password") as failure:
        verify(request("wrong"))
    assert "wrong" not in failure.value.message.replace("was refused", "")
    ((verifier,),) = target.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'crm_app'")
    target.execute("ALTER ROLE crm_app PASSWORD 'app-secret'")  # the same, with another salt
    try:
        proved = verify(request("app-secret", []))["explained"]
        assert {"rule": "login_proved", "object": "role crm_app (password)"} in proved
        assert differences(moved, scope="catalog") == ["role crm_app differs in password"]
        assert differences(moved, **vars(request("wrong", []))) == [
            "role crm_app differs in password", "role crm_app cannot log in: no connection to database moved on "
            f"{endpoint_of(target)}: the password of user crm_app was refused"]
    finally:
        target.execute(f"ALTER ROLE crm_app PASSWORD '{verifier}'")


def test_a_role_has_to_get_only_into_the_databases_that_let_it_in_on_the_source(moved, new_database, tmp_path):
    source, target = moved
    for server in moved:
        second = new_database(server, "second", "TEMPLATE template0")
        server.execute("CREATE ROLE second_app LOGIN PASSWORD 'second-secret'; REVOKE CONNECT ON DATABASE second FROM PUBLIC;"
                       "GRANT CONNECT ON DATABASE second TO second_app")
    (tmp_path / "pgpass").touch(mode=0o600)
    (tmp_path / "pgpass").write_text("".join(f"*:{target.port}:*:{line}\n" for line in (
        f"postgres:{target.password}", "crm_app:app-secret", "second_app:second-secret")))
    taken, digests = tmp_path / "capture.json", str(tmp_path / "digests.json")
    taken.write_text(json.dumps(capture(endpoint_of(source), ["moved", second])))
    options = {"databases": ["moved", second], "logins": ["crm_app", "second_app"],
               "target": endpoint_of(target, password=None, passfile=str(tmp_path / "pgpass"))}
    try:
        proved = verify(request_of(moved, digest_file=digests, **options))
        assert proved["equal"] and proved["journal"]["tests"][0]["passed"] == 2
        again = {**options, "source": None, "baseline": digests, "capture_file": str(taken), "scope": "rows"}
        assert verify(request_of(moved, **again))["equal"]
        target.execute("REVOKE CONNECT ON DATABASE second FROM second_app; GRANT CONNECT ON DATABASE second TO crm_app")
        assert differences(moved, **again) == [
            f"role second_app cannot log in: no connection to database second on {endpoint_of(target)}: user second_app may not log in"]
    finally:
        for server in moved:
            server.execute("REVOKE CONNECT ON DATABASE second FROM second_app, crm_app; DROP ROLE second_app")
