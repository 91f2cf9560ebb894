# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ordinary logins instead of superusers, and a source of Debian's version."""

from __future__ import annotations

import hashlib

import psycopg2
import pytest

from demo.postgres_server import HOST, PostgresServer, bin_directory
from tests.support.needs import require_postgres
from tests.support.postgres_modules import Site


@pytest.fixture
def ordinary(old, new, tmp_path):
    """Endpoints of logins without superuser rights: one that may read, one that may create."""
    old.execute("CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data")
    old.execute("GRANT CONNECT ON DATABASE shop TO reader")
    old.execute("CREATE DATABASE plain OWNER shop")
    old.execute("SET ROLE shop; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2)", "plain")
    new.execute("CREATE ROLE mover LOGIN PASSWORD 'mover' CREATEDB CREATEROLE")
    endpoints = []
    for site, name in ((old, "reader"), (new, "mover")):
        passfile = tmp_path / name
        passfile.touch(0o600)
        passfile.write_text(f"*:*:*:{name}:{name}\n")
        endpoints.append(dict(site.endpoint, user=name, passfile=str(passfile)))
    yield endpoints
    old.execute("DROP DATABASE plain")
    old.execute("REVOKE CONNECT ON DATABASE shop FROM reader")
    old.execute("DROP ROLE reader")
    new.execute("DROP ROLE mover")


def test_what_ordinary_logins_lack_is_found(ordinary, module, tools, extension):
    source, target = ordinary
    looked = module.run("pg_preflight", source=source, target=target, databases=["shop"], bin_dir=tools)
    assert [one["finding"].partition(": ")[2] or one["finding"] for one in looked["findings"] if one["blocking"]] == [
        "large object 4711",
        f"only a superuser can create extension {extension} on the target",
        "user mover cannot make objects of database shop belong to postgres",
    ]


def test_ordinary_logins_can_move_a_database(ordinary, module, tools, new, tmp_path):
    source, target = ordinary
    before = new.names()
    looked = module.run("pg_preflight", source=source, target=target, databases=["plain"], bin_dir=tools)
    assert [one["finding"] for one in looked["findings"] if one["blocking"]] == []
    dumped = module.run("pg_dumpall", source=source, databases=["plain"], dest=str(tmp_path / "b"), bin_dir=tools)
    assert dumped.get("changed"), dumped
    options = {"target": target, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    restored = module.run("pg_restore_cluster", backup=dumped["path"], **options)
    try:
        assert restored.get("changed"), restored
        assert new.execute("SELECT count(*), min(tableowner) FROM t, pg_tables WHERE tablename = 't'", "plain") == [(2, "shop")]
    finally:
        gone = module.run("pg_restore_cluster", state="absent", **options)
    assert gone.get("changed") and new.names() == before


def test_privileges_on_what_the_system_or_an_extension_brings_are_equal_whoever_owns_it(module, new, tools, tmp_path):
    server = PostgresServer(16, tmp_path / "data", superuser="admin").create().start()
    try:
        source = Site(server, tmp_path / "pass")
        before = new.names()
        source.execute("CREATE ROLE readers; CREATE ROLE other SUPERUSER; CREATE ROLE crm; GRANT readers TO crm WITH ADMIN OPTION")
        source.execute("CREATE DATABASE crm OWNER crm")
        source.execute("REVOKE EXECUTE ON FUNCTION pg_sleep(float8) FROM PUBLIC; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO readers;"
                       "SET ROLE other; CREATE EXTENSION vector; GRANT EXECUTE ON FUNCTION l2_distance(vector, vector) TO readers", "crm")
        dumped = module.run("pg_dumpall", source=source.endpoint, databases=["crm"], dest=str(tmp_path / "b"), bin_dir=tools)
        options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
        try:
            module.run("pg_restore_cluster", backup=dumped["path"], **options)
            proof = {"source": source.endpoint, "target": new.endpoint, "databases": ["crm"], "bin_dir": tools}
            proved = module.run("pg_verify", **proof)
            assert proved.get("equal"), proved
            # Granted there by a superuser whom this server has not.
            assert new.execute("SELECT grantor::regrole::text, admin_option FROM pg_auth_members WHERE member = 'crm'::regrole") == [
                ("postgres", True)]
            new.execute("REVOKE EXECUTE ON FUNCTION l2_distance(vector, vector) FROM readers", "crm")
            assert module.run("pg_verify", **proof)["differences"] == [
                "database crm: routine public.l2_distance(public.vector, public.vector) differs in privileges changed from the initial "
                "ones"]
        finally:
            module.run("pg_restore_cluster", state="absent", **options)
        assert new.names() == before
    finally:
        server.remove()


def test_a_database_moves_from_version_15(module, new, tools, tmp_path):
    require_postgres(15)
    server = PostgresServer(15, tmp_path / "data").create()
    rules = server.directory / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("scram-sha-256", "md5"))
    server.start()
    try:
        server.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
        hashed = hashlib.md5(b"secretlegacy").hexdigest()  # as servers before 14 keep passwords
        server.execute(f"CREATE ROLE legacy LOGIN PASSWORD 'md5{hashed}'")
        server.execute("CREATE DATABASE crm OWNER app")
        server.execute("CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 1000) n", "crm")
        server.execute('CREATE TABLE sorted (a text COLLATE "fr-x-icu")', "crm")
        source = {"host": HOST, "port": server.port, "user": "postgres", "passfile": str(tmp_path / "pass"), "sslmode": "disable"}
        (tmp_path / "pass").touch(0o600)
        (tmp_path / "pass").write_text(f"*:*:*:postgres:{server.password}\n")
        look = {
            "source": dict(source, passfile=None, password=server.password),
            "target": new.endpoint,
            "databases": ["crm"],
            "bin_dir": tools,
        }
        looked = module.run("pg_preflight", dump_bin_dir=str(bin_directory(15)), **look)
        assert ["ICU" in one["finding"] for one in looked["findings"] if one["blocking"]] == [True], looked["findings"]
        weak = "the passwords of legacy are md5 hashes: where the target asks for SCRAM they cannot log in"
        assert weak in [one["finding"] for one in looked["findings"]]
        server.execute("DROP TABLE sorted", "crm")
        # Security releases store an option with every column that tools from before write into their dumps.
        optioned = server.execute("SELECT 1 FROM pg_attribute WHERE attrelid = 't'::regclass AND attoptions IS NOT NULL", "crm")
        looked = module.run("pg_preflight", pin_settings=["timezone", "max_connections", "time_zone"], **look)
        pins = [one["finding"] for one in looked["findings"] if one["subject"] == "postgresql_pin_settings"]
        assert pins == ["time_zone is no setting that can be pinned",
                        "user postgres cannot pin max_connections on the target: SQLSTATE 55P02"], looked["findings"]
        assert ["column option" in one["finding"] for one in looked["findings"]
                if one["blocking"] and one["finding"] not in pins] == [True][: len(optioned)]
        server.execute("ALTER SYSTEM SET datestyle TO 'ISO, DMY'")
        server.execute("SELECT pg_reload_conf()")
        dumped = module.run("pg_dumpall", source=source, databases=["crm"], dest=str(tmp_path / "b"), bin_dir=str(bin_directory(15)))
        options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
        refused = module.run("pg_restore_cluster", backup=dumped["path"], pin_settings=["time_zone", "max_connections"], **options)
        assert len(refused["findings"]) == 2 and not (tmp_path / "created.json").exists(), refused
        restored = module.run("pg_restore_cluster", backup=dumped["path"], pin_settings=["timezone", "DateStyle"], **options)
        assert restored["not_proved"] == [weak], restored
        server.connect("crm", "legacy", "secret").close()
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            new.server.connect("crm", "legacy", "secret")
        assert new.execute("SELECT count(*) FROM t", "crm") == [(1000,)]
        assert new.execute("SHOW timezone", "crm") == server.execute("SHOW timezone")
        assert (new.execute("SHOW datestyle", "crm"), new.execute("SHOW datestyle")) == ([("ISO, DMY",)], [("ISO, MDY",)])
        assert module.run("pg_restore_cluster", state="absent", **options)["removed"] == ["database crm", "role app", "role legacy"]
    finally:
        server.remove()
