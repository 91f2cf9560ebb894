# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last lines on the screen when a migration stops: what happened, where users are, what to type. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report.compose import utc
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import plain, visible
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import ReportData
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases
from ansible_collections.dihya.migration.plugins.plugin_utils.report.template import final_status, problems
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import STATES

LONGEST = 400
"""Characters of one line; an operator at night reads no more, and a terminal wraps it."""


@dataclass(frozen=True)
class Hints:
    """What only the caller knows: complete commands, and paths. An empty one leaves its line out."""

    resume: str = ""
    rollback: str = ""
    reopen: str = ""
    report: str = ""


def lines(data: ReportData, words: Words, hints: Hints) -> list[str]:
    """At most twelve plain lines; nothing for a migration that is OK but the result and the report."""
    say = Phrases(words)
    head = words(
        "{migration}, attempt {attempt}: {status}", migration=data.migration_id, attempt=data.attempt, status=final_status(data, say)
    )
    users = say.term(STATES, data.writes)
    report = words("Report: {path}", path=hints.report) if hints.report else ""
    if data.outcome == "ok":
        return _tidy([head, users, report])
    return _tidy(
        [
            head,
            words("Why: {cause}", cause=say.result(data) if data.outcome == "waiting" else plain(problems(data, say))),
            users,
            words("Source: {state}", state=_source(data, words)),
            words("Target: {state}", state=_target(data, words)),
            words("Rows lost if rolled back now: {rows}", rows=_lost(data, words)),
            words("To go on: {command}", command=hints.resume) if hints.resume else "",
            words("To roll back: {command}", command=hints.rollback) if hints.rollback and _can_roll_back(data) else "",
            words("Without Ansible, to reopen the old site: {command}", command=hints.reopen) if hints.reopen and _is_closed(data) else "",
            report,
        ]
    )


def _tidy(found: list[str]) -> list[str]:
    shown = [visible(line) for line in found if line]
    return [line if len(line) <= LONGEST else line[: LONGEST - 1] + "…" for line in shown]


def _is_closed(data: ReportData) -> bool:
    """Whether the old site may still refuse writes although users belong there."""
    return data.writes in ("nowhere", "uncertain")


def _can_roll_back(data: ReportData) -> bool:
    return data.outcome not in ("rolled_back", "refused")


def _source(data: ReportData, words: Words) -> str:
    fence = data.freeze.fence.get("value")
    proof = words("unchanged up to fence {fence}", fence=fence) if fence else words("no fence was taken")
    if data.writes == "nowhere":
        return words("frozen since {time}, {proof}", time=utc(data.freeze.start), proof=proof)
    if data.writes == "target":
        return words("closed to writes since {time}, {proof}", time=utc(data.freeze.start), proof=proof)
    if data.writes == "uncertain":
        return words("perhaps partly frozen, {proof}", proof=proof)
    if data.freeze.start:
        return words("open again since {time}, {proof}", time=utc(data.reopened), proof=proof)
    return words("open, never frozen")


def _target(data: ReportData, words: Words) -> str:
    if data.writes == "target":
        return words("in use since {time}", time=utc(data.committed))
    if data.outcome == "rolled_back":
        return words("not in use, what this migration made there is gone")
    if any(step.verb == "migrate" and step.status != "not_applicable" for step in data.steps):
        return words("not in use, holds what was migrated so far")
    return words("not in use, untouched")


def _lost(data: ReportData, words: Words) -> str:
    if data.committed and data.writes == "target":
        return words("whatever users wrote on the new site since {time}; the rollback counts it per table first", time=utc(data.committed))
    return words("none: no user could write on the new site")
