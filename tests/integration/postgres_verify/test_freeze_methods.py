# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Freezes by lines of a real server's pg_hba.conf and by a real PgBouncer, and the way back from both."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess

import psycopg2
import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres import freeze_methods

from demo.postgres_server import HOST
from tests.integration.postgres_verify.support import normal, passfile
from tests.support.bouncer import CONSOLE, Bouncer

HBA = {"method": "pg_hba", "keep_readers": False, "command": None, "undo": None, "settle": 3}


@pytest.fixture(name="rules")
def fixture_rules(server):
    """The server's pg_hba.conf, which must be as before after each test, to the byte, owner and mode."""
    path = server.directory / "pg_hba.conf"
    before, status = path.read_bytes(), path.stat()
    yield path
    after = path.stat()
    assert (path.read_bytes(), after.st_uid, after.st_mode) == (before, status.st_uid, status.st_mode)
    assert not [name for name in os.listdir(path.parent) if name.startswith("pg_hba.conf.")]


def refused(server) -> str:
    """What the server tells an application that connects."""
    with pytest.raises(psycopg2.Error) as error:
        server.connect("frozen", "crm_app", "app-secret")
    return str(error.value)


def test_rejected_roles_lose_their_sessions_and_cannot_begin_one_until_the_file_is_as_before(server, run, rules):
    before, session = normal(server), server.connect("frozen", "crm_app", "app-secret")
    tried = run(check_mode=True, **HBA)
    assert any(line.startswith("reject ") and str(rules) in line for line in tried["statements"]) and normal(server) == before
    assert run(**HBA)["state"] == "frozen"
    with pytest.raises(psycopg2.Error):
        session.cursor().execute("SELECT 1")
    assert "pg_hba.conf rejects connection" in refused(server)
    server.connect("postgres", "crm_app", "app-secret").close()  # other databases are nobody's business
    assert not run(**HBA)["changed"] and run(state="fenced", **HBA)["state"] == "frozen"
    assert run(state="open", **HBA)["changed"] and normal(server) == before
    server.connect("frozen", "crm_app", "app-secret").close()


def test_the_script_takes_the_lines_away_without_ansible(server, run, rules, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "PGPASSFILE": passfile(tmp_path, server)}
    run(**HBA)
    for _twice in range(2):
        subprocess.run(["sh", str(tmp_path / "f" / "reopen")], env=environment, check=True)
        server.connect("frozen", "crm_app", "app-secret").close()
    run(state="open", **HBA)


def test_a_user_that_may_not_signal_the_server_is_found_out_before_anything_changes(run, rules, tmp_path, monkeypatch):
    (tmp_path / "postmaster.pid").write_text("999999999\n")  # not in its own file: it looks there every minute, and ends
    monkeypatch.setattr(freeze_methods, "FILES", f"SELECT current_setting('hba_file') AS hba, '{tmp_path}' AS data")
    with pytest.raises(MigrationError, match="could not be tried here: reject"):
        run(check_mode=True, **HBA)


def options(bouncer: Bouncer, **changes) -> dict:
    """A freeze through its console."""
    console = {**bouncer.console(), "passfile": None, "sslrootcert": None, **changes}
    return {"method": "pgbouncer", "keep_readers": False, "command": None, "undo": None, "settle": 2, "pgbouncer": console}


def ask(bouncer: Bouncer) -> int:
    """A client's question, which waits while PgBouncer pauses."""
    return bouncer.ask("SELECT count(*) FROM crm.customer")


@pytest.fixture(name="bouncer")
def fixture_bouncer(server):
    """PgBouncer with an idle connection to the server."""
    bouncer = Bouncer(server.port, "frozen", ("crm_app", "app-secret"))
    try:
        assert ask(bouncer) == 2500
        yield bouncer
    finally:
        bouncer.stop()


def test_clients_of_pgbouncer_wait_during_the_freeze_and_are_answered_after_it(server, run, bouncer):
    before = normal(server)
    tried = run(check_mode=True, **options(bouncer))
    assert f"PAUSE shop in PgBouncer at {HOST}:{bouncer.port}" in tried["statements"] and ask(bouncer) == 2500
    frozen = run(**options(bouncer))
    assert frozen["state"] == "frozen" and frozen["clients"] == [] and CONSOLE not in str(frozen)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, bouncer)
        assert run(state="fenced", **options(bouncer))["state"] == "frozen" and not run(**options(bouncer))["changed"]
        assert not waiting.done()
        assert run(state="open", **options(bouncer))["changed"]
        assert waiting.result(20) == 2500
    assert normal(server) == before


def test_the_script_resumes_pgbouncer_without_ansible(server, run, bouncer, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "PGPASSFILE": passfile(tmp_path, server, f"console:{CONSOLE}")}
    run(**options(bouncer))
    script = tmp_path / "f" / "reopen"
    assert CONSOLE not in script.read_text()
    for _twice in range(2):
        subprocess.run(["sh", str(script)], env=environment, check=True)
        assert ask(bouncer) == 2500
    run(state="open", **options(bouncer))


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"databases": ["frozen"]}, {"port": 1}])
def test_a_console_that_does_not_answer_or_does_not_know_the_database_is_found_out_before_anything_changes(run, bouncer, changes):
    with pytest.raises(MigrationError, match="could not be tried here: PAUSE"):
        run(check_mode=True, **options(bouncer, **changes))
    assert ask(bouncer) == 2500


def test_a_client_that_does_not_come_through_pgbouncer_is_named(server, run, bouncer):
    session = server.connect("frozen", "crm_app", "app-secret")
    with pytest.raises(MigrationError, match="user crm_app"):
        run(**options(bouncer))
    session.close()
    assert run(state="open", **options(bouncer))["changed"] and ask(bouncer) == 2500
