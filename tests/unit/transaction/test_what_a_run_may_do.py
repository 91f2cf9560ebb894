# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role migration makes of the journal's answers: what may be undone by itself, and which runs are refused."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.dihya.migration.plugins.module_utils._journal import resume

from tests.unit.journal.test_journal_resume import DONE, HELD, INTERRUPTED, KILLED, PARTLY, ROLLED_BACK, journal

ROLE = pathlib.Path(__file__).parents[3] / "roles" / "migration"


def ask(name: str, **given: Any) -> Any:
    """The variable ``name`` of the role, where the variables ``given`` hold."""
    loader, variables = DataLoader(), {}
    for part in ("defaults", "vars"):
        variables.update(loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True))
    variables.update({"ansible_check_mode": False, "migration_purpose": "migrate", **given})
    return Templar(loader, variables).resolve_variable_expression(name)


BEFORE, BEHIND, DEAD = {"past_commit_point": False}, {"past_commit_point": True}, {"unreachable": True}
COMMITTED = {
    # name: what begin, the last record and that of the failure said, the phase that was reached, expected
    "failed on its way": (BEFORE, BEFORE, BEFORE, "migrate", False),
    "failed behind the commit point": (BEFORE, BEHIND, BEHIND, "commit", True),
    "the record of the failure found it": (BEFORE, {"failed": True}, BEHIND, "commit", True),
    "committed by an earlier run": (BEHIND, None, None, "preflight", True),
    "not one record yet": (BEFORE, None, None, "preflight", False),
    "the journal cannot be written": (BEFORE, {"failed": True, **BEFORE}, {"failed": True, **BEFORE}, "commit", False),
    "the journal is out of reach in the commit": (BEFORE, DEAD, DEAD, "commit", True),
    "the journal is out of reach, perhaps by the record of the commit point": (BEFORE, DEAD, {"skipped": True}, "verify", True),
    "the journal is out of reach in the migration": (BEFORE, DEAD, DEAD, "migrate", False),
}


@pytest.mark.parametrize("name", COMMITTED)
def test_what_is_committed_or_in_doubt_is_not_undone_by_itself(name: str) -> None:
    begun, recorded, failure, reached, expected = COMMITTED[name]
    told = {"migration_begun": begun, "migration_recorded": recorded, "migration_recorded_failure": failure, "migration_reached": reached}
    assert ask("migration_committed", **{key: value for key, value in told.items() if value is not None}) is expected


def test_a_resumed_run_holds_the_plan_on_record_against_the_window() -> None:
    known = {"ansible_play_hosts_all": ["mover"], "hostvars": {"mover": {}}, "migration_begun": {"plan_seconds": 7200.0}}
    assert ask("migration_plan_seconds", **known) == 7200
    known["hostvars"] = {"mover": {"migration_plan": [{"seconds": 40.0}, {"seconds": 2.5}]}}
    assert ask("migration_plan_seconds", **known) == 42.5


@pytest.mark.parametrize(("stacks", "script"), [
    (["postgresql", "traffic"], "sh /work/postgresql/reopen"), ("postgresql", "sh /work/postgresql/reopen"), (["jobs", "frontend"], ""),
    (5, ""),
])
def test_the_script_that_reopens_the_old_site_is_named_only_where_databases_are_frozen(stacks: Any, script: str) -> None:
    hosts = {"groups": {}, "hostvars": {"mover": {"migration_work_dir": "/work"}}}
    assert ask("migration_reopen", migration_stacks=stacks, **hosts) == script


def refusal(purpose: str, *lines: str, **given: Any) -> str:
    """Why a run of ``purpose`` is refused after what the journal says in ``lines``, empty when it may begin."""
    begun = resume.situation(journal(*lines), purpose, ["pg"])
    return ask("migration_refusal", **{"migration_restore_data": False, **given}, migration_begun=begun, migration_purpose=purpose)


def test_behind_the_commit_point_a_rollback_has_to_be_meant() -> None:
    assert "-e migration_restore_data=true" in refusal("rollback", *DONE)
    assert refusal("rollback", *DONE, migration_restore_data=True) == ""


def test_a_held_migration_is_committed_only_after_its_last_verification_was_ok() -> None:
    again = (*HELD, "begin r2 verify", "pg.verify started r2")
    assert refusal("commit", *HELD) == ""
    for lines in (again, (*again, "pg.verify failed r2", "end r2 refused")):
        why = refusal("commit", *lines)
        assert "pg on mover" in why and "verify.yml" in why and "rollback.yml" in why, why
    again = (*again, "pg.verify failed r2", "end r2 refused", "begin r3 commit", "end r3 refused")
    assert refusal("verify", *again) == "" and "pg on mover" in refusal("commit", *again), "a refusal changes nothing"
    again = (*again, "begin r2 verify", "pg.verify started r2")
    assert refusal("commit", *again, "pg.verify ok r2", "end r2 ok") == ""


def test_a_commit_that_was_killed_again_and_again_before_the_commit_point_can_still_be_made_or_verified() -> None:
    for lines in ((*HELD, *KILLED[:-1]), (*HELD, *KILLED, *KILLED)):
        assert (refusal("commit", *lines), refusal("verify", *lines)) == ("", ""), lines
    assert "The source is fenced" in refusal("backup", *HELD, *KILLED)


@pytest.mark.parametrize("before", [DONE, HELD])
def test_after_a_rollback_that_did_not_end_nothing_else_begins(before: tuple[str, ...]) -> None:
    for purpose in ("migrate", "backup", "verify", "commit"):
        assert "Run rollback.yml until it does" in refusal(purpose, *before, *PARTLY)
    assert refusal("rollback", *before, *PARTLY, migration_restore_data=True) == ""
    # A rollback of which not one step could be put on record:
    assert "Run rollback.yml until it does" in refusal("migrate", *before[:-1], "end r1 rollback_incomplete")


def test_a_migrated_target_can_be_verified_and_its_source_is_backed_up_no_more() -> None:
    verified = (*DONE, "begin r2 verify", "pg.verify started r2", "pg.verify failed r2", "end r2 refused")
    for lines, migrated in ((DONE, True), (verified, True), (HELD, True), ((), False), (INTERRUPTED, False), (ROLLED_BACK, False)):
        assert (refusal("verify", *lines) == "", "The source is fenced" in refusal("backup", *lines)) == (migrated, migrated), lines
