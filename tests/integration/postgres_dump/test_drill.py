# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup is proved by restoring it, on a server that nobody can reach and of which nothing stays, however the drill ends."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import pwd
import shutil
import signal
import tempfile
import time
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive
from ansible_collections.dihya.migration.plugins.module_utils._manifest import file_entry, sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._postgres import throwaway
from ansible_collections.dihya.migration.plugins.module_utils._postgres.drill_plan import server_settings
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import connect
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows

from demo.postgres_server import bin_directory
from tests.support.needs import cannot_run, require_postgres, require_root
from tests.support.postgres_modules import dump_tools

FILL = (
    "CREATE ROLE {name}_owner LOGIN PASSWORD 'canary' CONNECTION LIMIT 3",
    "ALTER DATABASE {name} OWNER TO {name}_owner",
    "ALTER DATABASE {name} SET timezone TO 'Africa/Algiers'",
    "CREATE TABLE client (id int PRIMARY KEY, name text NOT NULL)",
    "INSERT INTO client SELECT n, 'Taḍsa ⵜⴰⴹⵚⴰ ' || n FROM generate_series(1, 500) n",
    "ALTER TABLE client OWNER TO {name}_owner",
    "CREATE MATERIALIZED VIEW total AS SELECT count(*) FROM client",
    "SELECT lo_from_bytea(4711, 'a large object'::bytea)",
)


def manifest_of(backup: pathlib.Path) -> dict[str, Any]:
    return json.loads((backup / "manifest.json").read_text())


def left_in(work: pathlib.Path) -> list[str]:
    """What a drill must not leave: directories, records of what it made, processes that work there. What tools said may stay."""
    kept = ("lease", "evidence.json", "differences.json")
    found = [str(path) for path in work.iterdir() if path.name not in kept and path.suffix != ".log"] if work.exists() else []
    return found + [f"process {number}" for number in throwaway.processes_below(str(work.resolve()))]


@pytest.fixture
def options(copy, new, tools, tmp_path):
    """A drill of the copy of the backup; nothing of it may be left, here or on the target."""
    work, before = tmp_path / "work", new.names()
    yield {"backup": str(copy), "target": new.endpoint, "work_dir": str(work), "bin_dir": tools}
    assert left_in(work) == []
    assert new.names() == before


@pytest.fixture(scope="session")
def drilled(backup, new, tools, tmp_path_factory):
    """Options and result of a drill that passed on a throw-away server."""
    from tests.integration.postgres_dump.conftest import Module

    directory = tmp_path_factory.mktemp("drilled")
    copy = pathlib.Path(shutil.copytree(backup["path"], directory / "copy"))
    before = new.names()
    options = {"backup": str(copy), "target": new.endpoint, "work_dir": str(directory / "work"), "bin_dir": tools}
    result = Module(directory).run("pg_restore_drill", **options)
    assert left_in(directory / "work") == []
    assert new.names() == before
    return options, result


def test_a_backup_of_an_older_server_is_proved_on_a_throw_away_one(drilled):
    options, result = drilled
    assert result.get("server") == "throwaway", result
    assert (result["tables"], result["rows"]) == (2, 20002)
    assert result["version"].startswith("18.") and 0 < result["rto"] <= result["duration"]
    assert {one["rule"] for one in result["explained"]} <= {"administrator", "extension_version"}
    assert result["journal"]["evidence"][0]["item"] == "rollback_plan"
    assert any("without fsync" in limit for limit in result["limits"])
    assert manifest_of(pathlib.Path(options["backup"]))["restorable_on"] == [18]
    evidence = pathlib.Path(options["work_dir"]) / "evidence.json"
    assert evidence.stat().st_mode & 0o077 == 0 and "canary" not in evidence.read_text()


@pytest.mark.parametrize("major", [15, 18])
def test_a_backup_of_each_version_is_proved_without_a_target(postgres, database, module, tools, tmp_path, major):
    require_postgres(major)
    source = postgres(major)
    name = database(source)
    for statement in FILL:
        source.execute(statement.format(name=name), name)
    try:
        passfile = tmp_path / "pass"
        passfile.touch(0o600)
        passfile.write_text(f"*:*:*:postgres:{source.password}\n")
        endpoint = {"host": "127.0.0.1", "port": source.port, "user": "postgres", "passfile": str(passfile), "sslmode": "disable"}
        made = module.run("pg_dumpall", source=endpoint, databases=[name], dest=str(tmp_path / "backups"), digests=True,
                          bin_dir=dump_tools(major))
        result = module.run("pg_restore_drill", backup=made["path"], version=18, work_dir=str(tmp_path / "work"), bin_dir=tools)
    finally:
        source.execute(f"DROP DATABASE {name} WITH (FORCE)")
        source.execute(f"DROP ROLE {name}_owner")
    assert result.get("server") == "throwaway" and result["rows"] == 500, result
    assert manifest_of(pathlib.Path(made["path"]))["restorable_on"] == [18]
    assert left_in(tmp_path / "work") == []


def test_a_damaged_dump_file_fails_the_drill_by_name(options, module, copy):
    victim = sorted(copy.glob("databases/*/*.dat*"))[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    result = module.run("pg_restore_drill", **options)
    assert result.get("failed") and str(victim.relative_to(copy)) in result["msg"], result
    assert manifest_of(copy)["restorable_on"] == []


@pytest.mark.parametrize("server", ["throwaway", "scratch"])
def test_a_row_or_an_index_that_is_not_as_it_was_fails_the_drill(options, module, copy, server):
    manifest = manifest_of(copy)
    manifest["digests"]["shop"]["app.customer"]["digest"] = "1"
    kept = json.loads((copy / "catalog.json").read_text())
    indexes = kept["databases"]["shop"]["objects"]["index"]
    indexes["app.gone"] = indexes["app.by_name"]
    (copy / "catalog.json").write_text(json.dumps(kept))
    manifest["files"] = [file_entry(str(copy), entry["path"]) for entry in manifest["files"]]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    result = module.run("pg_restore_drill", server=server, **options)
    assert result.get("failed") and "database shop: rows of app.customer differs" in result["msg"], result
    assert "database shop: index app.gone is missing on the target" in result["msg"], result
    assert manifest_of(copy)["restorable_on"] == []
    for log in pathlib.Path(options["work_dir"]).glob("*.log"):
        assert log.stat().st_mode & 0o077 == 0 and "client ⵣ" not in log.read_text()


def test_a_collation_that_the_throw_away_server_cannot_give_is_found_before_anything_is_restored(options, module, copy):
    manifest = manifest_of(copy)
    one = {"name": "own", "collname": "own", "system": False, "provider": "c", "collate": "yy_YY", "ctype": "yy_YY"}
    manifest["databases"]["shop"]["needs"]["collations"] = [one, dict(one, system=True, name="xx_XX", collname="xx_XX")]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    result = module.run("pg_restore_drill", server="throwaway", **options)
    assert result.get("failed") and "locale yy_YY of collations in database shop is not installed on this host" in result["msg"], result
    assert "collations that database shop uses are not on the throw-away server: xx_XX" in result["msg"], result


@pytest.mark.parametrize("moment", ["data/PG_VERSION", "created.json"])
def test_a_killed_drill_leaves_nothing_to_the_next_one(options, module, moment):
    """Killed while the server is made, and while it is filled; before that a second worker was refused."""
    work = pathlib.Path(options["work_dir"])
    first = module.start("pg_restore_drill", **options)
    until = time.monotonic() + 60
    while not list(work.glob(f".partial-*/{moment}")):
        assert time.monotonic() < until and first.poll() is None, first.communicate()
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    if moment == "created.json":
        second = module.run("pg_restore_drill", **options)
        assert second.get("failed") and is_alive(second["lease_holder"]), second
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert any("process" not in name for name in left_in(work)), "the directory of the killed drill is there"
    if throwaway.find_shelter(None).isolated and moment == "created.json":
        until = time.monotonic() + 5
        while [name for name in left_in(work) if name.startswith("process")]:
            assert time.monotonic() < until, "the server outlived its worker"
            time.sleep(0.05)
    again = module.run("pg_restore_drill", **options)
    assert again.get("server") == "throwaway" and len(again["swept"]) == 1, again


def test_scratch_names_on_the_target_serve_where_no_server_is_at_hand(options, module, copy, tmp_path):
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    refused = module.run("pg_restore_drill", server="throwaway", server_bin_dir=str(nothing), **options)
    assert refused.get("failed") and "server_bin_dir" in refused["msg"], refused
    result = module.run("pg_restore_drill", server_bin_dir=str(nothing), **options)
    assert result.get("server") == "scratch" and "no server programs" in result["reason"], result
    assert "no server programs" in result["journal"]["skipped"][0]
    assert any("roles and settings that the target already had" in limit for limit in result["limits"])
    assert result["rows"] == 20002 and manifest_of(copy)["restorable_on"] == [18]


def test_what_a_killed_drill_left_on_the_target_is_removed(options, module, new, tmp_path):
    first = module.start("pg_restore_drill", server="scratch", **options)
    until = time.monotonic() + 60
    while not new.execute("SELECT datname FROM pg_database WHERE datname ~ '^dihya'"):
        assert time.monotonic() < until and first.poll() is None, first.communicate()
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    gone = module.run("pg_restore_drill", state="absent", target=options["target"], work_dir=options["work_dir"])
    assert gone["changed"] and gone["swept"], gone
    assert module.run("pg_restore_drill", state="absent", work_dir=options["work_dir"])["changed"] is False


def test_a_restore_is_known_as_done_after_a_drill_and_by_a_record_of_an_older_release(module, scratch, old, new, tools, tmp_path):
    name = scratch("again", "CREATE TABLE t AS SELECT 1 AS a")
    made = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), digests=True, bin_dir=tools)
    record, manifest = tmp_path / "created.json", pathlib.Path(made["path"]) / "manifest.json"
    options = {"target": new.endpoint, "created_file": str(record), "bin_dir": tools}
    try:
        assert module.run("pg_restore_cluster", backup=made["path"], **options)["changed"]
        drilled = module.run("pg_restore_drill", backup=made["path"], target=new.endpoint, server="scratch", work_dir=str(tmp_path / "w"),
                             bin_dir=tools)
        assert drilled["changed"] and manifest_of(manifest.parent)["restorable_on"] == [18], drilled
        assert module.run("pg_restore_cluster", backup=made["path"], **options)["changed"] is False
        state = json.loads(record.read_text())
        record.write_text(json.dumps(dict(state, backup=sha256_file(str(manifest)))))
        assert module.run("pg_restore_cluster", backup=made["path"], **options)["changed"] is False
        record.write_text(json.dumps(dict(state, backup="0" * 64)))
        assert "records another restore" in module.run("pg_restore_cluster", backup=made["path"], **options)["msg"]
    finally:
        module.run("pg_restore_cluster", state="absent", **options)


def test_evidence_of_the_same_plan_is_taken_instead(drilled, module):
    options, first = drilled
    result = module.run("pg_restore_drill", evidence=first["evidence_file"], **options)
    assert result.get("server") == "evidence" and result["changed"] is False, result
    assert result["rto"] == first["rto"] and result["journal"]["evidence"][0]["until"]
    assert (result["limits"], result["not_proved"]) == (first["limits"], first["not_proved"])  # it is known to be of this cluster


@pytest.mark.parametrize(("change", "said"), [
    ({"created": (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=8)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")},
     "more than 7 days old"),
    ({"plan": {"databases": ["other"], "source_major": 15, "target_major": 18, "tools": {}}}, "its databases are other"),
    ({"bytes": 1}, "it is of databases of 1 B, and these have"),
    ({"passed": False}, "not the evidence of a drill that passed"),
])
def test_evidence_that_is_old_or_of_another_plan_is_refused(drilled, module, tmp_path, change, said):
    options, first = drilled
    evidence = json.loads(pathlib.Path(first["evidence_file"]).read_text())
    (tmp_path / "evidence.json").write_text(json.dumps({**evidence, **change}))
    result = module.run("pg_restore_drill", evidence=str(tmp_path / "evidence.json"), **options)
    assert result.get("failed") and said in result["msg"] and "Leave it out" in result["msg"], result


def test_evidence_does_not_count_for_a_damaged_backup(drilled, options, module, copy):
    victim = sorted(copy.glob("databases/*/*.dat*"))[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    result = module.run("pg_restore_drill", evidence=drilled[1]["evidence_file"], **options)
    assert result.get("failed") and str(victim.relative_to(copy)) in result["msg"], result


def test_check_mode_says_where_and_makes_nothing(new, module, tools, tmp_path):
    result = module.run("pg_restore_drill", check=True, version=18, target=new.endpoint, databases=["shop"], bin_dir=tools,
                        work_dir=str(tmp_path / "work"), lease_file=str(tmp_path / "workers" / "drill.lease"), run_id="planned")
    assert result.get("server") == "throwaway" and "shop" in result["diff"]["after"], result
    vast = module.run("pg_restore_drill", check=True, version=18, server="throwaway", bin_dir=tools, work_dir=str(tmp_path / "work"),
                      expected={"databases": 10**17, "backup": 10**18})
    assert vast.get("failed") and "the drill may take 100000.0 TB, and the backup before it 1000000.0 TB" in vast["msg"], vast
    assert not (tmp_path / "work").exists() and not (tmp_path / "workers").exists()


def test_the_server_reaches_nobody_and_nobody_reaches_it(copy, tools, tmp_path):
    shelter = throwaway.find_shelter(None)
    if not shelter.isolated:
        cannot_run("this host makes no user namespaces")
    server = throwaway.ThrowawayServer(tools, shelter, str(tmp_path), "postgres", server_settings(manifest_of(copy), 2, "C"))
    with server as endpoint:
        networks = set()
        for process in throwaway.processes_below(server.directory):
            with contextlib.suppress(OSError):  # one that just ends
                if pathlib.Path(f"/proc/{process}/comm").read_text().strip() == "postgres":
                    networks.add(os.readlink(f"/proc/{process}/ns/net"))
        assert len(networks) == 1 and os.readlink("/proc/self/ns/net") not in networks
        connection = connect(endpoint)
        shown = {row["name"]: row["setting"] for row in rows(connection, "SELECT name, setting FROM pg_settings")}
        connection.close()
        assert pathlib.Path(server.directory).stat().st_mode & 0o077 == 0
    assert shown["listen_addresses"] == "" and shown["archive_mode"] == "off" and shown["max_logical_replication_workers"] == "0"
    assert shown["shared_preload_libraries"] == "" and shown["autovacuum"] == "off" and shown["fsync"] == "off"
    assert left_in(tmp_path) == [str(tmp_path / "copy")]


def test_root_without_user_namespaces_uses_an_account(copy, monkeypatch):
    """With PostgreSQL of the distribution, whose programs every account can run."""
    require_root()
    require_postgres(15)
    monkeypatch.setattr(throwaway, "_namespace", lambda: ())
    with pytest.raises(throwaway.Unfit, match="name an unprivileged account in server_user"):
        throwaway.find_shelter(None)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        os.chmod(work, 0o711)
        server = throwaway.ThrowawayServer(str(bin_directory(15)), throwaway.find_shelter("nobody"), work, "postgres",
                                           server_settings(manifest_of(copy), 2, "C"))
        with server as endpoint:
            connect(endpoint).close()
            owners = {os.stat(f"/proc/{process}").st_uid for process in throwaway.processes_below(server.directory)}
            assert owners == {pwd.getpwnam("nobody").pw_uid}
        assert os.listdir(work) == []
        os.chmod(work, 0o700)
        with pytest.raises(throwaway.Unfit, match="cannot use"), server:
            pass
        assert os.listdir(work) == []
