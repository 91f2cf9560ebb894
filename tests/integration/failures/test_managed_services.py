# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole audited migration between services that give nobody a superuser: plain logins on both sides."""

from __future__ import annotations

import hashlib
import tempfile
from typing import Any

import pytest

from tests.support.move import Move, equal_data

LOGIN = "CREATE ROLE migrator LOGIN CREATEROLE CREATEDB PASSWORD 'canary-migrator'"


def audited(move: Move, second: str) -> dict[str, Any]:
    """What people have to say, and where the backup lies a second time; the rest has to be proved by the run."""
    document = move.directory / "runbook.md"
    document.write_text("the way back", encoding="utf-8")
    stated = {"who": "Lila", "when": "2026-11-20", "document": str(document), "sha256": hashlib.sha256(document.read_bytes()).hexdigest()}
    return {
        "migration_profile": "audited", "migration_backup_copies": [{"path": second}],
        "migration_window": {"start": "2020-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"},
        "migration_attestations": [{"item": item, **stated} for item in ("documentation", "notification", "compliance")],
        "migration_waivers": [{"item": "rehearsal", "who": "Lila", "why": "it is small", "until": "2999-01-01"}],
    }


@pytest.fixture(name="story", scope="module")
def fixture_story(sites, tmp_path_factory):
    """One migration, told from test to test, and both servers before it."""
    move = Move(sites, tmp_path_factory.mktemp("managed"), "managed").fill()
    source, target = sites.source, sites.target
    for statement in (LOGIN, f"GRANT {move.owner}, {move.reader} TO migrator", f"ALTER ROLE {move.reader} SET log_statement TO 'all'"):
        source.execute(statement)
    target.execute(LOGIN)
    target.execute("CREATE ROLE stranger LOGIN")
    move.secrets.update(vault_source="canary-migrator", vault_target="canary-migrator")
    for side in ("source", "target"):
        move.variables[f"postgresql_{side}"]["user"] = "migrator"
    move.variables.update(postgresql_roles={move.owner: "{{ vault_roles[test_owner] }}"}, test_owner=move.owner,
                          postgresql_drill="scratch", migration_commit="hold")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as second:  # another file system, without which it counts for nothing
        move.variables.update(audited(move, second))
        yield move, (move.source_state(), move.target_state())
    sites.clear()


def test_a_plan_tells_what_would_move_and_changes_nothing(story):
    move, before = story
    plan = move.run(arguments=["--check", "--diff"])
    assert plan.rc == 0, plan.output[-3000:]
    said = " ".join(plan.output.partition("TASK [dihya.migration.migration : Show the plan]")[2].split())
    way = " -> ".join(f"{move.variables[f'postgresql_{side}']['host']}:{getattr(move.sites, side).port}" for side in ("source", "target"))
    for part in ("postgresql: database managed, 2 tables, ", f", {way}, about ", "restore drill of the backup, before the freeze"):
        assert part in said, plan.output[-3000:]
    assert (move.source_state(), move.target_state()) == before
    assert (move.events(), move.leftovers(), list(move.backup.glob("**/*"))) == ([], [], [])


def test_an_audited_migration_is_proved_and_reported_and_waits_at_its_hold(story):
    move, _before = story
    run = move.run()
    assert run.rc == 0, run.output[-3000:]
    assert move.outcome() == "waiting" and equal_data(move)
    report = move.report()
    for part in ("rôle postgres, qui appartient au service", f"paramètre log_statement du rôle {move.reader}",
                 f"mot de passe du rôle {move.reader} : à définir à nouveau",
                 f"connexion du rôle {move.reader} : aucun mot de passe fourni", "le silence du journal du serveur cible"):
        assert part in report, report
    weighed = [event["facts"]["checklist"] for event in move.events() if event["verb"] == "checklist"]
    verdicts = [{one["item"]: one["verdict"] for one in items} for items in weighed]
    later = {"backup": "not_demonstrated", "rollback_plan": "not_demonstrated"}
    assert verdicts[-1] == {**dict.fromkeys(("backup", "access", "rollback_plan", "window"), "proved"), "rehearsal": "waived",
                            **dict.fromkeys(("documentation", "notification", "compliance"), "attested")}
    assert verdicts[0] == {**verdicts[-1], **later}
    # What proves them came from the modules that did it.
    observed = {one["item"]: one["observed"] for one in weighed[-1]}
    for item, part in (("backup", "every table digested"), ("backup", "second copy of postgresql: on another file system"),
                       ("access", "commands run as uid="), ("access", "migrator logged in to"),
                       ("rollback_plan", "under scratch names on the target and compared (")):
        assert part in observed[item], observed
    assert f"connexion du rôle {move.owner}" not in report and "connexion du rôle stranger" not in report, report


def test_what_waits_is_verified_again_and_committed(story):
    move, _before = story
    verified = move.run("verify")
    assert (verified.rc, move.outcome()) == (0, "ok"), verified.output[-3000:]
    committed = move.run("commit")
    assert (committed.rc, move.outcome()) == (0, "ok"), committed.output[-3000:]
    assert equal_data(move) and "- Statut final : OK" in move.report()


def test_rows_written_since_the_commit_are_counted_before_a_rollback_throws_them_away(story):
    move, before = story
    move.sites.target.execute("INSERT INTO app.client (name) SELECT 'after the commit' FROM generate_series(1, 3);"
                              " UPDATE app.invoice SET amount = 0 WHERE id = 1", move.database)
    again = move.run("verify")  # logins and definitions; rows are the clients' own now
    assert (again.rc, move.outcome()) == (0, "ok"), again.output[-3000:]
    assert "lignes des bases : les clients y écrivent" in move.report().replace("\u00a0", " ")
    back = move.run("rollback", migration_restore_data=True)
    assert (back.rc, move.outcome()) == (0, "rolled_back"), back.output[-3000:]
    (removed,) = [event["facts"] for event in move.events() if "discarded" in event["facts"]]
    assert removed["discarded"] == [{"object": "managed: app.client", "before": 300, "after": 303},
                                    {"object": "managed: app.invoice", "before": 500, "after": 500}]
    lost = "managed: app.client (lignes : 300 → 303) ; managed: app.invoice (lignes : 500 → 500)"
    assert f"Lignes perdues par le retour arrière : {lost}" in back.output.replace("\u00a0", " "), back.output[-3000:]
    assert lost in move.report()
    assert (move.source_state(), move.target_state()) == before
    assert move.leftovers() == []
