# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last lines on the screen when a migration stops: what happened, where users are, what to type. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import plain, visible
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Hints, ReportData
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases, utc
from ansible_collections.dihya.migration.plugins.plugin_utils.report.template import final_status, problems
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import STATES, STATUS_NOTES

LONGEST = 400
"""Characters of one line; an operator at night reads no more, and a terminal wraps it."""


@dataclass(frozen=True)
class Stand:
    """How a migration stands that a run did not come to begin: ``data`` of its last attempt, None where nothing is on record.

    ``whole``: whether the journal itself said it, and not only what this controller saw of it. ``holder``: run_id, operator,
    since and alive (None when that cannot be told) of the run that has the lock, empty without one that may live.
    """

    data: ReportData | None = None
    whole: bool = True
    holder: dict[str, Any] = field(default_factory=dict)


def lines(data: ReportData, words: Words, hints: Hints) -> list[str]:
    """At most twelve plain lines; nothing for a migration that is OK, and waits for nothing, but the result and the report."""
    say = Phrases(words)
    head = words(
        "{migration}, attempt {attempt}: {status}", migration=data.migration_id, attempt=data.attempt, status=final_status(data, say)
    )
    users = say.term(STATES, data.writes)
    report = words("Report: {path}", path=hints.report) if hints.report else ""
    if data.outcome == "ok" and data.writes in ("source", "target") and not data.held:
        return _tidy([head, users, report])
    return _tidy(
        [
            head,
            words("Why: {cause}", cause=say.result(data) if _as_asked(data) else plain(problems(data, say))),
            users,
            *_states(data, say),
            *_commands(hints, words),
            report,
        ]
    )


def refusal(migration_id: str, why: str, stand: Stand | None, words: Words, hints: Hints) -> list[str]:
    """At most twelve plain lines of a run that was refused: ``why``, and how things stand; None where no journal can be named."""
    say = Phrases(words)
    status = f"KO ({say.term(STATUS_NOTES, 'refused')})"
    return _tidy(
        [
            words("{migration}: {status}", migration=migration_id if stand else words("migration"), status=status),
            words("Why: {cause}", cause=plain(say.text("; ".join(line.rstrip(".") for line in why.splitlines())))),
            *(_stand(stand, say, hints) if stand else []),
            words("Report: {path}", path=hints.report) if hints.report else "",
        ]
    )


def _stand(stand: Stand, say: Phrases, hints: Hints) -> list[str]:
    """Where users are and what to type, as far as the journal, or what this controller saw of it, says it."""
    words, data, holder = say.words, stand.data, stand.holder
    writes = data.writes if data else "source" if stand.whole else "unknown"
    # With what is complete, was only backed up or is on no record there is nothing to go on: it is asked for again.
    again = {"resume": hints.resume, "reopen": hints.reopen if writes == "unknown" else ""}
    known = data.hints if data and data.hints else again
    at_work = {
        True: words("Run {run} of {operator} is at work since {time}.", **_who(holder)),
        None: words("Whether run {run} of {operator} is still at work since {time} cannot be told from here.", **_who(holder)),
    }[holder["alive"]] if holder else ""
    told = [at_work, say.term(STATES, writes)]
    if data:
        told += _states(data, say)
    elif stand.whole:
        told.append(words("Source: {state}", state=words("open, never frozen")))
        told.append(words("Target: {state}", state=words("not in use, untouched")))
    if data and not stand.whole:
        told.append(words("The journal cannot be read: this is what this controller saw of it until {time}.", time=utc(data.ended)))
    # Beside a run that is at work nobody has to go on, go back or reopen anything.
    return told if holder and holder["alive"] else [*told, *_commands(Hints(**known), words)]


def _who(holder: dict[str, Any]) -> dict[str, str]:
    return {"run": holder["run_id"], "operator": holder["operator"] or "?", "time": utc(holder["since"])}


def _commands(hints: Hints, words: Words) -> list[str]:
    return [
        words("To go on: {command}", command=hints.resume) if hints.resume else "",
        words("To roll back: {command}", command=hints.rollback) if hints.rollback else "",
        words("Without Ansible, to reopen the old site: {command}", command=hints.reopen) if hints.reopen else "",
    ]


def _as_asked(data: ReportData) -> bool:
    """Whether it stopped because it was told to: at its hold, verified once more or not, or after a rollback on demand."""
    return data.outcome in ("waiting", "ok") or (data.outcome == "rolled_back" and not data.cause)


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
        closed = words("closed to writes since {time}, {proof}", time=utc(data.freeze.start), proof=proof)
        return closed if data.freeze.start else words("never frozen")
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
