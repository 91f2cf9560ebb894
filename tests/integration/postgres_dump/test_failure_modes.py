# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ways in which a move of databases is known to lose data or to end in a backup that cannot be restored, made on real servers.

``docs/postgresql.md`` lists all of them with their tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, connect
from ansible_collections.dihya.migration.plugins.module_utils._postgres.fence import read_fence
from ansible_collections.dihya.migration.plugins.module_utils._postgres.long_rows import long_rows

from demo.postgres_server import PostgresServer
from tests.support.needs import cannot_run
from tests.support.postgres_modules import SOURCE, Site, dump_tools

INNER = "CREATE FUNCTION inner_name(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)'"
OUTER = "CREATE FUNCTION outer_name(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN inner_name($1); END $$"


def test_rows_hidden_by_row_security_are_never_left_out_of_a_dump(scratch, module, old, new, tools, identities, tmp_path):
    """Of an encrypted one neither, where what failed is not the last program of the pipe."""
    old.execute("CREATE ROLE limited LOGIN PASSWORD 'limited' IN ROLE pg_read_all_data")
    try:
        name = scratch("policies", "CREATE TABLE t AS SELECT n FROM generate_series(1, 9) n", "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
                       "CREATE POLICY few ON t USING (n < 3)")
        passfile = tmp_path / "limited"
        passfile.touch(0o600)
        passfile.write_text("*:*:*:limited:limited\n")
        source = dict(old.endpoint, user="limited", passfile=str(passfile))
        looked = module.run("pg_preflight", source=source, target=new.endpoint, databases=[name], bin_dir=tools)
        assert [one["blocking"] for one in looked["findings"] if "row security may hide rows" in one["finding"]] == [True], looked
        for encrypt in (None, {"recipients": [identities[0][1]]}):
            dumped = module.run("pg_dumpall", source=source, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools, encrypt=encrypt)
            assert dumped["failed"] and dumped["msg"].startswith("pg_dump of database policies failed with exit status 1"), dumped
            assert not list((tmp_path / "b").glob("[!.]*")), dumped
    finally:
        old.execute("DROP ROLE limited")


@pytest.mark.skipif(SOURCE >= 17, reason="the source itself refuses such an index")
def test_an_index_that_depends_on_a_search_path_fails_the_restore_as_a_whole(scratch, module, old, new, tools, tmp_path):
    name = scratch("paths", INNER, OUTER, "CREATE TABLE t AS SELECT 'A' || n AS a FROM generate_series(1, 9) n",
                   "CREATE INDEX by_name ON t (outer_name(a))")
    before = new.names()
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools)
    restored = module.run("pg_restore_cluster", target=new.endpoint, backup=dumped["path"], created_file=str(tmp_path / "created.json"),
                          bin_dir=tools)
    assert restored["failed"] and "by_name" in restored["msg"], restored
    assert new.names() == before


@pytest.mark.skipif(SOURCE >= 18, reason="no tools are newer than the source")
def test_an_archive_of_newer_tools_does_not_half_restore_on_the_old_server(scratch, module, old, tools, tmp_path):
    name = scratch("newer", "CREATE TABLE t AS SELECT n FROM generate_series(1, 9) n")
    before = old.names()
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools)
    restored = module.run("pg_restore_cluster", target=old.endpoint, backup=dumped["path"], created_file=str(tmp_path / "created.json"),
                          rename={name: "newer_again"}, bin_dir=tools)
    assert restored["failed"] and "pg_restore" in restored["msg"], restored
    assert old.names() == before


def test_bytes_of_a_database_without_an_encoding_arrive_as_they_are_and_are_told(scratch, module, old, new, tools, tmp_path):
    name = scratch("bytes", "SET client_encoding = 'SQL_ASCII'; CREATE TABLE t (a text)",
                   "SET client_encoding = 'SQL_ASCII'; INSERT INTO t SELECT convert_from('\\x61e9ff'::bytea, 'SQL_ASCII')",
                   "DO $$ BEGIN EXECUTE format('COMMENT ON TABLE t IS %L', convert_from('\\x61e9'::bytea, 'SQL_ASCII')); END $$",
                   options="TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    looked = module.run("pg_preflight", source=old.endpoint, target=new.endpoint, databases=[name], bin_dir=tools)
    assert [one for one in looked["findings"] if "SQL_ASCII" in one["finding"]], looked
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), digests=True, bin_dir=tools)
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    restored = module.run("pg_restore_cluster", backup=dumped["path"], **options)
    try:
        assert restored["not_proved"] == restored["journal"]["not_proved"] == [
            f"database {name} has encoding SQL_ASCII: its bytes arrive unchecked"], restored
        assert new.execute("SELECT a::bytea::text FROM t", name) == [("\\x61e9ff",)]
        assert new.execute("SHOW server_encoding", name) == [("SQL_ASCII",)]
        proof = {"manifest": dumped["path"], "target": new.endpoint, "databases": [name]}
        proved = module.run("pg_verify", **proof)
        said = "definitions of objects in database bytes: a backup holds no catalog to compare with"
        assert proved["equal"] and proved["not_proved"] == [said], proved
        live = {"source": old.endpoint, "target": new.endpoint, "databases": [name], "digest_file": str(tmp_path / "digests.json")}
        for known in (live, {"baseline": live["digest_file"], "target": new.endpoint, "databases": [name]}):
            read = module.run("pg_verify", **known)
            assert read.get("equal"), read
            assert read["not_proved"] == [f"definitions of objects in database {name}: it has no encoding, and some of them are no UTF-8"]
        new.execute("SET client_encoding = 'SQL_ASCII'; UPDATE t SET a = convert_from('\\x61e9fe'::bytea, 'SQL_ASCII')", name)
        assert "public.t" in module.run("pg_verify", **proof)["msg"]
    finally:
        module.run("pg_restore_cluster", state="absent", **options)


def test_a_prepared_transaction_that_no_dump_sees_stops_preflight_and_freeze(module, new, tools, tmp_path):
    server = PostgresServer(16, tmp_path / "data", settings={"max_prepared_transactions": "2"}).create().start()
    try:
        site = Site(server, tmp_path / "pass")
        site.execute("CREATE DATABASE crm")
        site.execute("CREATE TABLE t (a int)", "crm")
        site.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'waiting'", "crm")
        looked = module.run("pg_preflight", source=site.endpoint, target=new.endpoint, databases=["crm"], bin_dir=tools)
        assert [one for one in looked["findings"] if one["finding"] == "prepared transaction: waiting"], looked
        with pytest.raises(MigrationError, match="1 prepared transactions are open"):
            read_fence(Endpoint.from_options(site.endpoint), ["crm"], "dihya/x/freeze")
    finally:
        server.remove()


@pytest.fixture(name="cron", scope="module")
def fixture_cron(tmp_path_factory):
    """A server with pg_cron and one job in database jobs."""
    if not os.path.exists("/usr/share/postgresql/15/extension/pg_cron.control"):
        cannot_run("pg_cron is not installed here")
    directory = tmp_path_factory.mktemp("cron")
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": "jobs"}
    server = PostgresServer(15, directory / "15", settings=settings).create().start()
    try:
        source = Site(server, directory / "pgpass")
        source.execute("CREATE DATABASE jobs")
        source.execute("CREATE EXTENSION pg_cron; SELECT cron.schedule('0 0 1 1 *', 'CREATE TABLE twice ()')", "jobs")
        yield source
    finally:
        server.remove()


def test_a_restore_alone_is_refused_before_anything_is_made_with_all_that_the_target_lacks(module, cron, new, tools, tmp_path):
    dumped = module.run("pg_dumpall", source=cron.endpoint, databases=["jobs"], dest=str(tmp_path / "backup"), bin_dir=dump_tools(15))
    manifest = tmp_path / "backup" / os.path.basename(dumped["path"]) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["databases"]["jobs"].update(collate="xx_XX.utf8", provider="i", encoding="SQL_ASCII")
    own = {"name": "own", "collname": "own", "system": False, "provider": "c", "collate": "yy_YY", "ctype": "yy_YY"}
    content["databases"]["jobs"]["needs"].update(types={"money": 1, "xml": 1}, icu_columns=1, collations=[own])
    content["server"]["settings"]["lc_monetary"] = "xx_XX"
    content["server"].update(version="19.4", version_num=190004)
    content["tables"]["jobs"].update({f"public.t{number}": {"bytes": 1 << 50, "index_bytes": 0} for number in range(10000)})
    manifest.write_text(json.dumps(content))
    # The newest server of the tests was built without either.
    lacking = ["database jobs needs ICU", "columns in database jobs need ICU", "database jobs has xml columns"]
    before, record = new.names(), tmp_path / "created.json"
    for check in (True, False):
        refused = module.run("pg_restore_cluster", check, target=new.endpoint, backup=dumped["path"], databases=["jobs", "nothing"],
                             created_file=str(record), bin_dir=tools)
        assert refused["failed"] and len(refused["findings"]) == 12, refused
        for said in ("the backup holds no database nothing", "extension pg_cron", "locale xx_XX.utf8 of database jobs",
                     "locale yy_YY of collations in database jobs", *lacking,
                     "has money columns and lc_monetary differs", "restore may take", "is older than the source (19.4)",
                     "the backup was made with tools of version 19", "the lock table of the target is made for 6400"):
            assert said in refused["msg"], (said, refused)
        assert new.names() == before and not record.exists()


def test_a_restore_alone_is_refused_where_the_target_cannot_give_a_collation(module, copy, new, tools, tmp_path):
    manifest = json.loads((copy / "manifest.json").read_text())
    own = {"name": "own", "collname": "own", "system": False, "provider": "c", "collate": "yy_YY", "ctype": "yy_YY"}
    manifest["databases"]["shop"]["needs"]["collations"] = [own]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    before = new.names()
    refused = module.run("pg_restore_cluster", target=new.endpoint, backup=str(copy), created_file=str(tmp_path / "created"), bin_dir=tools)
    assert "locale yy_YY of collations in database shop is not known on the target" in refused["msg"], refused
    assert new.names() == before and not (tmp_path / "created").exists()


def test_an_extension_that_is_left_out_leaves_its_rows_and_privileges_behind(module, cron, new, tools, tmp_path):
    for statement in ("CREATE TABLE mine AS SELECT 1 AS a", "CREATE ROLE planner", "GRANT USAGE ON SCHEMA cron TO planner",
                      "GRANT SELECT, UPDATE (active) ON cron.job TO planner",
                      "GRANT EXECUTE ON FUNCTION cron.unschedule(bigint) TO planner"):
        cron.execute(statement, "jobs")
    common = {"bin_dir": tools, "leave_out": ["extension pg_cron"]}
    dumped = module.run("pg_dumpall", source=cron.endpoint, databases=["jobs"], dest=str(tmp_path / "backup"), digests=True,
                        bin_dir=dump_tools(15))
    there = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), **common}
    try:
        restored = module.run("pg_restore_cluster", backup=dumped["path"], **there)
        assert restored.get("changed") and "extension pg_cron, left out by choice" in restored["left"], restored
        for known in ({"manifest": dumped["path"]}, {"source": cron.endpoint}):
            proved = module.run("pg_verify", target=new.endpoint, databases=["jobs"], **known, **common)
            assert proved.get("equal") and proved["tables"] == 1, proved
        assert new.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'cron'", "jobs") == [(0,)]
    finally:
        module.run("pg_restore_cluster", state="absent", **there)


def test_jobs_of_pg_cron_stop_preflight_and_freeze_and_so_does_its_launcher_alone(module, cron, new, tools, tmp_path):
    options = {"source": cron.endpoint, "target": new.endpoint, "databases": ["jobs"], "bin_dir": tools}

    def stopped() -> list[bool]:
        looked = module.run("pg_preflight", **options)
        return [one["blocking"] for one in looked["findings"] if "pg_cron works in database jobs" in one["finding"]]

    assert stopped() == [True]
    freeze = {"source": cron.endpoint, "databases": ["jobs"], "method": "revoke_connect", "capture_file": str(tmp_path / "capture.json")}
    frozen = module.run("pg_freeze", state="frozen", **freeze)
    assert frozen["failed"] and "pg_cron launcher works in a frozen database" in frozen["msg"], frozen
    assert module.run("pg_freeze", state="open", **freeze)["changed"]
    cron.execute("DROP EXTENSION pg_cron", "jobs")
    deadline = time.monotonic() + 30
    while not cron.execute("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher' AND datname = 'jobs'"):
        assert time.monotonic() < deadline
        time.sleep(0.1)  # it begins again when its database was made
    assert stopped() == [True]


def test_a_subscription_arrives_disabled_and_nothing_follows_on_both_sides(scratch, module, old, new, tools, tmp_path):
    """A rollback removes the database with it, asks no publisher, and neither an event trigger nor a setting of it stands against that."""
    name = scratch("follows", "CREATE TABLE t (n int)",
                   "CREATE SUBSCRIPTION follows CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p WITH (connect = false)",
                   "ALTER SUBSCRIPTION follows ENABLE")
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    try:
        assert old.execute("SELECT subenabled FROM pg_subscription") == [(True,)]
        looked = module.run("pg_preflight", source=old.endpoint, target=new.endpoint, databases=[name], bin_dir=tools)
        assert [one["remedy"] for one in looked["findings"] if one["finding"] == "subscription: follows"], looked
        assert [one["remedy"] for one in looked["findings"] if one["blocking"]] == [
            "end it before the migration: ALTER SUBSCRIPTION follows DISABLE"], looked
        dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools)
        restored = module.run("pg_restore_cluster", backup=dumped["path"], **options)
        assert restored.get("changed") and new.execute("SELECT subname, subenabled FROM pg_subscription") == [("follows", False)], restored
        for statement in (REFUSE, "CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()",
                          f"ALTER DATABASE {name} SET default_transaction_read_only TO on"):
            new.execute(statement, name)
    finally:
        end_subscription(old, name)
        removed = module.run("pg_restore_cluster", state="absent", **options)
        if removed.get("failed"):  # the server outlives this test
            new.execute(f"ALTER DATABASE {name} RESET ALL")
            new.execute("DROP EVENT TRIGGER IF EXISTS refuse", name)
            end_subscription(new, name)
            module.run("pg_restore_cluster", state="absent", **options)
    assert f"database {name}" in removed.get("removed", []), removed
    assert new.execute("SELECT subname FROM pg_subscription") == []


REFUSE = "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"


def end_subscription(site: Site, name: str) -> None:
    for statement in ("ALTER SUBSCRIPTION follows DISABLE", "ALTER SUBSCRIPTION follows SET (slot_name = NONE)",
                      "DROP SUBSCRIPTION follows"):
        site.execute(statement, name)


def test_a_row_that_is_too_long_for_pg_dump_stops_preflight(scratch, module, old, new, tools, tmp_path):
    name = scratch("long", "CREATE TABLE photo (id int PRIMARY KEY, tiny bytea, huge bytea)",
                   "INSERT INTO photo VALUES (1, 'x', NULL), (2, 'y', repeat('x', 540000000)::bytea), (3, 'z', 'x')")
    looked = module.run("pg_preflight", source=old.endpoint, target=new.endpoint, databases=[name], bin_dir=tools)
    found = [(one["finding"], one["blocking"]) for one in looked["findings"] if "pg_dump cannot read" in one["finding"]]
    assert found == [("table public.photo in database long has rows that pg_dump cannot read (1): up to 1.1 GB as text, the "
                      "limit is 1.1 GB", True)], looked
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools)
    assert dumped["failed"] and not list((tmp_path / "b").glob("[!.]*")), dumped


def test_the_length_of_a_row_counts_every_column_and_what_other_types_are_as_text(scratch, old):
    """The limit is made small for it: a value of another type than text and bytea, which alone is that long, cannot be made in a test."""
    name = scratch("lengths", "CREATE DOMAIN note AS text", "CREATE TABLE \"o'dd %\" (id int, \"a b\" text, b note, c jsonb, d bytea)",
                   "INSERT INTO \"o'dd %\" SELECT 1, repeat('x', 400000), repeat('x', 400000), '{}', repeat('x', 100000)::bytea",
                   "INSERT INTO \"o'dd %\" SELECT 2, '', '', (SELECT json_agg(md5(n::text)) FROM generate_series(1, 30000) n), ''",
                   "INSERT INTO \"o'dd %\" VALUES (3, NULL, NULL, NULL, NULL)")
    with contextlib.closing(connect(Endpoint(**old.endpoint), name)) as connection:
        lengths = [long_rows(connection, longest, 1000) for longest in (999_999, 1_000_000, 2_000_000)]
        assert long_rows(connection) == []
    assert lengths[0] == [{"relation": "public.\"o'dd %\"", "rows": 2, "bytes": 1_080_000}]
    assert [one and one[0]["rows"] for one in lengths] == [2, 1, []]


LABEL = "INSERT INTO pg_seclabel VALUES ('t'::regclass, 'pg_class'::regclass, 0, 'dummy', '{}')"


def test_a_security_label_without_its_provider_fails_the_restore_and_another_label_is_found(scratch, module, old, new, tools, tmp_path):
    # No distribution has a provider that works without SELinux: the labels are written as the server would store them.
    name = scratch("labels", "CREATE TABLE t AS SELECT n FROM generate_series(1, 9) n",
                   "SET allow_system_table_mods = on; " + LABEL.format("secret"))
    before = new.names()
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools)
    restored = module.run("pg_restore_cluster", target=new.endpoint, backup=dumped["path"], created_file=str(tmp_path / "created.json"),
                          bin_dir=tools)
    assert restored["failed"] and "database labels failed" in restored["msg"] and new.names() == before, restored
    new.execute("CREATE DATABASE labels")
    new.execute("ALTER ROLE ALL SET app.shared TO 'canary-shared'; GRANT SET ON PARAMETER log_statement TO PUBLIC")
    try:
        new.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 9) n", name)
        proof = {"source": old.endpoint, "target": new.endpoint, "databases": [name], "bin_dir": tools,
                 "differences_file": str(tmp_path / "differences.json")}
        new.execute("SET allow_system_table_mods = on; " + LABEL.format("public"), name)
        found = module.run("pg_verify", **proof)
        assert found["failed"] and "label" in str(found), found
        new.execute("SET allow_system_table_mods = on; UPDATE pg_seclabel SET label = 'secret'", name)
        assert module.run("pg_verify", **proof)["equal"]
    finally:
        new.execute("ALTER ROLE ALL RESET app.shared; REVOKE SET ON PARAMETER log_statement FROM PUBLIC")
        new.execute("DROP DATABASE labels")
