# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attempt, completeness and resume decisions follow from the events alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._journal import resume

RUN = "migration"


def journal(*lines: str) -> list[dict[str, Any]]:
    """Events from a shorthand: ``begin r1 migrate``, ``end r1 ok``, ``frozen r1``, or ``pg.backup started r1 a1 [inputs]``."""
    events: list[dict[str, Any]] = []
    attempt = 1
    for number, line in enumerate(lines, 1):
        what, *words = line.split()
        if what == "attempt":
            attempt = int(words[0])
            continue
        event: dict[str, Any] = {"seq": number, "attempt": attempt, "time": f"t{number:02d}", "host": "mover", "facts": {}, "status": "ok"}
        if "." in what:
            event["stack"], event["verb"] = what.split(".")
            event.update(status=words[0], run_id=words[1], **({"inputs_sha256": words[2]} if words[2:] else {}))
        else:
            event.update(stack=RUN, verb=what, run_id=words[0])
            if what == "begin":
                event["facts"] = {"run": {"purpose": words[1], "stacks": words[2].split(",") if words[2:] else ["pg"]}}
            if what == "end":
                event["facts"] = {"outcome": words[1]}
        events.append(event)
    return events


DONE = ("begin r1 migrate", "pg.backup started r1 i1", "pg.backup ok r1", "commit_point r1", "end r1 ok")
INTERRUPTED = ("begin r1 migrate", "pg.backup started r1 i1", "pg.backup ok r1", "pg.migrate started r1 i1")
ROLLED_BACK = (
    "begin r1 migrate", "pg.backup started r1 i1", "pg.backup ok r1", "pg.rollback started r1", "pg.rollback ok r1", "end r1 rolled_back",
)
PARTLY = ("begin r2 rollback", "pg.rollback started r2", "pg.rollback failed r2", "end r2 rollback_incomplete")
HELD = ("begin r1 migrate", "pg.verify started r1", "pg.verify ok r1", "end r1 waiting")
KILLED = ("begin r2 commit", "pg.commit started r2", "end r2 interrupted")

SITUATIONS = {
    # name: journal, purpose, expected (attempt, resumed, complete, held, past_commit_point)
    "nothing yet": ((), "migrate", (1, False, False, False, False)),
    "complete": (DONE, "migrate", (1, False, True, False, True)),
    "complete, rolled back on request": (
        (*DONE, *(line.replace("r1", "r2") for line in ROLLED_BACK[3:])), "migrate", (2, False, False, False, False),
    ),
    "complete, its rollback interrupted": (
        (*DONE, "begin r2 rollback", "pg.rollback started r2"), "migrate", (1, True, False, False, True),
    ),
    "complete, rolled back only in part": ((*DONE, *PARTLY), "migrate", (1, True, False, False, True)),
    "rollback of a complete one": (DONE, "rollback", (1, True, False, False, True)),
    "backup of a complete one": (DONE, "backup", (1, True, False, False, True)),
    "backup alone completes nothing": (
        ("begin r1 backup", "pg.backup started r1", "pg.backup ok r1", "end r1 ok"), "migrate", (1, True, False, False, False),
    ),
    "interrupted": (INTERRUPTED, "migrate", (1, True, False, False, False)),
    "interrupted, then rolled back": (INTERRUPTED, "rollback", (1, True, False, False, False)),
    "rolled back": (ROLLED_BACK, "migrate", (2, False, False, False, False)),
    "rolled back, rollback again": (ROLLED_BACK, "rollback", (1, True, False, False, False)),
    "rollback interrupted": (ROLLED_BACK[:-2], "migrate", (1, True, False, False, False)),
    "reopened, then interrupted": ((*ROLLED_BACK[:-1], "reopened r1"), "migrate", (2, False, False, False, False)),
    "rolled back only in part": ((*INTERRUPTED, *PARTLY), "migrate", (1, True, False, False, False)),
    "rolled back in part, then refused": (
        (*INTERRUPTED, *PARTLY, "begin r3 migrate", "end r3 refused"), "rollback", (1, True, False, False, False),
    ),
    "rolled back in part, then wholly": (
        (*INTERRUPTED, *PARTLY, *(line.replace("r1", "r3") for line in ROLLED_BACK[3:])), "migrate", (2, False, False, False, False),
    ),
    "waiting, rolled back only in part": ((*HELD, *PARTLY), "commit", (1, True, False, False, False)),
    "waiting": (HELD, "commit", (1, True, False, True, False)),
    "waiting, its commit interrupted once": ((*HELD, "begin r2 commit", "pg.commit started r2"), "commit", (1, True, False, True, False)),
    "waiting, its commit interrupted twice": (
        (*HELD, *KILLED, *(line.replace("r2", "r3") for line in KILLED[:-1])), "commit", (1, True, False, True, False),
    ),
    "waiting, its commit interrupted behind the commit point": (
        (*HELD, *KILLED[:-1], "commit_point r2", "end r2 interrupted"), "commit", (1, True, False, False, True),
    ),
    "waiting, its migration killed": ((*HELD, "begin r2 migrate", "pg.migrate started r2"), "commit", (1, True, False, False, False)),
    "waiting, its migration interrupted": (
        (*HELD, "begin r2 migrate", "pg.migrate started r2", "end r2 interrupted"), "commit", (1, True, False, False, False),
    ),
    "waiting, then committed": ((*HELD, "begin r2 commit", "commit_point r2", "end r2 ok"), "migrate", (1, False, True, False, True)),
    "second attempt complete": (
        (*ROLLED_BACK, "attempt 2", *(line.replace("r1", "r2") for line in DONE)), "migrate", (2, False, True, False, True),
    ),
    "failed after commit": ((*DONE[:-1], "end r1 failed_after_commit"), "migrate", (1, True, False, False, True)),
    "refused by preflight": (("begin r1 migrate", "end r1 refused"), "migrate", (1, False, False, False, False)),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_a_run_has_to_know(name: str) -> None:
    lines, purpose, expected = SITUATIONS[name]
    found = resume.situation(journal(*lines), purpose, ["pg"])
    assert tuple(found[key] for key in ("attempt", "resumed", "complete", "held", "past_commit_point")) == expected


def test_other_stacks_than_before_are_not_complete() -> None:
    assert not resume.situation(journal(*DONE), "migrate", ["pg", "web"])["complete"]
    assert resume.situation(journal("begin r1 migrate web,pg", "end r1 ok"), "migrate", ["pg", "web"])["complete"]


def test_an_interrupted_run_says_where_it_stood() -> None:
    found = resume.situation(journal(*INTERRUPTED), "migrate", ["pg"])
    assert found["interrupted_after"] == {"stack": "pg", "verb": "migrate", "host": "mover", "status": "started"}
    assert resume.situation(journal(*DONE), "migrate", ["pg"])["interrupted_after"] == {}


def test_the_last_plan_of_the_attempt_is_known_to_a_run_that_makes_none() -> None:
    events = journal("checklist r1", "checklist r2", "attempt 2", "begin r3 migrate")
    for event, seconds in zip(events, (90.0, 60.5)):
        event["facts"] = {"plan_seconds": seconds}
    assert (resume.planned(events, 1), resume.planned(events, 2)) == (60.5, 0.0)
    assert resume.situation(events, "migrate", ["pg"])["plan_seconds"] == 0.0


def test_created_things_are_those_of_the_attempt_each_once() -> None:
    events = journal("pg.migrate ok r1", "pg.migrate ok r2", "attempt 2", "pg.migrate ok r3")
    for event, name in zip(events, ("old", "old", "new")):
        event["facts"] = {"created": [{"kind": "database", "name": name, "identity": 7}]}
    assert resume.created(events, 1) == {"pg": [{"kind": "database", "name": "old", "identity": 7, "host": "mover"}]}
    assert [item["name"] for item in resume.created(events, 2)["pg"]] == ["new"]


LOOKED = ("begin r1 migrate", "pg.preflight started r1 i1", "pg.preflight ok r1", "end r1 refused")
DECISIONS = {
    # name: journal, purpose, verb, inputs, decision
    "never done": ((), "migrate", "backup", "i1", "run"),
    "done, same inputs": (DONE, "migrate", "backup", "i1", "probe"),
    "done, other inputs": (DONE, "migrate", "backup", "i2", "run"),
    "done, inputs unknown now": (DONE, "migrate", "backup", None, "run"),
    "looked at, and refused": (LOOKED, "migrate", "preflight", "i1", "run"),
    "looked at, backed up": ((*LOOKED, "pg.backup started r1 i1", "pg.backup ok r1"), "migrate", "preflight", "i1", "run"),
    "looked at, freeze begun": ((*LOOKED, "pg.freeze started r1 i1"), "migrate", "preflight", "i1", "probe"),
    "begun only": (INTERRUPTED, "migrate", "migrate", "i1", "run"),
    "failed": (("pg.verify started r1 i1", "pg.verify failed r1"), "migrate", "verify", "i1", "run"),
    "done, then failed its probe": ((*DONE, "pg.backup failed r2"), "migrate", "backup", "i1", "run"),
    "not applicable": (("pg.freeze started r1 i1", "pg.freeze not_applicable r1"), "migrate", "freeze", "i1", "probe"),
    "done in an earlier attempt": ((*ROLLED_BACK, "attempt 2", "begin r2 migrate"), "migrate", "backup", "i1", "run"),
    "ok without start": (("pg.backup ok r1",), "migrate", "backup", None, "run"),
    "a new backup was asked for": (DONE, "backup", "backup", "i1", "run"),
    "another verification was asked for": (DONE, "verify", "verify", "i1", "run"),
    "frozen, then reopened": (("pg.freeze started r1 i1", "pg.freeze ok r1", "reopened r1"), "migrate", "freeze", "i1", "run"),
    "backed up, then reopened": (("pg.backup started r1 i1", "pg.backup ok r1", "reopened r1"), "migrate", "backup", "i1", "probe"),
    "reopened, then frozen again": (
        ("pg.freeze started r1 i1", "pg.freeze ok r1", "reopened r1", "pg.freeze started r2 i1", "pg.freeze ok r2"),
        "migrate", "freeze", "i1", "probe",
    ),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_run_or_probe(name: str) -> None:
    lines, purpose, verb, inputs, expected = DECISIONS[name]
    events = journal(*lines)
    assert resume.decide(events, max(1, resume.last_attempt(events)), purpose, ("mover", "pg", verb), inputs) == expected


def test_another_host_of_the_stack_runs() -> None:
    assert resume.decide(journal(*DONE), 1, "migrate", ("other", "pg", "backup"), "i1") == "run"


REPETITIONS = {
    "first freeze": ((), "frozen", False, False),
    "frozen again": (("frozen r1",), "frozen", False, True),
    "frozen after reopened": (("frozen r1", "reopened r1"), "frozen", False, False),
    "reopened again": (("frozen r1", "reopened r1"), "reopened", False, True),
    "commit point again": (("commit_point r1",), "commit_point", False, True),
    "checklist of a resumed run": (("checklist r1",), "checklist", False, False),
    "checklist of a probing run": (("checklist r1",), "checklist", True, True),
}


@pytest.mark.parametrize("name", REPETITIONS)
def test_run_level_events_are_not_repeated(name: str) -> None:
    lines, verb, probing, expected = REPETITIONS[name]
    assert resume.is_repetition(journal(*lines), 1, verb, probing) is expected


def test_the_summary_tells_an_operator_where_the_run_stands() -> None:
    frozen = ("begin r1 migrate", "pg.freeze started r1", "pg.freeze ok r1", "frozen r1", "pg.migrate started r1")
    found = resume.summary(journal(*frozen))
    assert (found["attempt"], found["running"], found["outcome"], found["frozen_since"], found["commit_point"]) == (1, "r1", "", "t04", "")
    assert found["stacks"] == {"pg": {"verb": "migrate", "host": "mover", "status": "started", "time": "t05"}}
    assert resume.summary(journal(*DONE))["outcome"] == "ok"
    # The run that goes on is told as well.
    assert resume.situation(journal(*frozen), "migrate", ["pg"])["frozen_since"] == "t04"
    assert resume.situation(journal(*frozen, "reopened r1"), "migrate", ["pg"])["frozen_since"] == ""


def test_what_no_stack_had_to_freeze_is_not_frozen() -> None:
    idle = ("begin r1 migrate", "frozen r1", "pg.freeze started r1", "pg.freeze not_applicable r1")
    for more, since in (((), ""), (("web.freeze started r1",), "t02"), (("web.freeze started r1", "web.freeze ok r1"), "t02")):
        assert resume.situation(journal(*idle, *more), "migrate", ["pg"])["frozen_since"] == since
        assert resume.summary(journal(*idle, *more))["frozen_since"] == since
    assert resume.summary(journal("frozen r1"))["frozen_since"] == "t01"


def test_a_part_of_the_freeze_is_known_to_the_run_that_goes_on() -> None:
    begun = [resume.situation(journal(*lines), "migrate", ["pg"])["freeze_begun"] for lines in (LOOKED, (*LOOKED, "pg.freeze started r1"))]
    assert begun == [False, True]


def test_the_status_lines_tell_the_same_in_words() -> None:
    events = journal("begin r1 migrate", "pg.freeze started r1", "pg.freeze ok r1", "frozen r1", "pg.migrate started r1")
    intact = {"problem": ""}
    held = {"held": True, "run_id": "r1", "operator": "amel", "host": "h1", "since": "t0", "alive": False}
    lines = resume.status_lines("crm", resume.summary(events), held, intact)
    assert lines == [
        "migration crm: attempt 1, not ended", "run r1 of amel on h1 since t0: its process is dead, the next run goes on",
        "pg: migrate started on mover at t05", "the source is frozen since t04",
    ]
    assert "interrupted" in resume.status_lines("crm", resume.summary(events), {"held": False}, intact)[1]
    assert resume.status_lines("crm", resume.summary([]), {"held": False}, intact) == ["migration crm: never begun"]
    back = resume.summary(journal(*INTERRUPTED, *PARTLY))
    told = [line for lock in ({"held": False}, held, {**held, "alive": True}) for line in resume.status_lines("crm", back, lock, intact)]
    assert len([line for line in told if "run playbooks/rollback.yml" in line]) == 2, "not while it is at work"
    assert "THE JOURNAL WAS CHANGED: x" in resume.status_lines("crm", resume.summary([]), {"held": False}, {"problem": "x"})
