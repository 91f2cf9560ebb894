# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The preflight names everything that stands in the way, together, and changes nothing."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest
from psycopg2.extras import PhysicalReplicationConnection

from demo.postgres_server import HOST


@pytest.fixture
def look(module, old, new, tools, tmp_path):
    def run(**options):
        given = dict(
            {
                "source": old.endpoint,
                "target": new.endpoint,
                "databases": ["shop"],
                "bin_dir": tools,
                "backup_dir": str(tmp_path / "not" / "yet"),
            },
            **options,
        )
        before = (new.names(), old.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())"))
        result = module.run("pg_preflight", **given)
        assert (new.names(), old.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())")) == before
        assert not (tmp_path / "not").exists()
        assert "findings" in result, result
        return result

    return run


def blocking(result):
    return [one["finding"] for one in result["findings"] if one["blocking"]]


def test_nothing_blocks_a_sound_move_and_access_is_proved(look):
    result = look()
    assert blocking(result) == []
    assert result["databases"] == ["shop"] and result["seconds"] > 0
    assert [one["verdict"] for one in result["journal"]["evidence"]] == ["proved"]
    assert result["identity"]["source"]["system_identifier"] != result["identity"]["target"]["system_identifier"]


def test_all_findings_come_together(look, old, new):
    with_wrong_password = dict(old.endpoint, passfile=None, password="canary-wrong")
    result = look(source=with_wrong_password, target=dict(new.endpoint, port=1), bin_dir="/nonexistent", backup_dir="/proc/backups")
    text = "\n".join(blocking(result))
    for part in ("password of user postgres was refused", "nothing answers there", "pg_dump", "pg_restore", "psql", "/proc/backups"):
        assert part in text
    assert "canary-wrong" not in str(result)


def test_a_server_without_tls_is_found_when_tls_is_asked_for(look, old):
    assert "TLS" in blocking(look(source=dict(old.endpoint, sslmode="verify-full")))[0]


def test_one_server_under_two_names_is_found(look, old):
    result = look(target=dict(old.endpoint, host="localhost"))
    assert any("are the same server" in text for text in blocking(result))


def test_a_target_database_with_something_in_it_is_found(look, new):
    new.execute("CREATE DATABASE shop")
    try:
        assert blocking(look()) == []  # an empty one will do
        new.execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "shop")
        assert any("database shop of postgres exists on the target and is not empty" in text for text in blocking(look()))
    finally:
        new.execute("DROP DATABASE shop")


def test_a_role_that_a_proof_would_refuse_is_found_and_its_password_is_proved_by_a_login(look, new):
    new.execute("CREATE ROLE clerk LOGIN PASSWORD 'canary-clerk'")  # the same password, with another salt
    new.execute("CREATE ROLE shop LOGIN PASSWORD 'canary-shop' CONNECTION LIMIT 7 VALID UNTIL '2030-01-01'")
    refused = "role {} exists on the target, where the proof would refuse it: "
    try:
        assert blocking(look()) == [
            refused.format("clerk") + "role clerk differs in password; membership of clerk in readers is missing on the target; "
            "parameter app.mode differs in privileges of role clerk",
            refused.format("shop") + "role shop differs in comment; role shop differs in password; settings of role shop differs in "
            "search_path"]
        for statement in ("CREATE ROLE readers", "GRANT readers TO clerk", 'GRANT SET ON PARAMETER "app.Mode" TO clerk',
                          "GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO readers WITH GRANT OPTION",
                          "ALTER ROLE shop SET search_path TO app, public", "COMMENT ON ROLE shop IS 'the shop''s role'"):
            new.execute(statement)
        assert blocking(look(logins={"shop": "canary-shop"})) == [refused.format("clerk") + "role clerk differs in password"]
        assert blocking(look(logins={"shop": "canary-shop", "clerk": "canary-clerk"})) == []
        wrong = look(logins={"shop": "canary-shop", "clerk": "canary-wrong"})
        assert [one["remedy"] for one in wrong["findings"] if one["blocking"]] == [
            "correct its password in postgresql_roles, or set it on the target: ALTER ROLE clerk PASSWORD"]
        assert "canary" not in str(wrong)
    finally:
        for role in ("clerk", "readers", "shop"):
            new.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_missing_database_and_old_tools_are_found(look):
    assert "the source has no database nothere" in blocking(look(databases=["shop", "nothere"]))
    old_tools = look(bin_dir=str(__import__("demo.postgres_server", fromlist=["x"]).bin_directory(16)))
    assert any("older than the target's 18" in text for text in blocking(old_tools))


def test_types_are_found_however_deep_and_so_is_what_a_restore_computes_by_functions(look, scratch, new):
    scratch(
        "deep",
        "CREATE DOMAIN doc AS xml",
        "CREATE TYPE price AS (label text, cost money)",
        "CREATE TYPE span AS RANGE (subtype = pg_lsn)",
        "CREATE TABLE held (x doc[], p price[], s span)",
        "CREATE FUNCTION ok(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0'",
        "CREATE DOMAIN positive AS int CONSTRAINT above CHECK (ok(VALUE))",
        "CREATE TABLE asked (a int CONSTRAINT good CHECK (ok(a)), b boolean GENERATED ALWAYS AS (ok(a)) STORED, c int CHECK (abs(c) > 0))",
        "ALTER TABLE asked ADD CONSTRAINT later CHECK (ok(c)) NOT VALID",
        "CREATE INDEX few ON asked (a) WHERE ok(a)",
        "CREATE MATERIALIZED VIEW seen AS SELECT ok(a) FROM asked",
        "CREATE TEXT SEARCH DICTIONARY ours (TEMPLATE = simple, stopwords = english)",
    )
    new.execute("ALTER SYSTEM SET lc_monetary TO 'POSIX'")
    new.execute("SELECT pg_reload_conf()")
    try:
        found = look(databases=["deep"])
    finally:
        new.execute("ALTER SYSTEM RESET lc_monetary")
        new.execute("SELECT pg_reload_conf()")
    assert "database deep has money columns and lc_monetary differs: amounts would change" in blocking(found)
    # The second fails by itself where this server was built without XML.
    assert any("xml columns" in text for text in blocking(found)) or new.execute("SELECT '<a/>'::xml")
    told = [one["finding"] for one in found["findings"]]
    assert "that the target has the files of text search dictionary public.ours of database deep" in found["journal"]["not_proved"]
    assert "database deep has columns of type pg_lsn, which point into the old server" in told
    assert ("the restore of database deep calls functions of its own for domain public.positive (check above), index public.few, "
            "materialized view public.seen, table public.asked (check good), table public.asked (generated column b)") in told


def test_a_collation_that_the_target_cannot_give_is_found_whatever_uses_it(look, scratch, old):
    catalogs = "SET allow_system_table_mods = on; UPDATE pg_collation SET "  # no other locale is on every machine
    scratch(
        "sorted",
        "CREATE COLLATION own (provider = libc, locale = 'C.UTF-8')",
        'CREATE DOMAIN word AS text COLLATE "C.utf8"',
        'CREATE TABLE plain_ones (a text COLLATE "C", b text COLLATE "POSIX", c text COLLATE ucs_basic, d text COLLATE own)',
    )
    assert blocking(look(databases=["sorted"])) == []
    system = "a new database of the target lacks collations that database sorted uses: "
    old.execute(f"{catalogs} collname = 'xx_XX' WHERE collname = 'C.utf8'", "sorted")
    assert blocking(look(databases=["sorted"])) == [f'{system}"xx_XX"']
    for statement in ("DROP DOMAIN word", "CREATE TABLE t (a text)", 'CREATE INDEX ON t (a COLLATE "xx_XX")',
                      f"{catalogs} collcollate = 'yy_YY', collctype = 'yy_YY' WHERE collname = 'own'"):
        old.execute(statement, "sorted")
    assert blocking(look(databases=["sorted"])) == [
        "locale yy_YY of collations in database sorted is not known on the target", f'{system}"xx_XX"']


def test_what_a_dump_leaves_out_or_brings_in_name_only_is_told(look, scratch, old):
    scratch("loose", "CREATE UNLOGGED TABLE quick (a int)", "CREATE FOREIGN DATA WRAPPER other",
            "CREATE SERVER there FOREIGN DATA WRAPPER other", "CREATE FOREIGN TABLE far (a int) SERVER there")
    old.execute("SELECT pg_create_physical_replication_slot('waits', true)")
    login = {"host": HOST, "port": old.server.port, "user": "postgres", "password": old.server.password, "application_name": "second"}
    try:
        with contextlib.closing(psycopg2.connect(connection_factory=PhysicalReplicationConnection, **login)) as standby:
            standby.cursor().start_replication(slot_name="waits")
            told = {one["finding"] for one in look(databases=["loose"])["findings"] if not one["blocking"]}
    finally:
        assert old.execute("SELECT pg_drop_replication_slot('waits')")
    assert told >= {"replication slot: waits", "standby: second", "unlogged table: loose: public.quick", "foreign table: loose: public.far"}


def test_an_unknown_client_and_settings_that_change_meaning_are_told(look, old, new):
    client = old.server.connect("shop", "shop", "canary-shop")
    new.execute("ALTER SYSTEM SET datestyle TO 'ISO, DMY'")
    new.execute("ALTER SYSTEM SET work_mem TO '1MB'")
    rules = old.server.directory / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(before + "\nhost all all 203.0.113.0/24 ident map=staff\n")
    new.execute("SELECT pg_reload_conf()")
    new.execute("ALTER ROLE ALL SET app.shared TO 'canary-theirs'")
    try:
        told = "\n".join(one["finding"] for one in look()["findings"])
        assert "user shop is connected to the source" in told
        assert blocking(look()) == ["DateStyle is ISO, MDY on the source and ISO, DMY on the target"]
        accepted = look(accept_settings=["datestyle"])
        assert blocking(accepted) == [] and "DateStyle is ISO, MDY" in str(accepted["journal"]["not_proved"])
        for own in ("ISO, MDY", "SQL, MDY"):  # with the first what others get would look equal; psycopg2 changes the second
            new.execute(f"ALTER ROLE postgres SET datestyle TO '{own}'")
            assert ["of its own on the target" in one for one in blocking(look())] == [True]
        assert "not carried: setting app.shared for every role: the target has its own" in told and "canary" not in told
        assert "work_mem is lower on the target (1.0 MB) than on the source (4.2 MB)" in told
        assert "clients log in to the source by ident, and no rule" in told and "the user name maps staff" in told
        assert "user shop is connected" not in str(look(known_clients=["shop"])["findings"])
    finally:
        client.close()
        new.execute("ALTER ROLE postgres RESET datestyle")
        new.execute("ALTER ROLE ALL RESET app.shared")
        rules.write_text(before)
        new.execute("ALTER SYSTEM RESET ALL")
        new.execute("SELECT pg_reload_conf()")
