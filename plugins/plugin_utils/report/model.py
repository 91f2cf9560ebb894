# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shapes of a report: what is asked for, and what happened in one attempt, in no language."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field
from typing import Any

VERBS = ("preflight", "backup", "freeze", "migrate", "verify", "commit", "rollback")
CHECKLIST = ("backup", "access", "documentation", "rehearsal", "rollback_plan", "notification", "window", "compliance")
RUN_LEVEL = "migration"
OUTCOMES = ("ok", "rolled_back", "rollback_incomplete", "interrupted", "waiting", "failed_after_commit", "refused")


@dataclass(frozen=True)
class Hints:
    """What only the caller knows: complete commands, and paths. An empty one is left out."""

    resume: str = ""
    commit: str = ""
    rollback: str = ""
    reopen: str = ""
    report: str = ""


@dataclass(frozen=True)
class Options:
    """What to report; ``attempt`` 0 means the last one. ``complete`` is false when the events are not the whole journal.

    stopped, stopped_at: how and when a run ended whose report is made without its journal; run_logs: what
    ``runlog.digests`` found on the controller.
    """

    attempt: int = 0
    language: str = "fr"
    timezone: datetime.tzinfo | None = None
    journal_path: str = ""
    complete: bool = True
    stopped: str = ""
    stopped_at: str = ""
    hints: Hints = Hints()
    run_logs: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Step:
    """The last state of one (stack, verb, host): times are RFC 3339 in UTC, ``seconds`` None when unknown."""

    stack: str
    verb: str
    host: str
    status: str = "started"
    started: str = ""
    ended: str = ""
    seconds: float | None = None
    runs: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Freeze:
    """``end`` is ``commit``, ``reopened`` or empty while writes are still stopped."""

    start: str = ""
    stop: str = ""
    end: str = ""
    seconds: float | None = None
    fence: dict[str, Any] = field(default_factory=dict)


@dataclass
class ReportData:
    """One attempt, language-neutral; ``dataclasses.asdict`` of it is the JSON report's body.

    ``held``: it waits before its commit point. ``discarded`` is what a rollback threw away of what clients had written, by table, None
    when nothing counted it.
    """

    migration_id: str
    attempt: int
    attempts: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    run: dict[str, Any]
    outcome: str
    cause: dict[str, Any]
    started: str
    ended: str
    seconds: float
    steps: list[Step]
    checklist: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    freeze: Freeze
    committed: str
    reopened: str
    writes: str
    held: bool
    rollback: list[dict[str, Any]]
    rollback_seconds: float | None
    discarded: list[dict[str, Any]] | None
    not_proved: list[dict[str, str]]
    proofs: list[dict[str, Any]]
    created: list[dict[str, Any]]
    versions: dict[str, str]
    notices: list[dict[str, str]]
    chain: dict[str, Any]
    journal: str
    run_logs: list[dict[str, Any]]
    hints: dict[str, str]

    @property
    def went_back(self) -> bool:
        """Whether clients wrote on the new site and a rollback brought them back to the old one."""
        return bool(self.committed) and self.writes == "source"

    @property
    def stops(self) -> list[dict[str, Any]]:
        """The findings for which the run was refused."""
        return [one for one in self.findings if one["blocking"] and self.outcome == "refused"]


def parse_time(text: str) -> datetime.datetime:
    """An RFC 3339 time as an aware datetime; raises ``ValueError``."""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)


def seconds_between(start: str, stop: str) -> float | None:
    """Seconds from ``start`` to ``stop`` (RFC 3339), None when either is missing or malformed."""
    try:
        return (parse_time(stop) - parse_time(start)).total_seconds()
    except ValueError:
        return None


def to_json(data: ReportData) -> dict[str, Any]:
    """``data`` as plain JSON types."""
    return dataclasses.asdict(data)
