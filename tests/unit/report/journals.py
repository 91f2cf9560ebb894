# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Journals as a migration of three stacks writes them, one per outcome; times are in winter, UTC."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

Event = dict[str, Any]
BEGIN = datetime.datetime(2026, 11, 28, 21, 0, tzinfo=datetime.timezone.utc)
RUN = {
    "purpose": "migrate",
    "operator": "@devops-lead",
    "controller": "ops-1",
    "ansible_version": "2.19.14",
    "stacks": ["postgresql", "backend", "frontend"],
    "strategy": "offline",
    "profile": "standard",
    "language": "fr",
    "description": "Déménagement du CRM vers le cloud souverain",
    "ticket": "OPS-412",
    "window": {"start": "2026-11-28T21:00:00+00:00", "end": "2026-11-28T23:00:00+00:00"},
    "resumed": False,
}
CHECKLIST = [
    {
        "item": "backup",
        "expected": "every stack has a verified backup and a second copy elsewhere",
        "observed": "3 of 3",
        "verdict": "proved",
        "evidence": "manifest",
    },
    {"item": "access", "expected": "login works", "observed": "4 of 4", "verdict": "proved", "evidence": ""},
    {
        "item": "documentation",
        "expected": "attested",
        "observed": "README",
        "verdict": "attested",
        "evidence": {"who": "Lila", "when": "2026-11-20", "document": "/docs/README.md", "sha256": "ab" * 32},
    },
    {
        "item": "rehearsal",
        "expected": "a rehearsal",
        "observed": "",
        "verdict": "waived",
        "evidence": {"who": "RSSI", "why": "no staging", "until": "2026-12-01"},
    },
    {"item": "rollback_plan", "expected": "a drill", "observed": "", "verdict": "not_demonstrated", "evidence": ""},
    {"item": "window", "expected": "long enough", "observed": "2 h", "verdict": "proved", "evidence": ""},
]


class Writer:
    """Writes events as the journal does: every field, chained."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now, self.attempt, self.run = BEGIN, 1, "20261128T210000Z-aaaaaa"

    def add(self, stack: str, verb: str, status: str = "ok", host: str = "mover", after: float = 1.0, **facts: Any) -> None:
        self.now += datetime.timedelta(seconds=after)
        event = {
            "seq": len(self.events) + 1,
            "prev_hash": self.events[-1]["hash"] if self.events else "0" * 64,
            "time": self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "migration_id": "crm-2026",
            "attempt": self.attempt,
            "run_id": self.run,
            "stack": stack,
            "verb": verb,
            "host": host,
            "status": status,
            "facts": facts,
        }
        event["hash"] = hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
        self.events.append(event)

    def step(self, stack: str, verb: str, host: str = "mover", status: str = "ok", after: float = 5.0, **facts: Any) -> None:
        self.add(stack, verb, "started", host)
        self.add(stack, verb, status, host, after, **facts)

    def begin(self, purpose: str = "migrate", **run: Any) -> None:
        self.add("migration", "begin", run={**RUN, "purpose": purpose, **run})

    def end(self, outcome: str, cause: dict | None = None, rollback: list | None = None, **more: Any) -> None:
        facts: dict[str, Any] = {"outcome": outcome, **more}
        facts.update({name: value for name, value in (("cause", cause), ("rollback", rollback)) if value})
        self.add("migration", "end", "ok" if outcome in ("ok", "waiting") else "failed", **facts)

    def chain(self) -> dict[str, Any]:
        return {
            "intact": True,
            "events": len(self.events),
            "head": self.events[-1]["hash"] if self.events else "0" * 64,
            "torn": 0,
            "problem": "",
        }


STACKS = (("postgresql", "mover"), ("backend", "new1"), ("frontend", "new1"))


def _until_frozen(journal: Writer) -> None:
    journal.begin()
    for stack, host in STACKS:
        journal.step(
            stack, "preflight", host, versions={"PostgreSQL source": "16.4", "PostgreSQL target": "18.1"} if stack == "postgresql" else {}
        )
    journal.add("migration", "checklist", checklist=CHECKLIST)
    for stack, host in STACKS:
        journal.step(
            stack,
            "backup",
            host,
            summary="1 database dumped",
            counts={"bytes": 52_428_800, "files": 12, "databases": 1},
            proofs=[{"kind": "manifest", "path": f"/backup/crm-2026/{stack}_2026-11-28_2101/manifest.json", "sha256": "cd" * 32}],
        )
    journal.step("postgresql", "freeze", fence={"value": "0/3A1F2B8", "at": "2026-11-28T21:01:00Z", "source": "db.old.example"})
    journal.add("migration", "frozen", fence={"value": "0/3A1F2B8", "at": "2026-11-28T21:01:00Z", "source": "db.old.example"})


def _migrate(journal: Writer) -> None:
    journal.step(
        "postgresql",
        "migrate",
        after=80,
        summary="Restored and proved equal",
        counts={"tables": 14, "rows": 312_456, "large_objects": 1},
        digests={"crm.public.customers": "1311768467463790320"},
        not_proved=["pg_cron jobs are not compared"],
        explained=[{"rule": "collation_version", "object": "crm"}],
        created=[{"kind": "database", "name": "crm", "identity": 16400}],
    )
    journal.step(
        "backend",
        "migrate",
        "new1",
        counts={"files": 240},
        created=[{"kind": "release", "name": "/srv/backend/releases/1", "identity": "2:99"}],
    )
    journal.step("frontend", "migrate", "new1", counts={"files": 31})


QUALITY = {
    "pages": ["/", "/{language}/"], "languages": ["fr", "ar"], "more": 2,
    "scores": [
        {"page": "/", "language": "", "what": "performance", "before": 90.0, "after": 87.5},
        {"page": "/{language}/", "language": "ar", "what": "bytes", "before": 52_000, "after": 51_200},
        {"page": "/", "language": "fr", "what": "requests", "after": 7},
    ],
    "violations": [
        {"rule": "color-contrast", "impact": "serious", "page": "/{language}/", "language": "ar", "before": 3, "after": 3,
         "verdict": "known", "criteria": "RGAA 3.2; WCAG 1.4.3"},
        {"rule": "seo-sitemap", "impact": "moderate", "page": "", "language": "", "before": 1, "after": 0, "verdict": "gone"},
    ],
}


def _verify(journal: Writer) -> None:
    journal.step("postgresql", "verify")
    journal.step(
        "backend",
        "verify",
        "new1",
        tests=[{"name": "pytest", "verdict": "passed", "passed": 42, "failed": 0, "skipped": 1, "log": "/var/log/pytest.log"}],
    )
    journal.step(
        "frontend",
        "verify",
        "new1",
        tests=[{"name": "npm test", "verdict": "passed", "passed": 1}, {"name": "axe", "verdict": "skipped"}],
        quality=QUALITY,
    )


def ok() -> Writer:
    journal = Writer()
    _until_frozen(journal)
    _migrate(journal)
    _verify(journal)
    journal.add("migration", "commit_point")
    for stack, host in STACKS:
        journal.step(stack, "commit", host)
    journal.end("ok")
    return journal


CAUSE = {"stack": "backend", "verb": "verify", "host": "new1", "task": "Run the tests", "message": "pytest failed: 1 of 43 tests"}


def _failed_verify(journal: Writer) -> None:
    journal.step("postgresql", "verify")
    journal.step(
        "backend",
        "verify",
        "new1",
        "failed",
        error={"message": "pytest failed: 1 of 43 tests", "subject": "tests/test_api.py", "remedy": "read the log"},
        tests=[{"name": "pytest", "verdict": "failed", "passed": 42, "failed": 1, "log": "/var/log/pytest.log"}],
    )


def rolled_back() -> Writer:
    journal = Writer()
    _until_frozen(journal)
    _migrate(journal)
    _failed_verify(journal)
    for stack, host in reversed(STACKS):
        journal.step(stack, "rollback", host, summary="Back on the release of before")
    journal.add("migration", "reopened")
    journal.end("rolled_back", CAUSE, [{"stack": stack, "host": host, "verdict": "ok"} for stack, host in reversed(STACKS)])
    return journal


def rollback_incomplete() -> Writer:
    journal = Writer()
    _until_frozen(journal)
    _migrate(journal)
    _failed_verify(journal)
    journal.step("frontend", "rollback", "new1", "failed", error={"message": "the release of before is gone"})
    journal.step("postgresql", "rollback")
    journal.add("migration", "reopened")
    journal.end(
        "rollback_incomplete",
        CAUSE,
        [
            {"stack": "frontend", "host": "new1", "verdict": "failed"},
            {"stack": "backend", "host": "new2", "verdict": "owed"},
            {"stack": "postgresql", "host": "mover", "verdict": "ok"},
        ],
    )
    return journal


def failed_after_commit() -> Writer:
    journal = Writer()
    _until_frozen(journal)
    _migrate(journal)
    _verify(journal)
    journal.add("migration", "commit_point")
    journal.step("postgresql", "commit")
    journal.step("backend", "commit", "new1", "failed", error={"message": "the health check of the new site failed"})
    journal.end(
        "failed_after_commit",
        {"stack": "backend", "verb": "commit", "host": "new1", "task": "Check", "message": "the health check of the new site failed"},
    )
    return journal


def went_back() -> Writer:
    """Rolled back on demand after users had written on the new site."""
    journal = ok()
    journal.run = "20261128T230000Z-bbbbbb"
    journal.begin("rollback")
    lost = [{"object": "crm: app.client", "before": 300, "after": 303}, {"object": "crm: app.visit", "before": 0, "after": 7}]
    for stack, host in reversed(STACKS):
        facts: dict[str, Any] = {"discarded": lost} if stack == "postgresql" else {}
        journal.step(stack, "rollback", host, **facts)
    journal.add("migration", "reopened")
    journal.end("rolled_back")
    return journal


def interrupted() -> Writer:
    """Killed inside the restore: no end."""
    journal = Writer()
    _until_frozen(journal)
    journal.add("postgresql", "migrate", "started")
    return journal


def waiting() -> Writer:
    journal = Writer()
    _until_frozen(journal)
    _migrate(journal)
    _verify(journal)
    journal.end("waiting")
    return journal


def held_open() -> Writer:
    """Held with nothing to freeze: a back end that is replaced beside the live one, and a front end."""
    journal = Writer()
    journal.begin(stacks=["backend", "frontend"])
    for verb in ("preflight", "backup", "freeze", "migrate", "verify"):
        for stack, host in STACKS[1:]:
            if verb == "freeze":
                journal.add(stack, verb, "not_applicable", host, not_applicable="a front end takes no writes")
            else:
                journal.step(stack, verb, host)
    journal.end("waiting")
    return journal


def refused() -> Writer:
    journal = Writer()
    journal.begin()
    journal.step(
        "postgresql",
        "preflight",
        status="failed",
        error={"message": "the target database crm is not empty", "subject": "postgresql_target", "remedy": "empty it"},
    )
    journal.end("refused", {"stack": "postgresql", "verb": "preflight", "host": "mover", "message": "the target database crm is not empty"})
    return journal


def stopped() -> Writer:
    """Refused twice by what preflight found, each time for another reason."""
    journal = Writer()
    for number in range(2):
        journal.run = f"20261128T21000{number}Z-aaaaaa"
        journal.begin()
        for stack, host in STACKS:
            journal.step(stack, "preflight", host)
        findings = [
            {"subject": "postgresql_target", "blocking": one != "c", "remedy": f"remove {one}",
             "finding": f"obstacle {one} of run {number}"}
            for one in "abc"
        ]
        findings.append({"subject": "checklist: backup", "finding": "not demonstrated: weighed again later", "blocking": False})
        journal.add("migration", "checklist", checklist=CHECKLIST, findings=findings)
        message = "Nothing was changed. What stops the migration:\nstop: postgresql_target: obstacle a …"
        journal.end("refused", {"stack": "migration", "verb": "preflight", "host": "mover", "message": message})
    return journal


def two_attempts() -> Writer:
    """Rolled back at first, then interrupted and resumed to its end."""
    journal = rolled_back()
    journal.attempt, journal.run = 2, "20261128T220000Z-bbbbbb"
    journal.now += datetime.timedelta(minutes=40)
    _until_frozen(journal)
    journal.add("postgresql", "migrate", "started")
    interrupted_run = journal.run
    journal.now += datetime.timedelta(minutes=5)
    journal.run = interrupted_run
    journal.end(
        "interrupted",
        {"stack": "postgresql", "verb": "migrate", "host": "mover", "message": "the run ended without saying so; closed by the next run"},
    )
    journal.run = "20261128T221500Z-cccccc"
    journal.add("migration", "takeover", summary="Lock taken over")
    journal.begin(resumed=True)
    _migrate(journal)
    _verify(journal)
    journal.add("migration", "commit_point")
    for stack, host in STACKS:
        journal.step(stack, "commit", host)
    journal.end("ok")
    return journal


def backup_only() -> Writer:
    journal = Writer()
    journal.begin("backup")
    journal.step("postgresql", "backup", counts={"bytes": 1024})
    journal.end("ok")
    return journal


ALL = {
    journal.__name__: journal
    for journal in (
        ok,
        rolled_back,
        rollback_incomplete,
        failed_after_commit,
        went_back,
        interrupted,
        waiting,
        held_open,
        refused,
        stopped,
        two_attempts,
        backup_only,
    )
}
