# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole migration between services that give nobody a superuser: plain logins on both sides."""

from __future__ import annotations

from tests.support.move import equal_data

LOGIN = "CREATE ROLE migrator LOGIN CREATEROLE CREATEDB PASSWORD 'canary-migrator'"


def test_a_migration_with_plain_logins_is_proved_reported_and_rolled_back(move):
    source, target = move.sites.source, move.sites.target
    for statement in (LOGIN, f"GRANT {move.owner}, {move.reader} TO migrator", f"ALTER ROLE {move.reader} SET log_statement TO 'all'"):
        source.execute(statement)
    target.execute(LOGIN)
    move.secrets.update(vault_source="canary-migrator", vault_target="canary-migrator")
    for side in ("source", "target"):
        move.variables[f"postgresql_{side}"]["user"] = "migrator"
    move.variables.update(postgresql_roles={move.owner: "{{ vault_roles[test_owner] }}"}, test_owner=move.owner,
                          postgresql_drill="scratch", migration_commit="hold")
    before = move.source_state(), move.target_state()

    run = move.run()
    assert run.rc == 0, run.output[-3000:]
    assert move.outcome() == "waiting" and equal_data(move)
    report = move.report()
    for part in ("rôle postgres, qui appartient au service", f"paramètre log_statement du rôle {move.reader}",
                 f"mot de passe du rôle {move.reader} : à définir à nouveau"):
        assert part in report, report

    assert move.run("rollback").rc == 0
    assert (move.source_state(), move.target_state()) == before
    assert move.leftovers() == []
