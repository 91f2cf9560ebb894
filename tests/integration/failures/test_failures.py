# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must be seen to fail in a whole migration of a real database: it is found, undone, and told.

One changed byte: test_secrets.py. Written after the verification: test_pgbouncer.py.
"""

from __future__ import annotations

from tests.integration.failures.conftest import tells
from tests.support.move import equal_data
from tests.support.playbook import kill_with_forks

TABLE, SEQUENCE = "table app.client", "sequences"


def test_a_role_that_cannot_log_in_to_equal_databases_fails_the_verification(move, intrusion, before):
    move.variables["postgresql_roles"] = "{{ vault_roles }}"
    intrusion.plan("migrate", move.sites.target, [f"ALTER ROLE {move.owner} PASSWORD 'another one'"])
    done = intrusion.run()
    steps = [event["status"] for event in move.events() if (event["stack"], event["verb"]) == ("postgresql", "verify")]
    assert steps == ["started", "failed"]
    tells(move, done, f"role {move.owner} cannot log in", f"le rôle {move.owner} ne peut pas se connecter")
    assert f"role {move.reader} cannot" not in done.output
    before.is_back()


def test_a_row_of_an_owner_who_grants_himself_the_right_again_is_found_though_it_is_in_the_dump(move, intrusion, before):
    move.variables["postgresql_freeze"] = {"command": "true", "undo": "true", "keep_readers": True}
    insert = "INSERT INTO app.client (name) VALUES ('slipped in')"
    # A number that a sequence gave uses no transaction.
    intrusion.plan("freeze", move.sites.source, [
        "SET default_transaction_read_only = off", insert, "GRANT INSERT ON app.client TO CURRENT_USER", insert,
        "GRANT USAGE ON SEQUENCE app.ticket TO CURRENT_USER", "SELECT nextval('app.ticket')",
    ], move.owner, move.passwords[move.owner])
    done = intrusion.run()
    # Without the privilege he is refused; but an owner may always grant it.
    assert [code for code, _message in intrusion.refused()] == ["42501"]
    tells(move, done, "written to after the freeze", "après le gel : ")
    tells(move, done, "sequence app.ticket", "la séquence app.ticket")
    before.is_back(TABLE, SEQUENCE)


def test_a_target_that_dies_under_way_does_not_keep_the_source_closed(move, intrusion, before):
    target = move.sites.target
    pid = (target.directory / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    intrusion.order("before the proof", ["kill", "-QUIT", pid])
    try:
        done = intrusion.run()
        assert done.rc != 0
        assert move.outcome() == "rollback_incomplete", done.output[-4000:]
        assert {"stack": "postgresql", "host": "mover", "verdict": "failed"} in move.events()[-1]["facts"]["rollback"]
        assert "- Statut final : KO" in move.report()
        assert move.source_state() == before.source
        move.owner_writes()
    finally:
        target.start()
    # Once it is back, the explicit rollback owes it the rest.
    done = move.run("rollback")
    assert (done.rc, move.outcome()) == (0, "rolled_back"), done.output[-3000:]
    assert move.target_state() == before.target
    assert move.leftovers() == []


def test_a_controller_that_never_comes_back_leaves_a_source_that_takes_writes_again(move, intrusion, eventually):
    intrusion.order("verify", ["true"])
    # It is heard of no more: the limit of the freeze itself is far away.
    move.variables.update(migration_freeze_max=6000, migration_freeze_lease=8, postgresql_drill=False)
    state = move.work / "mover" / "postgresql" / "capture.json.state"
    process = move.playbook.start("playbooks/migrate.yml", move.inventory(), move.secrets, environment=intrusion.environment,
                                  output=move.directory / "first.log")
    assert eventually(lambda: state.exists() and '"frozen"' in state.read_text(encoding="utf-8"), 240)
    kill_with_forks(process)
    timer = state.with_name("capture.json.guard.sh").read_text(encoding="utf-8")
    for sign in (state.parents[1] / "workers" / "run.alive", move.directory / "state" / move.id / "head"):
        assert sign.exists() and f" {sign} " in timer
    assert eventually(state.with_name("capture.json.guard.reopened").exists, 60)
    move.owner_writes()
    status = move.run("status")
    assert status.rc == 0, status.output[-3000:]
    told = " ".join(status.output.split())  # what the last lines of that run would have said, had it been left to say them
    for part in ("its run was not heard of for migration_freeze_lease, and its timer opened the source again",
                 "Pourquoi : Interruption pendant l’étape", "Lignes perdues si retour arrière maintenant : aucune",
                 "Pour continuer : ansible-playbook playbooks/migrate.yml -i ",
                 "Pour revenir en arrière : ansible-playbook playbooks/rollback.yml -i ",
                 f"Sans Ansible, pour rouvrir l’ancien site : sh {state.parent}/reopen"):
        assert part in told, status.output[-3000:]
    # The next run is taken for dead by nobody while another host works for longer than that, of which the mover hears nothing.
    move.variables["migration_freeze_lease"] = 20
    intrusion.order("verify", ["sleep", "25"])
    beyond = {"beyond": {**move.mover, "migration_work_dir": str(move.work / "beyond")}}
    move.children.update(target={"hosts": beyond}, intruder={"hosts": {"beyond": None}})
    again = intrusion.run()
    assert again.rc == 0, again.output[-3000:]
    assert move.outcome() == "ok" and equal_data(move)
    report = move.report()  # no password of a role is given by default
    assert "postgresql : jamais restaurée à l'essai, postgresql_drill est false" in report, report
    assert "que la sauvegarde puisse être restaurée : postgresql_drill est false" in report, report
    assert all(f"connexion du rôle {role} : aucun mot de passe fourni" in report for role in (move.owner, move.reader)), report
    assert not list(state.parent.glob("*.guard*"))
