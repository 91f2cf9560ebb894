# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checklist: what a machine must see cannot be stated, and every failure is shown at once."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._checklist import texts
from ansible_collections.dihya.migration.plugins.module_utils._checklist.weigh import Inputs, weigh
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts

NOW = datetime.datetime(2026, 11, 28, 21, 0, tzinfo=datetime.timezone.utc)
REHEARSAL = json.dumps({"outcome": "ok", "seconds": 1200}).encode()
FILES = {"docs/README.md": b"up to date", "rehearsal.json": REHEARSAL}
SHA = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
PROVED = {"verdict": "proved", "observed": "seen", "sha256": "ab" * 32}
BACKUPS = [{**PROVED, "stack": stack, **more} for stack in ("pg", "web") for more in ({}, {"elsewhere": True})]
IDLE = {"verdict": "not_applicable", "observed": "there is nothing to copy", "stack": "traffic"}


def attested(item: str, **other: Any) -> dict[str, Any]:
    return {"item": item, "who": "Lila", "when": "2026-11-20", "document": "docs/README.md", "sha256": SHA["docs/README.md"], **other}


def rehearsed(**other: Any) -> dict[str, Any]:
    return {"item": "rehearsal", "path": "rehearsal.json", "sha256": SHA["rehearsal.json"], "query": "outcome", "equals": "ok", **other}


COMPLETE = Inputs(
    now=NOW,
    profile="audited",
    phase="before_freeze",
    stacks=["pg", "web"],
    copies=1,
    seconds=1800,
    facts={"backup": BACKUPS, "access": [PROVED], "rollback_plan": [PROVED]},
    evidence=[rehearsed()],
    attestations=[attested(item) for item in texts.ATTESTABLE],
    window={"start": "2026-11-28T22:00:00+01:00", "end": "2026-11-28T23:00:00+01:00"},
)


def look(**changes: Any) -> dict[str, Any]:
    return weigh(dataclasses.replace(COMPLETE, **changes), FILES.get)


def verdicts(result: dict[str, Any]) -> dict[str, str]:
    return {entry["item"]: entry["verdict"] for entry in result["items"]}


def test_complete_is_proved_or_attested_and_nothing_blocks() -> None:
    result = look()
    assert verdicts(result) == {
        "backup": "proved",
        "access": "proved",
        "documentation": "attested",
        "rehearsal": "proved",
        "rollback_plan": "proved",
        "notification": "attested",
        "window": "proved",
        "compliance": "attested",
    }
    assert (result["findings"], result["blocked"]) == ([], False)
    assert [entry["item"] for entry in result["items"]] == list(texts.ITEMS)


REMOVALS: dict[str, dict[str, Any]] = {
    "backup": {"facts": {**COMPLETE.facts, "backup": []}},
    "access": {"facts": {**COMPLETE.facts, "access": []}},
    "rollback_plan": {"facts": {**COMPLETE.facts, "rollback_plan": []}},
    "rehearsal": {"evidence": []},
    "window": {"window": {}},
    **{item: {"attestations": [entry for entry in COMPLETE.attestations if entry["item"] != item]} for item in texts.ATTESTABLE},
}


@pytest.mark.parametrize("item", texts.ITEMS)
def test_each_fact_that_is_missing_blocks_when_audited_and_is_said_when_standard(item: str) -> None:
    audited, standard = look(**REMOVALS[item]), look(**REMOVALS[item], profile="standard")
    assert audited["blocked"] is True
    assert [entry["subject"] for entry in audited["findings"]] == [f"checklist: {item}"]
    assert verdicts(audited)[item] == verdicts(standard)[item] == "not_demonstrated"
    assert standard["blocked"] is False
    assert [(entry["subject"], entry["blocking"]) for entry in standard["findings"]] == [(f"checklist: {item}", False)]


@pytest.mark.parametrize("item", [*texts.OBSERVED_BY_MACHINE, "rehearsal"])
@pytest.mark.parametrize("profile", ["standard", "audited"])
def test_every_attestation_together_replaces_no_observation(item: str, profile: str) -> None:
    everything = [attested(name) for name in texts.ITEMS]
    result = look(**{**REMOVALS[item], "attestations": everything, "profile": profile})
    assert result["blocked"] is True
    assert verdicts(result)[item] == "not_demonstrated"
    assert f"attests {item}" in "\n".join(entry["finding"] for entry in result["findings"])


@pytest.mark.parametrize("item", ["backup", "access", "window"])
def test_inventory_evidence_alone_does_not_prove_what_this_run_must_see(item: str) -> None:
    mine = {"item": item, "json": {"fine": True}, "query": "fine"}
    assert verdicts(look(**{**REMOVALS[item], "evidence": [rehearsed(), mine]}))[item] == "not_demonstrated"


@pytest.mark.parametrize("item", texts.ITEMS)
@pytest.mark.parametrize("profile", ["standard", "audited"])
def test_one_failed_observation_blocks_whatever_else_is_proved(item: str, profile: str) -> None:
    facts = {**COMPLETE.facts, item: [*COMPLETE.facts.get(item, []), {"verdict": "failed", "observed": "no space left"}]}
    result = look(facts=facts, profile=profile)
    assert (verdicts(result)[item], result["blocked"]) == ("failed", True)
    assert "no space left" in result["findings"][0]["finding"]


@pytest.mark.parametrize("item", [item for item in texts.ITEMS if item not in texts.WAIVABLE])
def test_only_a_rehearsal_can_be_waived(item: str) -> None:
    result = look(**REMOVALS[item], waivers=[{"item": item, "who": "RSSI", "why": "urgent", "until": "2026-12-01"}])
    assert result["blocked"] is True
    assert verdicts(result)[item] == "not_demonstrated"


def test_a_waived_rehearsal_passes_until_its_day() -> None:
    given = {"item": "rehearsal", "who": "RSSI", "why": "no staging", "until": "2026-11-28"}
    passing = look(evidence=[], waivers=[given])
    assert (verdicts(passing)["rehearsal"], passing["blocked"]) == ("waived", False)
    late = look(evidence=[], waivers=[given], now=NOW + datetime.timedelta(days=1), profile="standard", window={})
    assert verdicts(late)["rehearsal"] == "not_demonstrated"
    assert late["blocked"] is True
    assert "expired" in late["findings"][0]["finding"]


REFUSED = [
    ({"when": "2026-11-29"}, "future"),
    ({"when": "yesterday"}, "RFC 3339"),
    ({"until": "2026-11-27"}, "expired"),
    ({"until": "soon"}, "RFC 3339"),
    ({"sha256": "12"}, "64 hexadecimal"),
    ({"sha256": "0" * 64}, "digest is another one"),
    ({"who": " "}, "lacks who"),
    ({"document": ""}, "lacks document"),
]


@pytest.mark.parametrize(("change", "why"), REFUSED)
def test_a_bad_attestation_is_refused_with_its_reason(change: dict[str, Any], why: str) -> None:
    entries = [attested("documentation", **change), attested("notification"), attested("compliance")]
    result = look(attestations=entries, profile="standard")
    assert result["blocked"] is True
    assert why in result["findings"][0]["finding"]
    assert verdicts(result)["documentation"] == "not_demonstrated"


def test_a_document_elsewhere_is_taken_by_its_digest() -> None:
    entries = [attested(item, document="https://wiki.example/dpia", sha256="0" * 64) for item in texts.ATTESTABLE]
    assert look(attestations=entries)["blocked"] is False


@pytest.mark.parametrize(
    ("change", "verdict", "why"),
    [
        ({"equals": "rolled_back"}, "failed", "does not say"),
        ({"query": "missing"}, "failed", "does not say"),
        ({"query": "seconds > `3600`", "equals": False}, "proved", ""),
        ({"query": "outcome["}, "not_demonstrated", "JMESPath"),
        ({"sha256": "0" * 64}, "not_demonstrated", "digest is another one"),
        ({"path": "gone.json"}, "not_demonstrated", "cannot be read"),
        ({"path": "docs/README.md", "sha256": SHA["docs/README.md"]}, "not_demonstrated", "not JSON"),
        ({"until": "2026-11-27"}, "not_demonstrated", "counted until"),
        ({"until": "never"}, "not_demonstrated", "counted until"),
        ({"path": None, "json": {"outcome": "ok"}}, "not_demonstrated", "needs a file"),
        ({"path": None}, "not_demonstrated", "needs a file"),
    ],
)
@pytest.mark.parametrize("item", texts.FROM_FILES)
def test_evidence_is_picked_with_jmespath_from_a_file_that_has_its_digest(
    item: str, change: dict[str, Any], verdict: str, why: str,
) -> None:
    others = [rehearsed()] if item != "rehearsal" else []
    result = look(facts={**COMPLETE.facts, item: []}, evidence=[*others, rehearsed(item=item, **change)])
    assert verdicts(result)[item] == verdict
    assert why in "\n".join(entry["finding"] for entry in result["findings"])
    assert result["blocked"] is (verdict != "proved")


def test_a_json_answer_may_fail_an_item_that_this_run_proved() -> None:
    answer = {
        "item": "access",
        "json": {"users": [{"mfa": True}, {"mfa": False}]},
        "query": "length(users[?!mfa])",
        "equals": 0,
        "observed": "MFA",
    }
    assert verdicts(look(evidence=[rehearsed(), answer]))["access"] == "failed"
    answer["json"] = {"users": [{"mfa": True}]}
    assert verdicts(look(evidence=[rehearsed(), answer]))["access"] == "proved"


@pytest.mark.parametrize(
    ("window", "seconds", "verdict", "observed"),
    [
        ({"start": "2026-11-28T20:00:00Z", "end": "2026-11-28T20:59:59Z"}, 1, "failed", "ended at"),
        ({"start": "2026-11-28T21:00:01Z", "end": "2026-11-28T23:00:00Z"}, 1, "failed", "opens only at"),
        ({"start": "2026-11-28T20:00:00Z", "end": "2026-11-28T21:10:00Z"}, 601, "failed", "600 s left, 601 s needed"),
        ({"start": "2026-11-28T20:00:00Z", "end": "2026-11-28T21:10:00Z"}, 600, "proved", "600 s left, 600 s needed"),
        ({"start": "2026-11-28T22:00:00", "end": "2026-11-28T23:00:00Z"}, 1, "failed", "RFC 3339"),
        ({"start": "2026-11-28T23:00:00Z", "end": "2026-11-28T20:00:00Z"}, 1, "failed", "the start first"),
        ({"start": "2026-11-28T20:00:00Z"}, 1, "failed", "RFC 3339"),
        ({"start": "2026-13-28T20:00:00Z", "end": "2026-11-28T23:00:00Z"}, 1, "failed", "RFC 3339"),
    ],
)
@pytest.mark.parametrize("profile", ["standard", "audited"])
def test_the_window_is_measured_against_now_and_what_is_left(
    window: dict[str, str],
    seconds: float,
    verdict: str,
    observed: str,
    profile: str,
) -> None:
    result = look(window=window, seconds=seconds, profile=profile)
    entry = next(entry for entry in result["items"] if entry["item"] == "window")
    assert entry["verdict"] == verdict
    assert observed in entry["observed"]
    assert result["blocked"] is (verdict == "failed")
    # Once clients are frozen out, to stop here would leave them so: it is only told.
    frozen = look(window=window, seconds=seconds, profile=profile, frozen=True)
    told = [dict(row, blocking=False) for row in result["findings"]]
    assert frozen == {"items": result["items"], "findings": told, "blocked": False}


def backup_of(result: dict[str, Any]) -> tuple[str, str]:
    return next((entry["verdict"], entry["observed"]) for entry in result["items"] if entry["item"] == "backup")


def test_a_backup_is_expected_only_after_it_was_made_and_only_with_a_second_place() -> None:
    early = look(facts={**COMPLETE.facts, "backup": []}, phase="before_backup", copies=0)
    assert (verdicts(early)["backup"], early["blocked"]) == ("not_demonstrated", False)
    first = {**COMPLETE.facts, "backup": [entry for entry in BACKUPS if "elsewhere" not in entry]}
    single = look(facts=first, copies=0)
    assert (backup_of(single), single["blocked"]) == (("not_demonstrated", texts.NO_COPY), True)
    assert look(facts=first, copies=0, profile="standard")["blocked"] is False


def test_a_second_place_that_was_named_proves_no_copy_there() -> None:
    """Named since a backup was made without it: before the next one that is still to come, behind it the copy is missed."""
    first = {**COMPLETE.facts, "backup": [entry for entry in BACKUPS if entry != BACKUPS[1]]}
    early = look(facts=first, phase="before_backup")
    assert (backup_of(early), early["blocked"]) == (("not_demonstrated", texts.LATER), False)
    late = look(facts=first)
    assert (backup_of(late), late["blocked"]) == (("not_demonstrated", "pg: no second copy of its backup was shown"), True)
    alone = {**COMPLETE.facts, "backup": [PROVED]}
    assert backup_of(look(facts=alone, stacks=[])) == ("not_demonstrated", texts.NO_COPY_SHOWN)
    assert backup_of(look(facts={**alone, "backup": [PROVED, {**PROVED, "elsewhere": True}]}, stacks=[]))[0] == "proved"


def test_the_backup_of_one_stack_is_none_of_another() -> None:
    told = backup_of(look(stacks=["pg", "web", "search"]))
    assert told == ("not_demonstrated", "search: no verified backup was shown; search: no second copy of its backup was shown")
    for kind in ({"until": "2026-11-01"}, {"verdict": None}):
        unproved = {**COMPLETE.facts, "backup": [*BACKUPS[:2], {**BACKUPS[2], **kind}, BACKUPS[3]]}
        assert "web: no verified backup was shown" in backup_of(look(facts=unproved))[1]
    failed = {**COMPLETE.facts, "backup": [*BACKUPS, {**PROVED, "stack": "web", "verdict": "failed"}]}
    assert (backup_of(look(facts=failed))[0], look(facts=failed, profile="standard")["blocked"]) == ("failed", True)


def test_a_stack_that_has_nothing_to_back_up_is_no_gap_and_is_named() -> None:
    named = "traffic: nothing to back up (there is nothing to copy)"
    told = look(stacks=["pg", "web", "traffic"], facts={**COMPLETE.facts, "backup": [*BACKUPS, IDLE]})
    assert (backup_of(told), told["blocked"]) == (("proved", f"seen; {named}"), False)
    assert backup_of(look(stacks=["traffic"], facts={**COMPLETE.facts, "backup": [IDLE]}, copies=0)) == ("proved", named)
    for entry in ({**IDLE, "observed": ""}, {**IDLE, "stack": "web"}):
        assert backup_of(look(stacks=["pg", "traffic"], facts={**COMPLETE.facts, "backup": [*BACKUPS[:2], entry]}))[0] == "not_demonstrated"
    assert verdicts(look(facts={**COMPLETE.facts, "access": [{**IDLE, "stack": "pg"}]}))["access"] == "not_demonstrated"


def test_what_a_planned_step_will_prove_is_expected_only_after_it() -> None:
    unproved = {**COMPLETE.facts, "rollback_plan": []}
    early = look(facts=unproved, phase="before_backup", planned=["rollback_plan"])
    assert (verdicts(early)["rollback_plan"], early["blocked"]) == ("not_demonstrated", False)
    assert look(facts=unproved, phase="before_backup")["blocked"] is True
    assert look(facts=unproved, planned=["rollback_plan"])["blocked"] is True


@pytest.mark.parametrize("entry", [{}, {"observed": "someone looked"}, {"verdict": "fine"}, {**PROVED, "until": "2026-11-01"}])
def test_a_fact_without_a_valid_verdict_proves_nothing(entry: dict[str, Any]) -> None:
    assert verdicts(look(facts={**COMPLETE.facts, "access": [PROVED, entry]}))["access"] == "not_demonstrated"


def test_all_findings_come_at_once() -> None:
    facts: dict[str, Any] = {"backup": "yes", "acces": []}
    result = weigh(Inputs(now=NOW, profile="audited", facts=facts, waivers=[{"item": "x"}]), FILES.get)
    assert len([entry for entry in result["findings"] if entry["subject"].startswith("checklist: ")]) == 8
    assert {"facts: backup", "facts: acces", "migration_waivers[0]"} <= {entry["subject"] for entry in result["findings"]}
    assert all(entry["remedy"] for entry in result["findings"])


def test_the_journal_takes_the_items_whatever_was_given() -> None:
    long = "x" * 900
    facts = {**COMPLETE.facts, "access": [{**PROVED, "observed": long, "sha256": f"{number:064x}"} for number in range(20)]}
    for result in (look(facts=facts), look(), weigh(Inputs(now=NOW), FILES.get), look(attestations=[attested("compliance", who=long)])):
        check_facts("migration", "checklist", {"checklist": result["items"]})
