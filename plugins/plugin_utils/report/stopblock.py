# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last lines on the screen when a migration stops: what happened, where users are, what to type. Pure."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import plain, visible
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Hints, ReportData
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases, utc
from ansible_collections.dihya.migration.plugins.plugin_utils.report.template import final_status, problems
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import STATES

LONGEST = 400
"""Characters of one line; an operator at night reads no more, and a terminal wraps it."""


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
            words("Why: {cause}", cause=say.result(data) if _as_asked(data) else plain(problems(data, say))),
            users,
            *_states(data, say),
            words("To go on: {command}", command=hints.resume) if hints.resume else "",
            words("To roll back: {command}", command=hints.rollback) if hints.rollback else "",
            words("Without Ansible, to reopen the old site: {command}", command=hints.reopen) if hints.reopen else "",
            report,
        ]
    )


def _as_asked(data: ReportData) -> bool:
    """Whether it stopped because it was told to: at its hold, or after a rollback on demand."""
    return data.outcome == "waiting" or (data.outcome == "rolled_back" and not data.cause)


def _tidy(found: list[str]) -> list[str]:
    shown = [visible(line) for line in found if line]
    return [line if len(line) <= LONGEST else line[: LONGEST - 1] + "…" for line in shown]


def _states(data: ReportData, say: Phrases) -> list[str]:
    """Source, target and what a rollback would lose; nothing where an earlier run that is not known here decides it."""
    words = say.words
    if data.writes == "unknown":
        return []
    return [
        words("Source: {state}", state=_source(data, words)),
        words("Target: {state}", state=_target(data, words)),
        words("Rows lost by the rollback: {rows}", rows=say.lost(data))
        if data.went_back
        else words("Rows lost if rolled back now: {rows}", rows=say.lost(data)),
    ]


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
