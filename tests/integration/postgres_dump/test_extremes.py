# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real servers at their limits: under load, on a full disk, restarted at work, with very many tables or columns, with nothing at all."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from demo.postgres_server import HOST, PostgresServer, bin_directory
from tests.support.needs import cannot_run
from tests.support.postgres_modules import Site
from tests.support.tmpfs import tmpfs

TABLES = 20_000 if os.environ.get("CHAOS") == "full" else 1_000
BULK = "CREATE TABLE t AS SELECT n, md5(n::text) || md5((n * 7)::text) AS word FROM generate_series(1, 150000) n"
OURS = "dihya/extremes/test"
BALANCED = ("SELECT sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts) AND sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches)"
            " AND count(*) > 0 FROM pgbench_history")


@pytest.fixture(name="moved")
def fixture_moved(module, old, new, tools, tmp_path):
    """Call with a database to have it dumped, restored and proved equal; it is removed from the target afterwards."""
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}

    def move(name: str, dumped: dict) -> dict:
        restored = module.run("pg_restore_cluster", backup=dumped["path"], **options)
        assert restored.get("changed"), restored
        proved = module.run("pg_verify", manifest=dumped["path"], target=new.endpoint, databases=[name], bin_dir=tools,
                            differences_file=str(tmp_path / "differences.json"))
        assert proved.get("equal"), proved
        return proved

    yield move
    module.run("pg_restore_cluster", state="absent", **options)


@pytest.fixture(name="cramped", scope="module")
def fixture_cramped(tmp_path_factory):
    """A new server whose databases have a disk of their own with little room left; its log of transactions lies elsewhere."""
    directory = tmp_path_factory.mktemp("cramped")
    server = PostgresServer(18, directory / "data", settings={"autovacuum": "off"}).create()
    base, aside = server.directory / "base", server.directory / "aside"
    subprocess.run(["cp", "-a", str(base), str(aside)], check=True)
    used = sum(path.stat().st_blocks * 512 for path in base.rglob("*")) >> 20
    with tmpfs(base, f"size={used + 16}m"):  # an empty database takes eight
        subprocess.run(["cp", "-a", f"{aside}/.", str(base)], check=True)
        shutil.rmtree(aside)
        server.start()
        yield Site(server, directory / "pass")
        server.stop("immediate")
    server.remove()


def test_a_source_under_load_is_backed_up_at_one_moment(scratch, moved, module, old, new, tools, tmp_path, eventually):
    try:
        program = str(bin_directory(15) / "pgbench")
    except LookupError as missing:
        cannot_run(str(missing))
    name = scratch("loaded")
    argv = [program, f"--host={HOST}", f"--port={old.endpoint['port']}", "--username=postgres"]
    environment = {**os.environ, "PGPASSFILE": old.endpoint["passfile"]}
    subprocess.run([*argv, "--initialize", "--scale=2", "--quiet", name], env=environment, check=True, capture_output=True)
    load = subprocess.Popen([*argv, "--client=2", "--time=90", "--no-vacuum", name], env=environment, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    count = "SELECT count(*) FROM pgbench_history"
    old.execute("ALTER TABLE pgbench_history ADD number bigserial", name)  # no snapshot holds its sequence still
    try:
        assert eventually(lambda: old.execute(count, name)[0][0] > 100, 30)
        dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools, digests=True)
        written = old.execute(count, name)[0][0]
        assert load.poll() is None and eventually(lambda: old.execute(count, name)[0][0] > written, 30), "the load went on"
    finally:
        load.terminate()
        load.wait()
    explained = {one["object"]: one["rule"] for one in moved(name, dumped)["explained"]}
    assert explained["loaded: sequence public.pgbench_history_number_seq (last_value)"] == "sequence_in_use", explained
    assert new.execute(BALANCED, name) == [(True,)] and new.execute(count, name)[0][0] <= written


def test_a_disk_that_fills_while_the_backup_is_made_leaves_nothing_there(scratch, module, old, tools, tmp_path):
    name, place = scratch("large", BULK), tmp_path / "full"
    place.mkdir()
    with tmpfs(place, "size=3m"):
        failed = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(place), bin_dir=tools, application_name=OURS)
        assert failed["failed"] and "large" in failed["msg"], failed
        assert [path.name for path in place.rglob("*") if path.stat().st_size > 10_000] == []
        assert not [path for path in place.iterdir() if not path.name.startswith(".")]
    assert old.execute(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{OURS}'") == [(0,)]


def test_a_disk_that_fills_under_the_target_leaves_it_as_it_was(scratch, module, old, cramped, tools, tmp_path):
    large, small = scratch("large", BULK), scratch("small", "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n")
    paths = {one: module.run("pg_dumpall", source=old.endpoint, databases=[one], dest=str(tmp_path / one), bin_dir=tools)["path"]
             for one in (large, small)}
    before = cramped.names()
    options = {"target": cramped.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
    failed = module.run("pg_restore_cluster", backup=paths[large], **options)
    assert failed["failed"] and "database large failed" in failed["msg"], failed
    assert cramped.names() == before and not os.path.exists(options["created_file"])
    assert module.run("pg_restore_cluster", backup=paths[small], **options)["changed"]
    assert cramped.execute("SELECT count(*) FROM t", small) == [(100,)]
    assert module.run("pg_restore_cluster", state="absent", **options)["changed"] and cramped.names() == before


def test_a_server_without_databases_is_a_backup_of_its_roles_that_restores(module, new, cramped, tools, tmp_path):
    cramped.execute("CREATE ROLE lonely LOGIN PASSWORD 'canary-lonely'")
    try:
        dumped = module.run("pg_dumpall", source=cramped.endpoint, databases=["all"], dest=str(tmp_path / "b"), bin_dir=tools, digests=True)
        assert dumped["changed"] and dumped["databases"] == [], dumped
        options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools}
        before = new.names()
        assert module.run("pg_restore_cluster", backup=dumped["path"], **options)["changed"]
        assert new.names()["roles"] - before["roles"] == {"lonely"}
        assert module.run("pg_restore_cluster", state="absent", **options)["changed"] and new.names() == before
        drilled = module.run("pg_restore_drill", backup=dumped["path"], target=new.endpoint, work_dir=str(tmp_path / "w"), bin_dir=tools)
        assert drilled.get("server") == "throwaway" and drilled["tables"] == 0, drilled
    finally:
        cramped.execute("DROP ROLE lonely")


def test_a_database_whose_name_has_line_breaks_moves_and_psql_cannot_have_it(moved, module, old, new, tools, tmp_path):
    name, quoted = 'two\nlines \'"ⵣ', '"two\nlines \'""ⵣ"'
    old.execute(f"CREATE DATABASE {quoted}")
    try:
        old.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n", name)
        given = {"source": old.endpoint, "databases": [name], "dest": str(tmp_path / "b"), "bin_dir": tools, "digests": True}
        plain = module.run("pg_dumpall", format="plain", **given)
        assert plain["failed"] and "with a line break in their name: use format directory" in plain["msg"], plain
        moved(name, module.run("pg_dumpall", **given))
        assert new.execute("SELECT count(*) FROM t", name) == [(100,)]
    finally:
        old.execute(f"DROP DATABASE {quoted}")


def test_a_source_restarted_while_it_is_dumped_ends_in_an_error_and_no_backup(scratch, moved, module, old, tools, tmp_path, eventually):
    name = scratch("restarted", "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n", "SELECT lo_from_bytea(0, 'x')")
    given = {"source": old.endpoint, "databases": [name], "dest": str(tmp_path / "b"), "bin_dir": tools, "digests": True,
             "application_name": OURS}
    holder = old.server.connect(name)
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE pg_largeobject")
    process = module.start("pg_dumpall", **given)
    waits = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{OURS}' AND wait_event_type = 'Lock'"
    assert eventually(lambda: old.execute(waits) != [(0,)], 30)
    crash(old.server)
    out, _err = process.communicate(timeout=60)
    assert '"failed": true' in out and "restarted" in out, out
    assert not [path for path in (tmp_path / "b").iterdir() if not path.name.startswith(".")]
    moved(name, module.run("pg_dumpall", **given))


def crash(server: PostgresServer) -> None:
    """Restart it as after a loss of power; its first try may find what the crashed one has not given back yet."""
    server.stop("immediate")
    try:
        server.start()
    except RuntimeError:
        server.start()


def told(process: subprocess.Popen, path: pathlib.Path, step: str) -> tuple[dict, list[int], int]:
    """The result of a module, and how much it had done of how much in all, at the moments at which its progress was looked at."""
    seen: list[dict] = []
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            seen.append(json.loads(path.read_text()))
        time.sleep(0.02)
    found = [one for one in seen if one["step"] == step and one["total"]]
    assert {one["unit"] for one in found} == {"bytes"}, seen
    return json.loads(process.communicate()[0]), [one["done"] for one in found], found[0]["total"]


def part_of(done: list[int], total: int) -> bool:
    """Whether a part was done at some moment, and never all."""
    return any(0 < one < total * 0.97 for one in done) and max(done) < total


def test_a_target_restarted_while_it_is_filled_is_filled_by_the_next_run_and_both_tell_how_far_they_are(
        scratch, module, old, new, tools, tmp_path, eventually):
    """Dump and restore of one table tell bytes that are really done: ever more of them, and all at the end only."""
    name = scratch("refilled", BULK.replace("150000", "600000"), "CREATE INDEX ON t (word)", "CREATE INDEX ON t (n)")
    progress = tmp_path / "progress.json"
    process = module.start("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools,
                           compression="gzip:9", progress_file=str(progress))
    dumped, done, total = told(process, progress, "dump")
    assert done == sorted(done) and part_of(done, total) and total > 50_000_000, (dumped, done, total)
    before = new.names()
    options = {"target": new.endpoint, "created_file": str(tmp_path / "created.json"), "bin_dir": tools, "application_name": OURS,
               "progress_file": str(progress)}
    process = module.start("pg_restore_cluster", backup=dumped["path"], **options)
    copies = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{OURS}' AND query LIKE 'COPY %'"
    assert eventually(lambda: new.execute(copies) != [(0,)], 30)
    crash(new.server)
    out, _err = process.communicate(timeout=60)
    assert '"failed": true' in out, out
    again, done, total = told(module.start("pg_restore_cluster", backup=dumped["path"], **options), progress, "restore")
    assert again.get("changed"), again
    assert done == sorted(done) and part_of(done, total) and total > 80_000_000, (done, total)
    assert new.execute("SELECT count(*) FROM t", name) == [(600_000,)]
    assert module.run("pg_restore_cluster", state="absent", **options)["changed"] and new.names() == before


@pytest.fixture(name="locks")
def fixture_locks(old, new):
    """Call with a site, and how many objects each of how many sessions may lock there; both have their own numbers again at the end."""
    changed: set[Site] = set()

    def restart(site: Site, *changes: str) -> None:
        changed.add(site)
        for change in changes:
            site.execute(f"ALTER SYSTEM {change}")
        site.server.stop()
        site.server.start()

    yield lambda site, each, sessions: restart(site, f"SET max_locks_per_transaction = {each}", f"SET max_connections = {sessions}")
    for site in tuple(changed):
        restart(site, "RESET max_locks_per_transaction", "RESET max_connections")


def test_a_row_of_1600_columns_and_very_many_tables_arrive_and_are_proved(scratch, moved, locks, module, old, new, tools, tmp_path):
    name = scratch(
        "wide", f"CREATE TABLE wide ({', '.join(f'c{number} int' for number in range(1600))})",
        f"INSERT INTO wide SELECT {', '.join(f'n + {number}' for number in range(1600))} FROM generate_series(1, 3) n",
        *(f"DO $$ BEGIN FOR n IN {first}..{first + 499} LOOP EXECUTE format('CREATE TABLE many%s (n int)', n);"
          " EXECUTE format('INSERT INTO many%s VALUES (%s)', n, n); END LOOP; END $$" for first in range(0, TABLES, 500)))
    locks(old, 10, 20)
    looked = module.run("pg_preflight", source=old.endpoint, target=new.endpoint, databases=[name], bin_dir=tools)
    stops = [one["finding"] for one in looked["findings"] if one["blocking"]]
    assert stops == [f"database {name} has {TABLES + 1} tables, the lock table of the source is made for 200"], looked
    failed = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools)
    assert failed["failed"] and "max_locks_per_transaction" in pathlib.Path(failed["log"]).read_text(), failed  # it was no false alarm
    for site in (old, new):
        locks(site, 2048, 100)
    dumped = module.run("pg_dumpall", source=old.endpoint, databases=[name], dest=str(tmp_path / "b"), bin_dir=tools, digests=True)
    assert dumped["counts"]["tables"] == TABLES + 1, dumped
    moved(name, dumped)
