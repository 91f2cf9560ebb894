# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A freeze stops writers, is undone exactly, and every write behind its back is seen by the fence."""

from __future__ import annotations

import contextlib
import shutil
import stat
import subprocess

import psycopg2
import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._postgres import fence, freeze, freeze_module, privileges
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.verify import VerifyRequest, verify

from demo.postgres_server import HOST
from tests.integration.postgres_verify.support import FRAME, as_application, die, endpoint_of, normal, passfile


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


def test_the_application_goes_on_although_the_server_refuses_to_open_everything(server, run, tmp_path):
    before = normal(server)
    run()
    server.execute("CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF current_query() ~ 'purchase' THEN "
                   "RAISE 'no'; END IF; END $$; CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()", "frozen")
    try:
        with pytest.raises(MigrationError, match="not be opened in full, but its application was started all the same: in database frozen"):
            run(state="open")
        assert (tmp_path / "started again").exists()
        as_application(server, "UPDATE crm.customer SET amount = amount WHERE id = 1")  # what could be undone was
        with pytest.raises(psycopg2.Error):
            as_application(server, "DELETE FROM crm.purchase")
    finally:
        server.execute("DROP EVENT TRIGGER refuse; DROP FUNCTION refuse", "frozen")
    assert run(state="open")["changed"] and normal(server) == before


def test_revoking_connect_ends_sessions_of_a_database_of_any_name_and_is_undone_exactly(server, run, tmp_path):
    name = 'o\'dd "name" a=b 100%s\n\tⵣ é'
    quoted = '"' + name.replace('"', '""') + '"'
    options = {"databases": [name], "method": "revoke_connect", "keep_readers": False, "command": None, "undo": None}
    server.execute(f"CREATE DATABASE {quoted}")
    try:
        server.execute(FRAME.format(quoted))
        before, session = capture(endpoint_of(server), [name]), server.connect(name, "crm_app", "app-secret")
        run(**options)
        assert run(state="fenced", **options)["explained"] == []
        with pytest.raises(psycopg2.Error):
            session.cursor().execute("SELECT 1")
        with pytest.raises(psycopg2.Error, match="permission denied for database"):
            server.connect(name, "crm_app", "app-secret")
        frozen = capture(endpoint_of(server), [name])
        subprocess.run(["sh", str(tmp_path / "f" / "reopen")], env={"PATH": "/usr/bin:/bin", "PGPASSFILE": passfile(tmp_path, server)},
                       check=True)
        assert capture(endpoint_of(server), [name]) == before != frozen
        server.execute(f"REVOKE CONNECT ON DATABASE {quoted} FROM crm_app")
        assert run(state="open", **options)["changed"] and capture(endpoint_of(server), [name]) == before
    finally:
        server.execute(f"DROP DATABASE {quoted} WITH (FORCE)")


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


@pytest.mark.parametrize(("meanwhile", "explained"), [
    (["INSERT INTO crm.quick VALUES (78)"], False), (["SELECT nextval('crm.numbers')"], False),
    (["ANALYZE crm.customer"], True), (["ANALYZE crm.customer"] * 3, False)],
    ids=["a row", "a sequence", "maintenance", "maintenance without end"])
def test_what_is_written_while_the_rows_are_proved_again_is_not_taken_for_proved(server, run, tmp_path, monkeypatch, meanwhile, explained):
    def digest(*arguments, **options):
        found = digest_database(*arguments, **options)
        if meanwhile:
            server.execute(meanwhile.pop(), "frozen")  # behind the snapshot that was read
        return found

    digest_database, proof = freeze_module.digest_database, {"state": "fenced", "proof": str(tmp_path / "digests.json")}
    run.options.update(method="revoke_connect", command=None, undo=None)
    server.execute("SELECT nextval('crm.numbers')", "frozen")  # what follows is logged ahead
    run()
    verify(VerifyRequest(source=endpoint_of(server), target=endpoint_of(server), databases=["frozen"], digest_file=proof["proof"]))
    server.execute("ANALYZE crm.customer", "frozen")
    monkeypatch.setattr(freeze_module, "digest_database", digest)
    try:
        with contextlib.nullcontext() if explained else pytest.raises(MigrationError, match="was written to after the freeze"):
            result = run(**proof)
            assert [one["rule"] for one in result["explained"]] == ["fence_moved_rows_equal"]
            assert result["fence"]["value"] == fence.read_fence(endpoint_of(server), ["frozen"], "dihya/test/freeze")["value"]
    finally:
        server.execute("DELETE FROM crm.quick WHERE v = 78", "frozen")


def test_where_definitions_cannot_be_read_maintenance_is_explained_and_nothing_else(server, run, new_database, tmp_path):
    name = new_database(server, options="TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    server.execute("CREATE TABLE t AS SELECT 1 AS a", name)
    server.execute("DO $$ BEGIN EXECUTE format('COMMENT ON TABLE t IS %L', convert_from('\\x61e9'::bytea, 'SQL_ASCII')); END $$", name)
    run.options.update(databases=[name], method="revoke_connect", command=None, undo=None, keep_readers=False)
    run()
    digests = str(tmp_path / "digests.json")
    verify(VerifyRequest(source=endpoint_of(server), target=endpoint_of(server), databases=[name], digest_file=digests))
    server.execute("ANALYZE t", name)
    assert [one["rule"] for one in run(state="fenced", proof=digests)["explained"]] == ["fence_moved_by_maintenance"]
    server.execute("CREATE INDEX late ON t (a)", name)
    with pytest.raises(MigrationError, match="was written to after the freeze"):
        run(state="fenced", proof=digests)
    run(state="open")


def test_a_transaction_that_still_writes_is_ended_or_refused(server, run):
    application, superuser = server.connect("frozen", "crm_app", "app-secret"), server.connect("frozen")
    with application.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE crm.customer SET amount = 0 WHERE id = 1")
    run(settle=2)
    with pytest.raises(psycopg2.Error):
        application.cursor().execute("COMMIT")
    run(state="open")
    with superuser.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE crm.customer SET amount = 0 WHERE id = 1")
    with pytest.raises(MigrationError, match="still writes"):
        run(settle=0.1)
    superuser.close()


def test_clients_that_stay_are_named(server, run, eventually):
    session = server.connect("frozen", "crm_app", "app-secret")
    with pytest.raises(MigrationError, match="user crm_app") as failure:
        run(keep_readers=False)
    assert failure.value.facts["clients"][0]["sessions"] == 1
    session.close()
    assert eventually(lambda: server.execute("SELECT 1 FROM pg_stat_activity WHERE usename = 'crm_app'") == [])
    with contextlib.closing(server.connect("frozen")):
        listed = run(keep_readers=False, other_clients="list")["clients"]
    assert [(one["user"], one["superuser"], one["sessions"]) for one in listed] == [("postgres", True, 1)]
    assert eventually(lambda: run(keep_readers=False, other_clients="list")["clients"] == [])
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
