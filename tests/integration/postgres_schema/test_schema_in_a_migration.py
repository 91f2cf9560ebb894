# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole migrations of one database whose schema is moved by a tool of its own, with no back end."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive

from dev.testing.turns import in_turn
from tests.integration.failures.conftest import Before, Intrusion, tells
from tests.support.java_tools import java_tool
from tests.support.move import Move
from tests.support.playbook import kill_with_forks

TOWN = "ALTER TABLE app.client ADD COLUMN town text;\nUPDATE app.client SET town = 'Tizi Ouzou' WHERE id < 10;\n"
COLUMNS = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'app' AND table_name = 'client'"


@pytest.fixture(name="files")
def fixture_files(move: Move) -> pathlib.Path:
    """The directory of the schema tool; the owner of the database is its user."""
    directory = move.directory / "schema"
    directory.mkdir()
    move.variables.update(postgresql_schema_path=str(directory), postgresql_schema_user=move.owner, postgresql_roles="{{ vault_roles }}",
                          postgresql_schema_changes=["app.client"], postgresql_schema_tool="sql", postgresql_drill=False)
    return directory


def facts(move: Move, verb: str) -> dict:
    """What the databases handed over at the end of ``verb``."""
    return [event["facts"] for event in move.events()
            if (event["stack"], event["verb"], event["status"]) == ("postgresql", verb, "ok")][-1]


@in_turn(0, of=2)  # at the others it moves a schema by the module alone
def test_flyway_moves_the_schema_after_the_proof_and_what_the_back_end_touches_then_is_told(move, files, run_module):
    (files / "V7__town.sql").write_text(TOWN + "CREATE TABLE app.visit (id int PRIMARY KEY);\n", encoding="utf-8")
    move.variables.update(postgresql_schema_tool="flyway", postgresql_schema_command=java_tool("flyway"))
    refused = move.run(postgresql_schema_path=str(files.with_name("nowhere")))
    assert refused.rc != 0 and "it must hold the files of flyway" in refused.output and move.outcome() == "refused", refused.output[-3000:]
    move.variables["postgresql_schema_changes"] += ["app.visit"]
    back_end = Intrusion(move)  # its own framework, which no module of ours runs
    back_end.plan("migrate", move.sites.target, ["CREATE INDEX by_town ON app.client (town)",
                                                     "CREATE VIEW app.town AS SELECT town FROM app.client",
                                                     f"GRANT UPDATE ON app.client TO {move.reader}",
                                                     f"GRANT USAGE ON SEQUENCE app.ticket TO {move.reader}"])
    done = back_end.run()
    assert (done.rc, move.outcome()) == (0, "ok"), done.output[-4000:]
    moved, verified = facts(move, "migrate"), facts(move, "verify")
    assert (moved["versions"][f"schema of {move.database} before"], moved["versions"][f"schema of {move.database} after"]) == ("none", "7")
    told = {entry["object"].partition(": ")[2] for entry in moved["explained"] if entry["rule"] == "schema_change"}
    assert told == {"app.client", "app.visit", "public.flyway_schema_history"}
    told = {entry["object"].partition(": ")[2] for entry in verified["explained"] if entry["rule"] == "schema_change"}
    assert told == {"rows of app.client (values)", "table app.client (definition)", "rows of app.visit (extra)", "table app.visit (extra)",
                    "rows of public.flyway_schema_history (extra)", "table public.flyway_schema_history (extra)", "view app.town (extra)",
                    "table app.client (privileges)", "sequence app.ticket (privileges)"}
    assert "view app.town (extra)" in move.report() and f"schema of {move.database} after" in move.report()
    assert move.sites.target.execute(COLUMNS, move.database) == [(3,)] and move.sites.source.execute(COLUMNS, move.database) == [(2,)]
    owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'visit'"
    assert move.sites.target.execute(owner, move.database) == [(move.owner,)]
    frozen = next(move.backup.glob("*/postgresql-frozen-*"))  # its digests came from the proof
    source = move.endpoint(move.sites.source, move.sites.source.password)
    known = run_module("pg_verify", manifest=str(frozen), target=source, databases=["all"], scope="rows")
    assert known.get("equal") and known["tables"] == 2, known
    assert move.leftovers() == []


@in_turn(1, of=2)
def test_rows_in_a_table_that_nobody_named_are_undone_and_what_was_interrupted_is_begun_from_the_restore(move, files, eventually):
    # This role was made beforehand with its password, which has another salt there.
    password = move.passwords[move.reader].replace("'", "''")
    move.sites.target.execute(f"CREATE ROLE {move.reader} LOGIN PASSWORD '{password}'")
    before = Before(move)
    (files / "1.sql").write_text(TOWN, encoding="utf-8")
    (files / "2.sql").write_text("UPDATE app.invoice SET amount = 0 WHERE id = 1;\n", encoding="utf-8")
    done = move.run()
    tells(move, done, "rows of app.invoice", "app.invoice")
    before.is_back()
    (files / "2.sql").write_text("SELECT pg_sleep(600);\n", encoding="utf-8")
    process = move.playbook.start("playbooks/migrate.yml", move.inventory(), move.secrets, output=move.directory / "first.log")
    sleeps = "SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep' AND state = 'active' AND pid <> pg_backend_pid()"
    assert eventually(lambda: move.sites.target.execute(sleeps), 240)
    kill_with_forks(process)
    worker = json.loads((move.work / "mover" / "workers" / "pg_schema-mover.lease").read_text(encoding="utf-8"))
    assert is_alive(worker), "the tool outlives its controller"
    (files / "2.sql").write_text("CREATE VIEW app.town AS SELECT town FROM app.client;\n", encoding="utf-8")
    dumps = sorted(move.backup.glob("*/postgresql-frozen-*"))
    move.sites.source.execute("ANALYZE", move.database)  # as autovacuum may at any time
    again = move.run()
    assert not is_alive(worker)
    assert (again.rc, move.outcome()) == (0, "ok"), again.output[-4000:]
    assert sorted(move.backup.glob("*/postgresql-frozen-*")) == dumps, "the dump of this freeze is not made twice"
    # The next attempt after a rollback succeeds.
    assert move.events()[-1]["attempt"] == 2 and "- Statut final : OK" in move.report()
    assert {"rule": "login_proved", "object": f"role {move.reader} (password)"} in facts(move, "migrate")["explained"]
    assert move.sites.target.execute("SELECT name FROM schema_files ORDER BY 1", move.database) == [("1.sql",), ("2.sql",)]
    # What Ansible itself kept on its controller died with it; of ours nothing is left.
    assert [path for path in move.leftovers() if "/controller/local/" not in path] == []
