# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes wrong is told before or undone after: no partial backup, no partial database, no word of a row."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pathlib
import shutil
import signal
import time

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._postgres import meters
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import DumpRequest, exported_snapshot
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._processes import read_stat
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

from demo.postgres_server import HOST, PostgresServer


@pytest.fixture
def options(new, tools, tmp_path):
    return {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}


@pytest.fixture
def slow(old):
    """A database whose dump, not what is read before it, waits for ``holder`` to let go of the large objects."""
    old.execute("CREATE DATABASE slow")
    old.execute("SELECT lo_from_bytea(0, 'x')", "slow")
    holder = old.server.connect("slow")
    holder.autocommit = False
    yield holder
    holder.close()
    old.execute("DROP DATABASE slow WITH (FORCE)")


def reseal(backup: pathlib.Path) -> None:
    """Make the manifest agree with files that a test changed: only pg_restore itself can still object."""
    manifest = json.loads((backup / "manifest.json").read_text())
    for entry in manifest["files"]:
        path = backup / entry["path"]
        entry.update(size=path.stat().st_size, sha256=sha256_file(str(path)))
    (backup / "manifest.json").write_text(json.dumps(manifest))


def test_a_wrong_password_is_refused_and_never_shown(module, old, tools, tmp_path):
    source = dict(old.endpoint, passfile=None, password="canary-wrong")
    result = module.run("pg_dumpall", source=source, databases=["shop"], dest=str(tmp_path / "b"), bin_dir=tools)
    assert result["failed"] and "password of user postgres was refused" in result["msg"]
    assert "canary-wrong" not in str(result)
    assert not (tmp_path / "b").exists()


def test_a_password_without_a_passfile_does_not_reach_the_tools(module, old, tools, tmp_path):
    source = dict(old.endpoint, passfile=None, password=old.server.password)
    result = module.run("pg_dumpall", source=source, databases=["shop"], dest=str(tmp_path / "b"), bin_dir=tools)
    assert result["failed"] and "passfile" in result["msg"]
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "removed", "swapped"])
def test_a_damaged_backup_is_refused_by_the_name_of_the_file(module, options, copy, new, damage):
    *_others, other, victim = sorted((copy / "databases").rglob("*.dat*"), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    damaged = [victim, other] if damage == "swapped" else [victim]
    if damage == "removed":
        victim.unlink()
    elif damage == "swapped":
        victim.write_bytes(other.read_bytes())
        other.write_bytes(data)
    elif damage == "truncated":
        victim.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    before = new.names()
    result = module.run("pg_restore_cluster", backup=str(copy), **options)
    assert result["failed"] and sorted(result["damaged"]) == sorted(str(path.relative_to(copy)) for path in damaged)
    assert new.names() == before and not os.path.exists(options["created_file"])


def test_a_target_database_with_something_in_it_is_not_touched(module, options, backup, new):
    new.execute("CREATE DATABASE shop")
    new.execute("CREATE TABLE precious (a int)", "shop")
    try:
        before = new.names()
        result = module.run("pg_restore_cluster", backup=backup["path"], **options)
        assert result["failed"] and "database shop exists on the target and holds" in result["msg"]
        assert new.names() == before and new.execute("SELECT count(*) FROM precious", "shop") == [(0,)]
    finally:
        new.execute("DROP DATABASE shop")


def test_an_empty_database_steps_aside_is_named_and_comes_back(module, options, backup, new, extension, tmp_path):
    new.execute("CREATE DATABASE shop")
    options = {**options, "leave_out": [f"extension {extension}"]}
    try:
        before = new.execute("SELECT oid, datname FROM pg_database ORDER BY 1")
        restored = module.run("pg_restore_cluster", backup=backup["path"], **options)
        ((aside,),) = new.execute("SELECT datname FROM pg_database WHERE datname LIKE 'shop.empty-%'")
        told = f"the empty database shop of before, which is called {aside} now"
        assert told in restored["left"] and told in restored["journal"]["skipped"], restored
        assert module.run("pg_restore_cluster", backup=backup["path"], **options)["left"] == [told]
        assert list(tmp_path.rglob("*entries*")) == []  # what told pg_restore which objects to leave out
        assert new.execute("SELECT count(*) FROM app.customer", "shop") == [(20000,)]
        assert module.run("pg_restore_cluster", state="absent", **options)["changed"]
        assert new.execute("SELECT oid, datname FROM pg_database ORDER BY 1") == before
    finally:
        new.execute("DROP DATABASE shop")


@pytest.mark.parametrize("damage", ["truncated", "bad row"])
def test_a_restore_that_fails_midway_leaves_the_target_as_it_was(module, options, copy, new, damage):
    victim = max((copy / "databases").rglob("*.dat.gz"), key=lambda path: path.stat().st_size)
    data = victim.read_bytes()
    victim.write_bytes(data[:2000] if damage == "truncated" else gzip.compress(b"canary-row\tcanary\n" + gzip.decompress(data)))
    reseal(copy)
    before = new.names()
    result = module.run("pg_restore_cluster", backup=str(copy), **options)
    assert result["failed"] and "database shop failed" in result["msg"]
    assert "TABLE DATA customer" in result["msg"] or damage == "truncated"
    assert "canary-row" not in str(result)
    assert "canary-row" in pathlib.Path(result["log"]).read_text() or damage == "truncated"
    assert os.stat(result["log"]).st_mode & 0o077 == 0
    assert "canary-row" not in new.server.log.read_text()
    assert new.names() == before and not os.path.exists(options["created_file"])


def test_check_mode_changes_nothing_and_shows_the_plan(module, options, backup, new, old, tools, tmp_path):
    before = new.names()
    result = module.run("pg_restore_cluster", check=True, backup=backup["path"], **options)
    assert result["changed"] and "create role shop" in result["diff"]["after"] and "restore database shop" in result["diff"]["after"]
    dumped = module.run("pg_dumpall", check=True, source=old.endpoint, databases=["shop"], dest=str(tmp_path / "b"), bin_dir=tools)
    assert dumped["changed"] and "dump shop" in dumped["diff"]["after"]
    assert new.names() == before and not (tmp_path / "b").exists() and not os.path.exists(options["created_file"])


def test_a_dump_killed_at_work_leaves_no_program_and_the_next_run_no_trace(module, slow, old, tools, tmp_path, eventually):
    slow.cursor().execute("LOCK TABLE pg_largeobject")
    given = {
        "source": old.endpoint,
        "databases": ["slow"],
        "dest": str(tmp_path / "b"),
        "bin_dir": tools,
        "run_id": "r1",
        "lease_file": str(tmp_path / "lease"),
        "application_name": "dihya/kill/backup",
    }
    process = module.start("pg_dumpall", **given)
    at_work = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dihya/kill/backup' AND wait_event_type = 'Lock'"
    assert eventually(lambda: old.execute(at_work) != [(0,)], 15)
    second = module.run("pg_dumpall", **given)
    assert second["failed"] and "still works" in second["msg"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = [path.name for path in (tmp_path / "b").iterdir()]
    assert any(name.startswith(".partial-") for name in left)
    assert eventually(lambda: old.execute(at_work.split(" AND wait")[0]) == [(0,)], 15)
    slow.rollback()
    again = module.run("pg_dumpall", **given)
    assert again["changed"] and len(again["stale_removed"]) == 1
    assert [name for name in os.listdir(tmp_path / "b") if name.startswith(".partial")] == []


def test_a_restore_killed_at_work_is_cleared_away_by_the_next_run(module, options, backup, new, tools, tmp_path, eventually):
    before, began, slow = new.names(), tmp_path / "began", tmp_path / "bin"
    slow.mkdir()
    for tool in pathlib.Path(tools).iterdir():
        if tool.name != "pg_restore":
            (slow / tool.name).symlink_to(tool)
    (slow / "pg_restore").write_text(
        f'#!/bin/sh\ncase "$*" in *--dbname=*) echo $$ >{began}; exec sleep 600; esac\nexec {tools}/pg_restore "$@"\n')
    (slow / "pg_restore").chmod(0o755)
    process = module.start("pg_restore_cluster", backup=backup["path"], jobs=1, **{**options, "bin_dir": str(slow)})
    assert eventually(lambda: began.exists() and began.read_text(), 30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert eventually(lambda: read_stat(int(began.read_text())) is None), "the tool outlived its worker"
    assert os.path.exists(options["created_file"]) and any(name.startswith("dihya-") for name in new.names()["databases"])
    again = module.run("pg_restore_cluster", backup=backup["path"], **options)
    assert again["changed"] and again["leftovers_removed"], again
    module.run("pg_restore_cluster", state="absent", **options)
    assert new.names() == before


def test_a_statement_that_outlives_its_killed_worker_leaves_no_database(module, options, backup, new, eventually):
    before = new.names()
    with contextlib.closing(new.server.connect("postgres")) as holder:
        holder.autocommit = False
        holder.cursor().execute("LOCK TABLE pg_database IN SHARE MODE")  # the statement waits for it, as it would for a slow disk
        process = module.start("pg_restore_cluster", backup=backup["path"], jobs=1, **options)
        creating = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE DATABASE%'"
        assert eventually(lambda: new.execute(creating), 30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert new.execute(creating), "the statement ended with its worker: nothing is shown"
        assert module.run("pg_restore_cluster", state="absent", **options)["changed"]
        assert new.execute(creating) == []
    assert new.names() == before


@pytest.fixture(name="twins")
def fixture_twins(tmp_path):
    """Two servers as rented ones that were set up alike, with the same OIDs: a plain login, which may not read which server it is on."""
    server = PostgresServer(18, tmp_path / "one" / "data", settings={"autovacuum": "off"}).create().start()
    twin = PostgresServer(18, tmp_path / "other" / "data", password=server.password, settings=server.settings)
    (tmp_path / "plain").touch(0o600)
    (tmp_path / "plain").write_text("*:*:*:migrator:canary-migrator\n")

    def part() -> None:
        server.stop()
        twin.directory.parent.mkdir(exist_ok=True)
        shutil.copytree(server.directory, twin.directory, symlinks=True)
        if twin.sheltered:
            for path in (twin.directory, *twin.directory.rglob("*")):
                os.chown(path, server.directory.stat().st_uid, server.directory.stat().st_gid)
        server.start()
        twin.configure().start()

    server.execute("CREATE ROLE migrator LOGIN CREATEROLE CREATEDB PASSWORD 'canary-migrator'")
    server.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    yield part, *({"target": {"host": HOST, "port": one.port, "user": "migrator", "passfile": str(tmp_path / "plain"),
                              "sslmode": "disable"}} for one in (server, twin)), server, twin
    server.remove()
    twin.remove()


def test_nothing_is_removed_from_a_server_of_which_nobody_knows_that_it_is_the_one(module, scratch, twins, old, tools, tmp_path):
    part, here, there, server, twin = twins
    name, record = scratch("alike", "CREATE TABLE precious (a int)"), tmp_path / "created.json"
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools)
    options = {"created_file": str(record), "bin_dir": tools}
    again = {"backup": dumped["path"], "roles": "skip", **options}
    assert module.run("pg_restore_cluster", **again, **here)["changed"]
    part()
    removal, written = {"state": "absent", **options}, record.read_text()
    assert f"named for the restore ({HOST}:{server.port})" in module.run("pg_restore_cluster", **removal, **there)["msg"]
    assert "another server" in module.run("pg_restore_cluster", check=True, **removal, **there)["msg"]
    assert "records another restore" in module.run("pg_restore_cluster", **again, **there)["msg"]
    looked = {"created_file": str(record), "databases": [name]}
    assert "is not the server that was restored on" in module.run("pg_verify", **looked, **there)["msg"]
    assert module.run("pg_verify", **looked, **here)["equal"] and module.run("pg_restore_cluster", **again, **here)["changed"] is False
    record.write_text(json.dumps({key: value for key, value in json.loads(written).items() if key != "address"}))  # of an older release
    assert "which is not on record" in module.run("pg_restore_cluster", **removal, **here)["msg"]
    record.write_text(written)
    server.execute(f"ALTER DATABASE {name} RENAME TO theirs")
    assert "database theirs may be what the record calls alike" in module.run("pg_restore_cluster", **removal, **here)["msg"]
    server.execute(f"ALTER DATABASE theirs RENAME TO {name}")
    assert module.run("pg_restore_cluster", **removal, **here)["removed"] == [f"database {name}"]
    assert twin.execute("SELECT count(*) FROM precious", name) == [(0,)]


def test_a_database_that_was_renamed_since_is_removed_where_the_server_is_known(module, options, backup, new):
    before = new.names()
    assert module.run("pg_restore_cluster", backup=backup["path"], databases=["shop"], **options)["changed"]
    new.execute("ALTER DATABASE shop RENAME TO since")
    assert "database shop" in module.run("pg_restore_cluster", state="absent", **options)["removed"]
    assert new.names() == before


def test_an_intact_backup_is_used_again_and_a_damaged_one_is_not(module, copy, old, tools, tmp_path):
    given = {"source": old.endpoint, "databases": ["all"], "dest": str(tmp_path / "b"), "bin_dir": tools, "reuse": str(copy)}
    for reuse in (str(copy), str(copy.parent / "co*")):
        reused = module.run("pg_dumpall", **{**given, "reuse": reuse})
        assert reused["changed"] is False and reused["path"] == str(copy)
    nothing = module.run("pg_dumpall", check=True, **{**given, "reuse": str(copy.parent / "other_*")})
    assert nothing["changed"] is True, nothing
    (copy / "globals.sql").write_text("changed")
    assert module.run("pg_dumpall", **given)["changed"] is True


def test_a_backup_is_used_again_only_with_the_digests_and_the_capture_that_are_asked_for(module, old, tools, tmp_path):
    captures = [capture(Endpoint.from_options(old.endpoint), ["shop"]) for _time in range(2)]
    captures[1]["roles"]["shop"]["login"] = False
    for number, content in enumerate(captures):
        (tmp_path / f"{number}.json").write_text(json.dumps(content))
    given = {"source": old.endpoint, "databases": ["shop"], "dest": str(tmp_path / "b"), "bin_dir": tools, "reuse": f"{tmp_path}/b/*"}
    asked = [{}, {"digests": True}, {"digests": True}, {}, {"capture_file": f"{tmp_path}/0.json"}, {"capture_file": f"{tmp_path}/0.json"},
             {"capture_file": f"{tmp_path}/1.json"}]
    done = [module.run("pg_dumpall", **given, **more)["changed"] for more in asked]
    assert done == [True, True, False, False, True, False, True]


def test_a_plain_dump_holds_the_chosen_databases_only(module, old, tools, tmp_path):
    result = module.run("pg_dumpall", source=old.endpoint, databases=["shop"], dest=str(tmp_path / "b"), bin_dir=tools, format="plain")
    assert result.get("changed"), result
    text = (pathlib.Path(result["path"]) / "backup.sql").read_text()
    assert 'CREATE DATABASE "shop"' in text and "o'dd" not in text


def test_a_freeze_of_the_source_does_not_travel(module, options, old, new, tools, tmp_path):
    endpoint = Endpoint.from_options(old.endpoint)
    (tmp_path / "capture.json").write_text(json.dumps(capture(endpoint, ["shop"])))
    freeze = (
        "REVOKE CONNECT ON DATABASE shop FROM readers CASCADE",
        "ALTER DATABASE shop SET default_transaction_read_only TO on",
        "ALTER ROLE clerk NOLOGIN",
        "ALTER DATABASE shop CONNECTION LIMIT 0",
        "ALTER ROLE shop SET default_transaction_read_only TO on",
    )
    undo = (
        "GRANT CONNECT ON DATABASE shop TO readers WITH GRANT OPTION",
        "SET ROLE readers; GRANT CONNECT ON DATABASE shop TO clerk",
        "ALTER DATABASE shop RESET default_transaction_read_only",
        "ALTER ROLE clerk LOGIN",
        "ALTER DATABASE shop CONNECTION LIMIT -1",
        "ALTER ROLE shop RESET default_transaction_read_only",
    )
    try:
        for statement in freeze:
            old.execute(statement)
        dumped = module.run(
            "pg_dumpall",
            source=old.endpoint,
            databases=["shop"],
            dest=str(tmp_path / "b"),
            bin_dir=tools,
            capture_file=str(tmp_path / "capture.json"),
        )
        restored = module.run("pg_restore_cluster", backup=dumped["path"], **options)
        assert restored.get("changed"), restored
        assert (
            capture(Endpoint.from_options(new.endpoint), ["shop"])["databases"]["shop"]["acl"]
            == json.loads((tmp_path / "capture.json").read_text())["databases"]["shop"]["acl"]
        )
        clerk = new.server.connect("shop", "clerk", "canary-clerk")
        shop = new.server.connect("shop", "shop", "canary-shop")
        shop.cursor().execute("INSERT INTO app.customer (name) VALUES ('after')")
        clerk.close()
        shop.close()
    finally:
        for statement in undo:
            old.execute(statement)
        module.run("pg_restore_cluster", state="absent", **options)


@pytest.mark.parametrize("content", ["shop alone", "a list"])
def test_a_capture_that_lacks_a_database_is_refused_before_anything_is_dumped(module, old, odd, tools, tmp_path, content):
    taken = capture(Endpoint.from_options(old.endpoint), ["shop"]) if content == "shop alone" else []
    (tmp_path / "capture.json").write_text(json.dumps(taken))
    given = {"source": old.endpoint, "databases": ["shop", odd], "dest": str(tmp_path / "b"), "bin_dir": tools,
             "capture_file": str(tmp_path / "capture.json")}
    for check in (True, False):
        refused = module.run("pg_dumpall", check=check, **given)
        assert refused["failed"] and "capture.json " in refused["msg"] and not (tmp_path / "b").exists(), refused
        assert f"was made without database {odd}: " in refused["msg"] or content == "a list"


def test_progress_that_a_server_refuses_neither_fails_a_dump_nor_ends_its_snapshot(old, tmp_path, monkeypatch):
    monkeypatch.setattr(Progress, "INTERVAL", 0.01)
    monkeypatch.setattr(meters, "UNDER_WAY", "SELECT nobody()")
    source, log = Endpoint.from_options(old.endpoint), tmp_path / "log"
    with exported_snapshot(DumpRequest(source, ["shop"], str(tmp_path)), "shop") as (moment, session):
        dump = meters.Dumped(meters.Log(str(log)), [{"schema": "app", "name": "customer", "bytes": 9, "kind": "r"}], 1, session)
        with meters.DumpMeter([dump], Progress(None, "dump", 9)):
            log.write_text('pg_dump: dumping contents of table "app.customer"\n')
            time.sleep(0.2)
        assert dump.connection is None
        with transaction(source, "shop", moment["id"], "dihya"):
            pass
