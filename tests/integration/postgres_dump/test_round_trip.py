# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup of an old server becomes databases and roles on a new one, and goes away again."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

from demo.postgres_server import bin_directory
from tests.support.postgres_modules import SOURCE


@pytest.fixture
def restored(backup, new, module, tools, tmp_path):
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    before = new.names()
    result = module.run("pg_restore_cluster", backup=backup["path"], **options)
    yield result, options
    module.run("pg_restore_cluster", state="absent", **options)
    assert new.names() == before


def test_a_backup_says_what_it_holds_and_only_its_owner_may_read_it(backup, odd):
    assert backup["changed"], backup
    assert backup["databases"] == sorted([odd, "shop"])
    manifest = json.loads((pathlib.Path(backup["path"]) / "manifest.json").read_text())
    assert manifest["digests"]["shop"]["app.customer"]["rows"] == 20000
    assert manifest["restorable_on"] == []
    moment = manifest["snapshot"]["shop"]
    assert moment["time"] <= manifest["created"] and re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", moment["lsn"])
    assert moment["id"] and re.fullmatch(r"\d+:\d+:[\d,]*", moment["transactions"])
    listed = {entry["path"] for entry in manifest["files"]}
    for path in pathlib.Path(backup["path"]).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        assert path.is_dir() or path.name == "manifest.json" or str(path.relative_to(backup["path"])) in listed


def test_everything_arrives(restored, new, odd, extension):
    result, _options = restored
    assert result.get("changed") is True, result
    assert result["databases"] == {"shop": "shop", odd: odd}
    assert new.execute("SELECT count(*), max(up) FROM app.customer", "shop") == [(20000, "CLIENT ⵣ 9999")]
    assert new.execute('SELECT count(*) FROM "t\'t"', odd) == [(2,)]
    assert new.execute("SELECT nextval('app.tickets')", "shop") == [(102,)]
    assert new.execute("SELECT count FROM app.total", "shop") == [(20000,)]
    assert new.execute("SELECT convert_from(lo_get(4711), 'UTF8')", "shop") == [("large object",)]
    assert new.execute("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'", "shop") == [(extension,)]
    statistics = "SELECT attname FROM pg_stats WHERE schemaname = 'app' AND tablename = 'customer' ORDER BY 1"
    assert new.execute(statistics, "shop") == [("id",), ("name",), ("up",)]  # nobody else gathers them here: autovacuum is off


def test_roles_and_the_frame_of_a_database_arrive(restored, new, old):
    result, _options = restored
    for sql in (
        "SELECT rolname, rolcanlogin, rolconnlimit, rolvaliduntil, rolpassword FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1 OFFSET 0",
        "SELECT pg_get_userbyid(datdba), datconnlimit, ARRAY(SELECT unnest(datacl)::text ORDER BY 1),"
        " shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'shop'",
        "SELECT ARRAY(SELECT unnest(datacl)::text ORDER BY 1), datconnlimit FROM pg_database WHERE datname LIKE 'o''dd%'",
        "SELECT d.datname, r.rolname, setconfig FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = setdatabase "
        "LEFT JOIN pg_roles r ON r.oid = setrole ORDER BY 1, 2",
        "SELECT roleid::regrole::text, member::regrole::text, admin_option"
        f"{', inherit_option, set_option' if SOURCE >= 16 else ''} FROM pg_auth_members WHERE member > 16383",
        "SELECT parname, ARRAY(SELECT unnest(paracl)::text ORDER BY 1) FROM pg_parameter_acl ORDER BY 1",
    ):
        one, other = ([row for row in site.execute(sql) if row[0] != "postgres"] for site in (old, new))
        assert one and one == other
    assert "postgres" in result["existing_roles"]
    new.server.connect("shop", "clerk", "canary-clerk").close()


LOST = {
    "DROP INDEX app.by_name": "index app.by_name is missing on the target",
    "SELECT setval('app.tickets', 1)": "sequence app.tickets differs in last_value",
    "DROP VIEW app.names": "view app.names is missing on the target",
    "ALTER TABLE app.customer ALTER name DROP NOT NULL": "column app.customer.name differs in not_null",
    "REVOKE SELECT ON app.customer FROM readers": "table app.customer differs in privileges",
}


def test_what_is_no_row_is_proved_by_the_backup_alone_and_what_is_lost_is_named(restored, backup, copy, new, module, tmp_path):
    """In check mode, in which a comparison is the same and writes no file."""
    proof = {"target": new.endpoint, "databases": ["all"], "scope": "catalog", "check": True,
             **{kind: str(tmp_path / kind) for kind in ("digest_file", "differences_file")}}
    proved = module.run("pg_verify", manifest=backup["path"], **proof)
    assert proved.get("equal"), proved
    assert proved["not_proved"] == ["rows of materialized view app.total in database shop: they are made again on the target"]
    for statement in LOST:
        new.execute(statement, "shop")
    named = module.run("pg_verify", manifest=backup["path"], **proof)
    assert named["failed"] and {f"database shop: {one}" for one in LOST.values()} <= set(named["differences"]), named
    assert not list(tmp_path.glob("*_file"))
    part, manifest = copy / "catalog.json", copy / "manifest.json"
    part.write_text(part.read_text().replace("by_name", "by_nome"))
    damaged = module.run("pg_verify", manifest=str(copy), **proof)
    assert damaged["failed"] and damaged["damaged"] == ["catalog.json"], damaged
    content = json.loads(manifest.read_text())
    content["files"] = [entry for entry in content["files"] if entry["path"] != "catalog.json"]
    manifest.write_text(json.dumps(content))
    new.execute("GRANT SELECT ON app.customer TO readers", "shop")
    older = module.run("pg_verify", manifest=str(copy), **proof)
    said = "definitions of objects in database shop: a backup holds no catalog to compare with"
    assert older.get("equal") and said in older["not_proved"], older


def test_a_setting_of_every_role_that_was_changed_since_survives_the_removal_of_the_rest(restored, backup, new, module):
    _result, options = restored
    setting = "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = 0"
    assert new.execute(setting) == [("app.shared=canary-shared",)]
    new.execute("ALTER ROLE ALL SET app.shared TO 'canary-later'")
    try:
        gone = module.run("pg_restore_cluster", state="absent", **options)
        assert gone["left"] == ["setting app.shared for every role: it was changed since the restore gave it, and stays"]
        assert new.execute(setting) == [("app.shared=canary-later",)] and "database shop" in gone["removed"]
    finally:
        new.execute("ALTER ROLE ALL RESET app.shared")


def test_a_second_run_changes_nothing_nor_does_a_removal_that_is_tried(restored, backup, new, module):
    _result, options = restored
    again = module.run("pg_restore_cluster", backup=backup["path"], **options)
    assert again["changed"] is False, again
    tried = module.run("pg_restore_cluster", check=True, state="absent", **options)
    assert tried["changed"] and "database shop\n" in tried["diff"]["before"] and tried["diff"]["after"] == "", tried
    assert "shop" in new.names()["databases"]


def test_a_restore_under_another_name_leaves_roles_and_others_alone(backup, new, module, tools, tmp_path):
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    before = new.names()
    if SOURCE > 15:  # whose own tools make the backup: no older ones are here
        refused = module.run("pg_restore_cluster", backup=backup["path"], **{**options, "bin_dir": str(bin_directory(16))})
        assert refused["failed"] and "the backup was made with tools of version 18: install the client tools" in refused["msg"]
    result = module.run("pg_restore_cluster", backup=backup["path"], databases=["shop"], rename={"shop": "drill"}, roles="skip", **options)
    try:
        assert result.get("databases") == {"shop": "drill"}, result
        assert new.names()["roles"] == before["roles"]
        assert new.execute("SELECT count(*) FROM app.customer", "drill") == [(20000,)]
    finally:
        gone = module.run("pg_restore_cluster", state="absent", **options)
    assert gone["removed"] == ["database drill"]
    assert module.run("pg_restore_cluster", state="absent", **options)["changed"] is False
    assert new.names() == before


def test_memory_for_indexes_commits_that_do_not_wait_and_all_the_time_it_takes_are_for_the_load_only(scratch, new, old, module, tools,
                                                                                                    tmp_path):
    """A stored generated column is made anew by the load, and so keeps the settings under which it ran; statistics call a function."""
    name = scratch("settled", "CREATE FUNCTION under() RETURNS text IMMUTABLE LANGUAGE sql RETURN"
                   " current_setting('maintenance_work_mem') || ' ' || current_setting('synchronous_commit')",
                   "CREATE TABLE load (n int, seen text GENERATED ALWAYS AS (under()) STORED)", "INSERT INTO load VALUES (1)",
                   "CREATE FUNCTION nap(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN 1; END $$",
                   "CREATE STATISTICS slow ON (nap(n)) FROM load")
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "backups"), bin_dir=tools)
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    new.execute("ALTER ROLE postgres SET statement_timeout TO '250ms'")
    try:
        restored = module.run("pg_restore_cluster", backup=dumped["path"], jobs=1, **options)
        assert restored.get("changed"), restored
        assert old.execute("SELECT seen FROM load", name) == [("64MB on",)]
        assert new.execute("SELECT seen, under() FROM load", name) == [("128MB off", "64MB on")]
        assert new.execute("SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = 'settled'") == []
    finally:
        new.execute("ALTER ROLE postgres RESET statement_timeout")
        module.run("pg_restore_cluster", state="absent", **options)


def test_tablespaces_take_the_place_of_others_and_what_has_no_counterpart_is_told(scratch, new, old, module, tools, tmp_path):
    name = scratch("placed", "SELECT 1")
    for server, names in ((old, ("fast", "slow", "gone")), (new, ("quick", "vast"))):
        for tablespace in names:
            (tmp_path / tablespace).mkdir(mode=0o777)
            (tmp_path / tablespace).chmod(0o777)
            server.execute(f"CREATE TABLESPACE {tablespace} LOCATION '{tmp_path / tablespace}'")
    for statement in ("CREATE TABLE t (n int PRIMARY KEY) TABLESPACE fast", "CREATE INDEX t_n ON t (n) TABLESPACE fast",
                      "CREATE TABLE astray (n int) TABLESPACE gone", "CREATE TABLE plain (n int)",
                      "CREATE MATERIALIZED VIEW seen TABLESPACE fast AS SELECT * FROM t",
                      "CREATE TABLE parted (n int) PARTITION BY LIST (n) TABLESPACE fast",
                      "CREATE TABLE part PARTITION OF parted DEFAULT", "INSERT INTO t SELECT generate_series(1, 100)"):
        old.execute(statement, name)
    old.execute(f"ALTER DATABASE {name} SET TABLESPACE slow")
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "backups"), bin_dir=tools)
    by_hand = (pathlib.Path(dumped["path"]) / "globals.sql").read_text()
    assert "\nCREATE TABLESPACE fast OWNER " in by_hand and "\nCREATE ROLE shop;" in by_hand and "PASSWORD 'SCRAM-SHA-256$" in by_hand
    places = {"fast": "quick", "slow": "vast"}
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    try:
        made = module.run("pg_restore_cluster", backup=dumped["path"], tablespaces=places, **options)
        assert f"tablespace gone of database {name}: what lay there lies in the default one" in made["left"], made
        found = new.execute("SELECT relname, spcname FROM pg_class c LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace"
                            " WHERE c.relnamespace = 'public'::regnamespace", name)
        assert dict(found) == {"t": "quick", "t_n": "quick", "t_pkey": None, "astray": "pg_default", "plain": None, "seen": "quick",
                               "parted": "quick", "part": "quick"}
        own = "SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = 'placed'"
        assert new.execute(own) == [("vast",)] and new.execute("SELECT count(*) FROM t", name) == [(100,)]
        compared = {"source": old.endpoint, "target": new.endpoint, "databases": [name], "bin_dir": tools}
        known = {"manifest": dumped["path"], "target": new.endpoint, "databases": [name], "tablespaces": places}
        assert "has no row digests" in module.run("pg_verify", **known)["msg"]
        proved = module.run("pg_verify", tablespaces=places, proved_backup=dumped["path"], **compared)
        assert proved.get("equal") is True, proved
        again = module.run("pg_verify", **known)
        assert again.get("equal") and again["digests"] == proved["digests"] and again["not_proved"] == proved["not_proved"], again
        proof = pathlib.Path(dumped["path"]) / "proof.json"
        assert proof.stat().st_mode & 0o777 == 0o600
        proof.write_text(json.dumps({**json.loads(proof.read_text()), "files": "of others"}))
        assert "is that of another backup" in module.run("pg_verify", **known)["msg"]
        elsewhere = module.run("pg_verify", **compared)
        assert elsewhere["failed"] and f"database {name}: table public.t differs in tablespace" in elsewhere["differences"], elsewhere
    finally:
        module.run("pg_restore_cluster", state="absent", **options)
        old.execute(f"ALTER DATABASE {name} SET TABLESPACE pg_default")
        for table in ("seen", "t", "astray", "parted"):
            old.execute(f"DROP {'MATERIALIZED VIEW' if table == 'seen' else 'TABLE'} {table}", name)
        for server, names in ((old, ("fast", "slow", "gone")), (new, ("quick", "vast"))):
            for tablespace in names:
                server.execute(f"DROP TABLESPACE {tablespace}")
