# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The evidence of a journal is what was seen last at each place, and nothing that a later look replaced."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.dihya.migration.plugins.filter.checklist_evidence import checklist_evidence
from ansible_collections.dihya.migration.plugins.module_utils._checklist.weigh import Inputs, weigh

NOW = datetime.datetime(2026, 11, 28, 21, 0, tzinfo=datetime.timezone.utc)
STACKS = ["pg", "web"]
REFUSED = {"item": "access", "verdict": "failed", "observed": "a login lacks privileges, see the findings"}
MENDED = {"item": "access", "verdict": "proved", "observed": "migrator logged in"}
WHOLE = {"item": "backup", "verdict": "proved", "observed": "copy of web"}


def event(what: str, status: str = "ok", *evidence: dict[str, Any], host: str = "mover", attempt: int = 1, **facts: Any) -> dict[str, Any]:
    stack, verb = what.split(".")
    return {"attempt": attempt, "stack": stack, "verb": verb, "host": host, "status": status,
            "facts": {**facts, **({"evidence": list(evidence)} if evidence else {})}}


def verdict(events: list[dict[str, Any]], item: str = "access") -> str:
    """What the checklist makes of ``events``."""
    entries = [entry for entry in checklist_evidence(events, 1, STACKS) if entry["item"] == item]
    return next(row["verdict"] for row in weigh(Inputs(now=NOW, facts={item: entries}), lambda path: None)["items"] if row["item"] == item)


def test_a_run_that_was_refused_for_rights_passes_once_they_are_granted_and_is_refused_when_they_are_taken_away() -> None:
    refused = [event("pg.preflight", "started"), event("pg.preflight", "ok", REFUSED), event("migration.end", "failed", outcome="refused")]
    mended = [event("pg.preflight", "started"), event("pg.preflight", "ok", MENDED)]
    assert [verdict(events) for events in (refused, refused + mended, mended + refused)] == ["failed", "proved", "failed"]


def test_what_another_host_stack_or_verb_showed_is_not_replaced() -> None:
    events = [event("pg.preflight", "ok", REFUSED), event("pg.preflight", "ok", MENDED, host="other"), event("web.preflight", "ok", MENDED),
              event("pg.backup", "ok", MENDED)]
    assert [entry["stack"] for entry in checklist_evidence(events, 1, STACKS)] == ["pg", "pg", "web", "pg"] and verdict(events) == "failed"


def test_what_failed_since_shows_no_longer_what_it_did_and_what_is_only_begun_again_still_does() -> None:
    made = [event("web.backup", "started"), event("web.backup", "ok", WHOLE)]
    for events in (made, [*made, event("web.backup", "started")]):
        assert checklist_evidence(events, 1, STACKS) == [{**WHOLE, "stack": "web"}]
    assert checklist_evidence([*made, event("web.backup", "started"), event("web.backup", "failed")], 1, STACKS) == []
    assert checklist_evidence(made[:1], 1, STACKS) == []


def test_a_stack_that_was_taken_out_since_shows_nothing() -> None:
    events = [event("pg.preflight", "ok", REFUSED), event("web.preflight", "ok", MENDED)]
    assert checklist_evidence(events, 1, ["web"]) == [{**MENDED, "stack": "web"}]


def test_another_attempt_shows_nothing_in_this_one() -> None:
    events = [event("pg.preflight", "ok", MENDED, attempt=1), event("pg.preflight", "started", attempt=2)]
    assert checklist_evidence(events, 2, STACKS) == []


IDLE = {"not_applicable": "no source host has a tree to copy"}


def test_a_stack_whose_backup_had_nothing_to_do_but_on_the_new_site_says_why() -> None:
    staged = event("web.backup", "ok", host="new", summary="the release is staged")
    nowhere = [event("web.backup", "not_applicable", **IDLE),
               event("web.backup", "not_applicable", host="old", not_applicable="the mover copies")]
    nothing = {"item": "backup", "stack": "web", "verdict": "not_applicable",
               "observed": "no source host has a tree to copy"}
    assert checklist_evidence([*nowhere, staged], 1, STACKS, targets=["new"]) == [nothing]
    for events in ([*nowhere, staged], [nowhere[1], event("web.backup", "ok")], [*nowhere, event("web.backup", "failed", host="old")],
                   [event("web.backup", "not_applicable")], []):
        assert checklist_evidence(events, 1, STACKS) == []


def test_a_front_end_of_which_only_pages_are_measured_has_nothing_to_back_up_and_says_so() -> None:
    loader, role = DataLoader(), pathlib.Path(__file__).parents[3] / "roles" / "frontend"
    variables = loader.load_from_file(str(role / "vars" / "main.yml"), trusted_as_template=True)
    task = loader.load_from_file(str(role / "tasks" / "backup_pages.yml"), trusted_as_template=True)[-1]
    copied = {"evidence": [WHOLE], "summary": "copied", "proofs": []}
    for sources, evidence in ((["old"], [WHOLE]), ([], [
            {"item": "backup", "verdict": "not_applicable", "observed": "no host is in both groups, frontend and source"}])):
        given = {**variables, **task["vars"], "__frontend_sources": sources, "__frontend_into_bucket": False,
                 "__frontend_audited": {"journal": {"proofs": [{"kind": "page_audit"}]}}, "__frontend_lighted": {}, "__frontend_cached": {},
                 "migration_verb_facts": copied}
        facts = Templar(loader, given).template(task["ansible.builtin.set_fact"]["migration_verb_facts"])
        assert (facts["evidence"], facts["proofs"]) == (evidence, [{"kind": "page_audit"}])
