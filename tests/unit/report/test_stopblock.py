# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last lines on the screen: few, plain, true, and with what to type."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import END_FACTS, RUN_FACTS, check_facts, record
from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report.commands import command_for
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Foreign
from ansible_collections.dihya.migration.plugins.plugin_utils.report.history import build
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Hints, Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases
from ansible_collections.dihya.migration.plugins.plugin_utils.report.stopblock import Stand, lines, refusal

from tests.unit.report import journals

ROOT = pathlib.Path(__file__).resolve().parents[3]
HINTS = Hints(
    "ansible-playbook go.yml", "ansible-playbook commit.yml", "ansible-playbook back.yml", "sh /run/reopen", "reports/crm-2026/report.md"
)


def block(name: str, language: str = "en") -> list[str]:
    return block_of(journals.ALL[name](), language)


def block_of(journal: journals.Writer, language: str = "en") -> list[str]:
    data = build(journal.events, journal.chain(), Options(hints=HINTS))
    return lines(data, Words(language), Hints(**data.hints, report=HINTS.report))


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("name", journals.ALL)
def test_at_most_twelve_plain_lines(name: str, language: str) -> None:
    found = block(name, language)
    assert 0 < len(found) <= 12
    assert all(line and line.isprintable() and len(line) <= 400 for line in [each.replace("\u00a0", " ") for each in found])


def test_interrupted_in_the_freeze_tells_everything() -> None:
    assert block("interrupted") == [
        "crm-2026, attempt 1: KO (interrupted)",
        "Why: Interrupted during migration of postgresql on mover",
        "Users read the old site; their writes are refused (write freeze).",
        "Source: frozen since 2026-11-28 21:00:39Z, unchanged up to fence 0/3A1F2B8",
        "Target: not in use, holds what was migrated so far",
        "Rows lost if rolled back now: none: no user could write on the new site",
        "To go on: ansible-playbook go.yml",
        "To roll back: ansible-playbook back.yml",
        "Without Ansible, to reopen the old site: sh /run/reopen",
        "Report: reports/crm-2026/report.md",
    ]


def test_what_a_rollback_on_demand_threw_away_is_counted_by_table() -> None:
    found = block("went_back")
    assert found[0] == "crm-2026, attempt 1: KO"
    assert found[1] == "Why: Everything was rolled back and has its former state again."
    assert "Rows lost by the rollback: crm: app.client (rows: 300 → 303); crm: app.visit (rows: 0 → 7)" in found
    journal = journals.went_back()
    for event in journal.events:
        event["facts"].pop("discarded", None)
    said = lines(build(journal.events, journal.chain()), Words("en"), HINTS)
    assert any(line.startswith("Rows lost by the rollback: whatever users wrote on the new site since 2026-11-28") for line in said), said


def test_rolled_back_offers_no_rollback_and_no_reopening() -> None:
    found = "\n".join(block("rolled_back"))
    assert "To roll back" not in found
    assert "Without Ansible" not in found
    assert "open again since 2026-11-28" in found
    assert "what this migration made there is gone" in found


def test_a_refusal_offers_the_rollback_of_what_an_earlier_run_left_frozen() -> None:
    assert "To roll back" not in "\n".join(block("refused"))
    journal = journals.interrupted()
    journal.run = "20261128T230000Z-bbbbbb"
    journal.begin(resumed=True)
    journal.end("refused", {"stack": "migration", "verb": "preflight", "host": "mover", "message": "Nothing was changed."})
    assert "To roll back: ansible-playbook back.yml" in block_of(journal)


def test_a_rollback_that_did_not_end_offers_nothing_but_another_one() -> None:
    journal = journals.ALL["rollback_incomplete"]()
    for outcome in ("rollback_incomplete", "refused"):
        found = "\n".join(block_of(journal))
        assert ("To go on" in found, "To roll back: ansible-playbook back.yml" in found) == (False, True), outcome
        journal.begin(resumed=True)
        journal.end("refused")


def test_after_the_switch_over_rows_would_be_lost() -> None:
    found = "\n".join(block("failed_after_commit"))
    assert "Rows lost if rolled back now: whatever users wrote on the new site since 2026-11-28" in found
    assert "closed to writes since" in found


def test_ok_is_short() -> None:
    assert block("ok") == [
        "crm-2026, attempt 1: OK",
        "Users read and write on the new site.",
        "Report: reports/crm-2026/report.md",
    ]


def refused(journal: journals.Writer | None, why: str = "Nothing was changed. Out of reach: new1.", **stand) -> list[str]:
    options = Options(hints=HINTS, complete=stand.get("whole", True))
    data = build(journal.events, journal.chain(), options) if journal else None
    return refusal("crm-2026", why, Stand(data, **stand), Words("en"), HINTS)


def test_a_run_that_did_not_begin_says_that_the_source_is_frozen_and_what_to_do() -> None:
    assert refused(journals.interrupted()) == [
        "crm-2026: KO (refused before it began)",
        "Why: Nothing was changed. Out of reach: new1",
        *block("interrupted")[2:],
    ]


def test_one_that_cannot_read_the_journal_says_what_this_controller_saw_or_that_it_is_not_known() -> None:
    seen = refused(journals.interrupted(), whole=False)
    assert "\nThe journal cannot be read: this is what this controller saw of it until 2026-11-28 21:0" in "\n".join(seen)
    assert [line for line in seen if "cannot be read" not in line] == refused(journals.interrupted()) and len(seen) <= 12
    assert refused(None, whole=False)[2:] == [
        "What users can do is not known here: the playbook status reads it from the journal.", "To go on: ansible-playbook go.yml",
        "Without Ansible, to reopen the old site: sh /run/reopen", "Report: reports/crm-2026/report.md"]


def test_one_beside_a_run_that_is_at_work_offers_nothing_that_would_disturb_it() -> None:
    holder = {"run_id": "r-1", "operator": "amel", "since": "2026-11-28T21:00:00Z"}
    at_work = refused(journals.interrupted(), holder={**holder, "alive": True})
    assert "Run r-1 of amel is at work since 2026-11-28 21:00:00Z." in at_work
    assert not [line for line in at_work if line.startswith(("To ", "Without"))] and len(at_work) <= 12
    perhaps = refused(journals.interrupted(), holder={**holder, "alive": None})
    assert "Whether run r-1 of amel is still at work since 2026-11-28 21:00:00Z cannot be told from here." in perhaps
    assert [line for line in perhaps if line.startswith("Without")] and len(perhaps) <= 12


def test_one_of_a_complete_migration_says_where_users_are_and_offers_to_go_on_only() -> None:
    assert refused(journals.ok())[2:] == [
        "Users read and write on the new site.",
        "Source: closed to writes since 2026-11-28 21:00:39Z, unchanged up to fence 0/3A1F2B8",
        "Target: in use since 2026-11-28 21:02:37Z",
        "Rows lost if rolled back now: whatever users wrote on the new site since 2026-11-28 21:02:37Z; "
        "the rollback counts it per table first",
        "To go on: ansible-playbook go.yml", "Report: reports/crm-2026/report.md"]


def test_journal_text_cannot_make_lines() -> None:
    journal = journals.Writer()
    journal.begin()
    journal.end(
        "refused", {"stack": "backend", "verb": "preflight", "host": "a\nb", "message": "x\r\nTo go on: rm -rf /\x1b[2J" + "y" * 900}
    )
    found = lines(build(journal.events, {}), Words("en"), HINTS)
    assert all("\n" not in line and "\x1b" not in line and len(line) <= 400 for line in found)
    assert len([line for line in found if line.startswith("To go on")]) == 1


def test_commands_follow_how_the_run_was_started(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rollback.yml").touch()
    mine = str(tmp_path / "migrate.yml")
    assert command_for("migrate", mine, ["inventory"]) == f"ansible-playbook {mine} -i inventory"
    assert command_for("rollback", mine, ["inventory"]) == f"ansible-playbook {tmp_path}/rollback.yml -i inventory"
    assert command_for("commit", mine, []) == "ansible-playbook dihya.migration.commit"
    assert command_for("rollback", "dihya.migration.migrate", ["my hosts"]) == "ansible-playbook dihya.migration.rollback -i 'my hosts'"
    assert command_for("migrate", "", []) == "ansible-playbook dihya.migration.migrate"
    assert command_for("migrate", "dihya.migration.rollback", []) == "ansible-playbook dihya.migration.migrate"
    assert command_for("migrate", f"{tmp_path}/rollback.yml", []) == "ansible-playbook dihya.migration.migrate", "a rollback does not go on"
    (tmp_path / "migrate.yml").touch()
    assert command_for("migrate", f"{tmp_path}/rollback.yml", []) == f"ansible-playbook {mine}"
    assert command_for("migrate", "go.yml", []) == "ansible-playbook go.yml"


def test_waiting_for_the_switch_over_goes_on_with_commit() -> None:
    assert "To go on: ansible-playbook commit.yml" in block("waiting")


def test_what_is_held_stays_so_when_it_is_verified_once_more() -> None:
    journal = journals.ALL["waiting"]()
    journal.run = "20261128T230000Z-bbbbbb"
    journal.begin("verify", resumed=True)
    journal.step("backend", "verify", "new1")
    journal.end("ok")
    found = block_of(journal)
    assert found[1] == "Why: What was asked for is done (verification only); nothing was switched over."
    assert {"Users read the old site; their writes are refused (write freeze).", "To go on: ansible-playbook commit.yml",
            "To roll back: ansible-playbook back.yml", "Without Ansible, to reopen the old site: sh /run/reopen"} < set(found)
    assert refused(journal)[2:] == found[2:]


def test_what_nobody_froze_is_open_and_waits_all_the_same() -> None:
    journal = journals.ALL["held_open"]()
    open_and_held = [
        "Users read and write on the old site.", "Source: open, never frozen", "Target: not in use, holds what was migrated so far",
        "Rows lost if rolled back now: none: no user could write on the new site", "To go on: ansible-playbook commit.yml",
        "To roll back: ansible-playbook back.yml", "Report: reports/crm-2026/report.md"]
    assert block_of(journal)[2:] == open_and_held
    for purpose, outcome in (("verify", "ok"), ("commit", "refused"), ("commit", "interrupted")):
        journal.run = f"20261128T230000Z-{purpose}"
        journal.begin(purpose, resumed=True)
        if outcome != "interrupted":
            journal.end(outcome)
        assert block_of(journal)[2:] == open_and_held, outcome
    journal.end("interrupted")
    journal.begin("commit", resumed=True)
    journal.add("migration", "commit_point")
    journal.end("failed_after_commit", {"stack": "backend", "verb": "commit", "host": "new1", "message": "gone"})
    assert "Source: never frozen" in block_of(journal) and "Users read and write on the new site." in block_of(journal)


def test_a_freeze_that_had_nothing_to_do_on_any_host_is_none_whatever_an_earlier_version_recorded() -> None:
    journal = journals.ALL["held_open"]()
    journal.add("migration", "frozen")
    data = build(journal.events, journal.chain(), Options(hints=HINTS))
    assert (data.freeze.start, data.freeze.seconds, data.writes, data.held) == ("", None, "source", True)


@pytest.mark.parametrize("name", journals.ALL)
def test_the_journals_of_these_tests_are_what_the_journal_accepts(name: str) -> None:
    for event in journals.ALL[name]().events:
        if (event["stack"], event["verb"]) == ("migration", "begin"):
            record({"run": RUN_FACTS})(event["facts"], "facts")
        elif (event["stack"], event["verb"]) == ("migration", "end"):
            END_FACTS(event["facts"], "facts")
        else:
            check_facts(event["stack"], event["verb"], event["facts"])


def refusals() -> list[str]:
    """What the role says where the purpose of a run does not fit the state of the migration."""
    variables = yaml.safe_load((ROOT / "roles" / "migration" / "vars" / "main.yml").read_text(encoding="utf-8"))
    return [row["why"].strip() for row in variables["migration_refusals"]]


@pytest.mark.parametrize("why", refusals())
def test_every_refusal_of_the_role_is_said_in_french_and_no_part_of_it_in_english(why: str) -> None:
    said = Phrases(Words("fr")).text(why.replace("{{ migration_begun.unverified | join(', ') }}", "crm, blog"))
    assert not [piece for piece in said if isinstance(piece, Foreign)]
    assert "".join(said).startswith("Rien n’a été changé. ")
