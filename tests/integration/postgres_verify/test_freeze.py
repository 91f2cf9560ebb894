# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A freeze stops writers, is undone exactly, and every write behind its back is seen by the fence."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import time

import psycopg2
import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._postgres import freeze, privileges
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.guard import Guard
from ansible_collections.dihya.migration.plugins.module_utils._postgres.verify import VerifyRequest, verify
from ansible_collections.dihya.migration.plugins.module_utils._worker import end_workers, read_stat

from demo.postgres_server import HOST
from tests.integration.postgres_verify.support import endpoint_of, normal, passfile


def as_application(server, statement):
    connection = server.connect("frozen", "crm_app", "app-secret")
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_readers_go_on_and_writers_stop_and_all_of_it_is_undone_exactly(server, run, tmp_path):
    before = normal(server)
    result = run()
    assert result["changed"] and (tmp_path / "stopped").exists()
    assert as_application(server, "SELECT count(*) FROM crm.customer") == [(2500,)]
    for statement in ("INSERT INTO crm.purchase (customer) VALUES (1)", "DELETE FROM crm.customer", "SELECT nextval('crm.numbers')",
                      "SET default_transaction_read_only = off; UPDATE crm.purchase SET note = 'x' WHERE id = 1"):
        with pytest.raises(psycopg2.Error):
            as_application(server, statement)
    assert freeze.difference(before, normal(server)) != []
    assert run(state="fenced")["explained"] == []
    assert run(state="open")["changed"] and (tmp_path / "started again").exists()
    assert normal(server) == before
    assert not run(state="open")["changed"]


def test_revoking_connect_ends_sessions_and_is_undone_exactly(server, run):
    before = normal(server)
    session = server.connect("frozen", "crm_app", "app-secret")
    options = {"method": "revoke_connect", "keep_readers": False, "command": None, "undo": None}
    assert run(**options)["state"] == "frozen"
    with pytest.raises(psycopg2.Error):
        session.cursor().execute("SELECT 1")
    with pytest.raises(psycopg2.Error):
        server.connect("frozen", "crm_app", "app-secret")
    run(state="open", **options)
    assert normal(server) == before


def test_a_second_freeze_changes_nothing_and_keeps_the_first_capture(run, tmp_path):
    run()
    first = (tmp_path / "f" / "capture.json").read_bytes()
    again = run()
    assert not again["changed"] and again["fence"]["value"] == run()["fence"]["value"]
    assert (tmp_path / "f" / "capture.json").read_bytes() == first
    assert stat.S_IMODE((tmp_path / "f" / "capture.json").stat().st_mode) == 0o600
    (tmp_path / "f" / "capture.json.guard.fired").touch()  # what a timer leaves whose script failed
    with pytest.raises(MigrationError, match="could not open the source"):
        run()


def die(*_arguments, **_options):
    raise KeyboardInterrupt


def test_a_freeze_that_died_half_way_is_finished_with_its_first_capture_and_opens(server, run, tmp_path, monkeypatch):
    before = normal(server)
    with monkeypatch.context() as patch:
        patch.setattr(freeze, "read_fence", die)
        with pytest.raises(KeyboardInterrupt):
            run()
    first = (tmp_path / "f" / "capture.json").read_bytes()
    assert run()["changed"]
    assert (tmp_path / "f" / "capture.json").read_bytes() == first
    run(state="open")
    assert normal(server) == before


def test_check_mode_says_what_it_would_run_tries_the_way_back_and_writes_nothing(server, run, tmp_path):
    before = normal(server)
    result = run(check_mode=True)
    assert result["changed"] and any("REVOKE INSERT" in line for line in result["statements"])
    assert normal(server) == before and list(tmp_path.iterdir()) == []
    with pytest.raises(MigrationError, match="no-such-program.*not found"):
        run(check_mode=True, command="no-such-program now")
    with pytest.raises(MigrationError, match="psql"):
        run(check_mode=True, bin_dir="/nonexistent")


def test_a_large_object_made_while_the_writes_stop_is_one_of_before(server, run, tmp_path):
    login = f"PGPASSWORD={server.password} {run.options['bin_dir']}/psql -h {HOST} -p {server.port} -U postgres"
    try:
        run(keep_readers=False, command=["sh", "-c", f"{login} -c 'SELECT lo_create(70009)' frozen"])
        assert read_json(str(tmp_path / "f" / "capture.json")) == normal(server)
        assert run(state="open", keep_readers=False)["explained"] == []
    finally:
        server.execute("SELECT lo_unlink(70009)", "frozen")


BYPASSES = {
    "insert rolled back": "BEGIN; INSERT INTO crm.quick VALUES (2); ROLLBACK",
    "read-only switched off": "SET default_transaction_read_only = on; SET default_transaction_read_only = off; DELETE FROM crm.quick",
    "large object": "SELECT lo_put(70001, 0, 'x')",
    "sequence value logged ahead": "SELECT nextval('crm.numbers')",
    "setval": "SELECT setval('crm.numbers', 5000)",
}


@pytest.mark.parametrize("bypass", BYPASSES)
def test_every_write_behind_the_freeze_breaks_the_fence(server, run, bypass):
    server.execute("SELECT nextval('crm.numbers')", "frozen")  # what follows is logged ahead
    run()
    run(state="fenced")
    connection = server.connect("frozen")
    for statement in BYPASSES[bypass].split("; "):
        with connection.cursor() as cursor:
            cursor.execute(statement)
    connection.close()
    with pytest.raises(MigrationError, match="was written to after the freeze"):
        run(state="fenced")


def test_large_objects_written_in_a_read_only_transaction_are_refused_by_the_server_or_break_the_fence(server, run):
    run()
    connection = server.connect("frozen")
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        # 16 and later refuse the write itself, 15 does not
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction) if server.major > 15 else contextlib.nullcontext():
            cursor.execute("SELECT lo_put(70001, 0, 'y')")
    connection.close()
    with contextlib.nullcontext() if server.major > 15 else pytest.raises(MigrationError, match="transaction number"):
        run(state="fenced")


def test_maintenance_alone_is_explained(server, run):
    frozen = run()["fence"]["value"]
    server.execute("ANALYZE crm.customer", "frozen")
    result = run(state="fenced")
    assert [one["rule"] for one in result["explained"]] == ["fence_moved_by_maintenance"]
    assert result["held"] == str(frozen) != str(result["fence"]["value"])


def test_statistics_of_before_the_freeze_that_come_late_accuse_nobody(server, run):
    session = server.connect("frozen", "crm_app", "app-secret")
    with session.cursor() as cursor:
        cursor.execute("UPDATE crm.customer SET amount = amount + 1 WHERE id = 1")
    run()
    server.execute("ANALYZE crm.customer", "frozen")
    result = run(state="fenced")
    assert [one["rule"] for one in result["explained"]] == ["fence_moved_by_maintenance"]
    session.close()


@pytest.mark.parametrize("statement", ["UPDATE crm.behind SET n = 2", "DELETE FROM crm.behind", "TRUNCATE crm.behind",
                                       "DROP TABLE crm.behind"])
def test_what_is_written_beside_maintenance_is_not_explained_by_it(server, run, statement):
    server.execute("DROP TABLE IF EXISTS crm.behind; CREATE TABLE crm.behind AS SELECT 1 AS n", "frozen")
    run()
    server.execute("ANALYZE crm.customer", "frozen")
    server.execute(statement, "frozen")
    with pytest.raises(MigrationError, match="was written to"):
        run(state="fenced")


def test_a_proof_of_the_rows_explains_no_change_that_rows_do_not_show(server, run, tmp_path):
    server.execute("CREATE TABLE crm.conf (a int); ALTER EXTENSION plpgsql ADD TABLE crm.conf; UPDATE pg_extension SET "
                   "extconfig = ARRAY['crm.conf'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'plpgsql'", "frozen")
    changes = {"CREATE INDEX late ON crm.customer (id)": "DROP INDEX crm.late",
               "GRANT DELETE ON crm.customer TO crm_reader": "REVOKE DELETE ON crm.customer FROM crm_reader",
               "INSERT INTO crm.quick VALUES (77)": "DELETE FROM crm.quick WHERE v = 77",
               "ALTER ROLE crm_app PASSWORD 'new'": "ALTER ROLE crm_app PASSWORD 'app-secret'"}
    proof = {"state": "fenced", "proof": str(tmp_path / "digests.json")}
    run.options.update(method="revoke_connect", command=None, undo=None)
    try:
        run()
        verify(VerifyRequest(source=endpoint_of(server), target=endpoint_of(server), databases=["frozen"], digest_file=proof["proof"],
                             leave_out=["extension plpgsql"]))
        # The one changes nothing, the other nothing that migrates.
        server.execute("ANALYZE crm.customer; INSERT INTO crm.conf VALUES (1)", "frozen")
        assert [one["rule"] for one in run(**proof)["explained"]] == ["fence_moved_rows_equal"]
        for change, undo in changes.items():
            server.execute(change, "frozen")
            try:
                with pytest.raises(MigrationError, match="was written to after the freeze"):
                    run(**proof)
            finally:
                server.execute(undo, "frozen")
    finally:
        server.execute("UPDATE pg_extension SET extconfig = NULL, extcondition = NULL WHERE extname = 'plpgsql'; "
                       "ALTER EXTENSION plpgsql DROP TABLE crm.conf; DROP TABLE crm.conf", "frozen")


def test_a_transaction_that_still_writes_is_ended_or_refused(server, run):
    application, superuser = server.connect("frozen", "crm_app", "app-secret"), server.connect("frozen")
    with application.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE crm.customer SET amount = 0 WHERE id = 1")
    run(settle=0.1)
    with pytest.raises(psycopg2.Error):
        application.cursor().execute("COMMIT")
    run(state="open")
    with superuser.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE crm.customer SET amount = 0 WHERE id = 1")
    with pytest.raises(MigrationError, match="still writes"):
        run(settle=0.1)
    superuser.close()


def test_clients_that_stay_are_named(server, run):
    session = server.connect("frozen", "crm_app", "app-secret")
    with pytest.raises(MigrationError, match="user crm_app") as failure:
        run(keep_readers=False)
    assert failure.value.facts["clients"][0]["sessions"] == 1
    session.close()
    assert run(keep_readers=False)["clients"] == []


def test_the_script_opens_the_source_with_a_shell_alone(server, run, tmp_path):
    server.execute("CREATE TABLE crm.gone (a int); GRANT INSERT ON crm.gone TO crm_app", "frozen")
    before = normal(server)
    run()
    script = tmp_path / "f" / "reopen"
    assert stat.S_IMODE(script.stat().st_mode) == 0o700
    assert server.password not in script.read_text()
    # All that the script finds: a shell, and what the inventory says to start the application again with. psql it names by its path.
    found = tmp_path / "found"
    found.mkdir()
    for program in ("sh", "touch"):
        (found / program).symlink_to(shutil.which(program))
    environment = {"PATH": str(found), "PGPASSFILE": passfile(tmp_path, server)}
    frozen = normal(server)
    tried = subprocess.run(["sh", str(script), "--dry-run"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert "nothing was changed" in tried.stdout and normal(server) == frozen
    for _twice in range(2):
        subprocess.run(["sh", str(script)], env=environment, check=True)
        assert normal(server) == before
    assert (tmp_path / "started again").exists()
    # All but what is gone comes back.
    server.execute("DROP TABLE crm.gone; REVOKE INSERT, DELETE ON crm.customer FROM crm_app", "frozen")
    tried = subprocess.run(["sh", str(script)], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert tried.returncode == 1 and "not everything could be undone" in tried.stderr
    assert freeze.difference(before, normal(server)) == ["/databases/frozen/objects/TABLE/crm.gone"]
    assert subprocess.run(["sh", str(script)], env={"PATH": str(found)}, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True, check=False).returncode != 0


def test_a_copy_made_behind_the_freeze_gets_back_what_the_freeze_took(server, run, tmp_path):
    before = normal(server)["databases"]["frozen"]["objects"]
    run()
    taken = read_json(str(tmp_path / "f" / "capture.json"))
    server.execute(f"CREATE DATABASE travelled TEMPLATE frozen OWNER {taken['databases']['frozen']['owner']}")
    try:
        assert capture(endpoint_of(server), ["travelled"])["databases"]["travelled"]["objects"] != before
        options = (endpoint_of(server), "travelled", taken["databases"]["frozen"], taken["server_version"], "dihya/test/lift")
        assert privileges.give_back(*options) > 0
        assert capture(endpoint_of(server), ["travelled"])["databases"]["travelled"]["objects"] == before
        assert privileges.give_back(*options) == 0
    finally:
        server.execute("DROP DATABASE travelled WITH (FORCE)")


@pytest.fixture(name="limited")
def fixture_limited(server, run, tmp_path):
    """The same with a password file, as the timer has nobody who types a password."""
    source = {"host": HOST, "port": server.port, "user": "postgres", "passfile": passfile(tmp_path, server), "sslmode": "disable"}
    return lambda **changes: run(source=source, **changes)


def timers(tmp_path):
    return subprocess.run(["pgrep", "-f", f"{tmp_path}/f/capture.json.guard"], capture_output=True, check=False, text=True).stdout.split()


def guard_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "f").iterdir() if ".guard" in path.name)


def test_a_freeze_that_lasts_too_long_is_undone_by_a_timer_that_needs_nobody(server, limited, tmp_path, eventually):
    before = normal(server)
    assert limited(longest=2)["state"] == "frozen" and normal(server) != before
    os.kill(int(*timers(tmp_path)), signal.SIGKILL)  # as a restart of the host does
    assert eventually(lambda: not timers(tmp_path))
    assert limited(state="fenced")["state"] == "frozen" and len(timers(tmp_path)) == 1
    secrets = tmp_path / "f" / "capture.json.guard.pgpass"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    (tmp_path / "pgpass").unlink()  # as at the end of a run, whatever became of it
    assert eventually((tmp_path / "f" / "capture.json.guard.reopened").exists) and eventually(lambda: not secrets.exists())
    passfile(tmp_path, server)
    assert normal(server) == before and (tmp_path / "started again").exists()
    as_application(server, "SELECT 1")
    for changes in ({"state": "fenced"}, {"state": "fenced", "disarm": True}):
        with pytest.raises(MigrationError, match="the source was opened again"):
            limited(**changes)
    assert limited(state="open")["state"] == "open" and guard_files(tmp_path) == [] and timers(tmp_path) == []


def test_a_run_that_is_no_longer_heard_of_loses_its_freeze_and_one_that_is_keeps_it_until_its_limit(limited, tmp_path, eventually):
    sign, reopened = tmp_path / "alive", tmp_path / "f" / "capture.json.guard.reopened"
    limited(longest=4, lease=2, signs=[str(sign), str(tmp_path / "is never written")])
    assert eventually(lambda: (sign.write_bytes(b""), reopened.exists())[1])
    with pytest.raises(MigrationError, match="the freeze lasted longer than it may"):
        limited(state="fenced", disarm=True)
    limited(longest=600, lease=2, signs=[str(sign)])
    assert eventually(reopened.exists)
    with pytest.raises(MigrationError, match="the run was not heard of"):
        limited(state="fenced", disarm=True)


def test_a_source_that_the_timer_opened_and_its_application_changed_is_frozen_anew(server, limited, tmp_path, eventually, monkeypatch):
    server.execute("CREATE TABLE crm.last_day (a int, b int); GRANT INSERT, UPDATE (b) ON crm.last_day TO crm_app", "frozen")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Guard, "arm", die)
        limited(longest=1)
    first = limited(longest=1)["fence"]["value"]  # has a timer although the freeze began without one
    assert eventually((tmp_path / "f" / "capture.json.guard.reopened").exists)
    server.execute("CREATE TABLE crm.day (); DROP TABLE crm.last_day; SELECT lo_create(70007); CREATE ROLE hired", "frozen")
    server.execute("ALTER ROLE crm_app CONNECTION LIMIT 21", "frozen")
    try:
        opened = limited(state="open", longest=600)
        assert opened["state"] == "open" and "all that the freeze changed" in opened["msg"]
        told = {one["object"] for one in opened["explained"]}
        assert {"/databases/frozen/objects/TABLE/crm.day", "/roles/hired", "/roles/crm_app/connection_limit"} <= told
        again = limited(longest=600)
        assert again["changed"] and again["fence"]["value"] != first and len(timers(tmp_path)) == 1
        assert limited(state="fenced")["state"] == "frozen"
        # Without a timer only a stop that is not undone leaves it otherwise.
        server.execute("ALTER ROLE crm_app NOLOGIN; DROP TABLE crm.day", "frozen")
        with pytest.raises(MigrationError, match="1 things are not as before the freeze: /roles/crm_app/login"):
            limited(state="open")
        server.execute("ALTER ROLE crm_app LOGIN", "frozen")
        assert limited(state="open")["state"] == "open" and timers(tmp_path) == [] and guard_files(tmp_path) == []
    finally:
        server.execute("DROP TABLE IF EXISTS crm.day, crm.last_day; DROP ROLE hired; SELECT lo_unlink(70007)", "frozen")
        server.execute("ALTER ROLE crm_app LOGIN CONNECTION LIMIT 20", "frozen")


def test_a_timer_that_is_opening_the_source_is_waited_for(server, limited, tmp_path, eventually):
    before, fired = normal(server), tmp_path / "f" / "capture.json.guard.fired"
    undo = ["sh", "-c", f"echo begins >> {tmp_path}/log; sleep 0.7; echo ends >> {tmp_path}/log"]
    limited(longest=1, undo=undo)
    assert eventually(fired.exists)
    with pytest.raises(MigrationError, match="the freeze lasted longer than it may"):
        limited(state="fenced")
    assert fired.exists() and limited(state="open", undo=undo)["changed"] and normal(server) == before
    assert (tmp_path / "log").read_text().split() == ["begins", "ends"] * 2 and guard_files(tmp_path) == []


def test_a_timer_that_was_taken_away_never_opens_the_source(limited, tmp_path):
    limited(longest=2, lease=2, signs=[str(tmp_path / "is never written")])
    assert limited(state="fenced", disarm=True)["state"] == "frozen"
    assert timers(tmp_path) == [] and guard_files(tmp_path) == []
    time.sleep(2.2)
    assert limited(state="fenced", disarm=True)["state"] == "frozen"
    assert not (tmp_path / "started again").exists()


ORPHAN = """
import json, sys
from ansible_collections.dihya.migration.plugins.module_utils._postgres import freeze_module
freeze_module.run(json.load(sys.stdin), False)
"""
ROOT = pathlib.Path(__file__).parents[3]


def test_a_freeze_that_outlived_its_controller_is_ended_before_it_is_undone(server, limited, run, sshd, tmp_path, eventually, monkeypatch):
    before = normal(server)
    monkeypatch.setenv("PATH", f"{sshd.alias('app1', tmp_path / 'ssh')}:{os.environ['PATH']}")
    options = {"method": "revoke_connect", "keep_readers": False, "longest": 600, "lease_file": f"{tmp_path}/workers/pg_freeze-mover.lease",
               "on": "app1", "command": ["sh", "-c", f"echo $$ > {tmp_path}/stopping; sleep 60 & wait; touch {tmp_path}/stopped"]}
    source = {**run.options["source"], "password": None, "passfile": passfile(tmp_path, server)}
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, text=True, start_new_session=True,
                          env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"}) as orphan:
        json.dump({**run.options, **options, "source": source, "run_id": "r1"}, orphan.stdin)
        orphan.stdin.close()
        assert eventually((tmp_path / "stopping").exists)
        with pytest.raises(MigrationError, match="pg_freeze of run r1 still works"):
            limited(state="open", **options)
        assert [one["operation"] for one in end_workers(str(tmp_path), [])] == ["pg_freeze"]
    assert orphan.returncode != 0 and not (tmp_path / "stopped").exists()
    assert eventually(lambda: read_stat(int((tmp_path / "stopping").read_text())) is None)  # on that host too
    assert len(timers(tmp_path)) == 1  # what undoes the freeze if the rollback dies too
    with pytest.raises(MigrationError, match="ssh failed"):
        limited(state="open", undo=["false"], **options)
    assert len(timers(tmp_path)) == 1 and (tmp_path / "f" / "capture.json.guard.armed").exists()
    assert limited(state="open", **options)["changed"] and normal(server) == before and timers(tmp_path) == []
    assert (tmp_path / "started again").exists()
