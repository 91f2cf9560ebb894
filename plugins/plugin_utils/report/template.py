# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The eleven lines of the guide's report template."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Cell, Code, Line
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import VERBS, ReportData, parse_time
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import (
    FIELDS,
    FIGURES,
    GUIDE_STACKS,
    PURPOSES,
    STACK_WORDS,
    STATUS_NOTES,
)
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import (
    VERBS as VERB_WORDS,
)

SHOWN_PROOFS = 6


def template_lines(data: ReportData, say: Phrases, timezone: datetime.tzinfo | None) -> list[Line]:
    """The eleven fields, in order, each one line."""
    values: dict[str, Cell] = {
        "date_time": parse_time(data.started).astimezone(timezone).strftime("%Y-%m-%d %H:%M"),
        "stack": stacks(data, say),
        "description": description(data, say),
        "steps": steps_done(data, say),
        "tests": tests_passed(data, say),
        "problems": problems(data, say),
        "rollback": rollback_done(data, say),
        "status": final_status(data, say),
        "responsible": str(data.run.get("operator") or say.words("not given")),
        "proofs": proofs(data, say),
        "comment": comment(data, say),
    }
    return [Line(key, say.words(label), values[key]) for key, label in FIELDS.items()]


def sentence_case(text: str) -> str:
    """``text`` with a capital first letter and the rest as it is."""
    return text[:1].upper() + text[1:]


def stacks(data: ReportData, say: Phrases) -> str:
    """The stacks in the guide's words and order; a stack the guide does not name keeps its own."""
    named = data.run.get("stacks") or list(dict.fromkeys(step.stack for step in data.steps))
    words = {STACK_WORDS.get(stack, stack) for stack in named}
    ordered = [word for word in GUIDE_STACKS if word in words] + sorted(words - set(GUIDE_STACKS))
    return " / ".join(ordered) or say.words("none")


def description(data: ReportData, say: Phrases) -> Cell:
    """What the operator wrote, else what the journal knows."""
    text = data.run.get("description")
    if not text:
        purpose = say.term(PURPOSES, data.run.get("purpose") or "migrate")
        named = ", ".join(data.run.get("stacks") or []) or say.words("none")
        text = say.words("{migration}: {purpose} ({stacks})", migration=data.migration_id, purpose=purpose, stacks=named)
    ticket = data.run.get("ticket")
    return say.words("{text}, ticket {ticket}", text=text, ticket=ticket) if ticket else str(text)


def steps_done(data: ReportData, say: Phrases) -> str:
    """Verbs that ended on every stack and host, and those that ended on some only."""
    done = []
    for verb in VERBS:
        relevant = [step for step in data.steps if step.verb == verb and step.status not in ("not_applicable", "skipped")]
        finished = [step for step in relevant if step.status == "ok"]
        if relevant and len(finished) == len(relevant):
            done.append(say.term(VERB_WORDS, verb))
        elif relevant:
            done.append(
                say.words("{verb} incomplete ({done} of {total})", verb=say.term(VERB_WORDS, verb), done=len(finished), total=len(relevant))
            )
    return sentence_case(", ".join(done)) or say.words("No step ended")


def tests_passed(data: ReportData, say: Phrases) -> str:
    """Every test suite with its verdict and figures, failures included: leaving them out would flatter."""
    return ", ".join(test_said(test, say) for step in data.steps for test in step.facts.get("tests") or []) or say.words("None run")


def test_said(test: dict, say: Phrases) -> str:
    """One test with its verdict and figures."""
    name, verdict = say.name(test.get("name", "?")), test.get("verdict")
    if verdict == "skipped":
        return say.words("{name} not run", name=name)
    status = "OK" if verdict == "passed" else "KO"
    figures = [say.words.plural(*forms, test[key]) for key, forms in FIGURES.items() if test.get(key)]
    return f"{name} {status}" + (f" ({', '.join(figures)})" if figures else "")


def problems(data: ReportData, say: Phrases) -> Cell:
    """What stopped it, else the cause, then every other step that failed; « none » only when nothing did."""
    found = [say.text(one["finding"]) for one in data.stops]
    if not found and data.cause and data.outcome != "ok":
        found.append(say.cause(data))
    for step in data.steps:
        is_cause = (step.stack, step.verb, step.host) == (data.cause.get("stack"), data.cause.get("verb"), data.cause.get("host"))
        if step.status == "failed" and not is_cause:
            found.append(say.failure(step))
    if data.outcome == "interrupted" and not data.cause:
        found.append((say.words("the run stopped without saying why (stopped, killed or cut off)"),))
    if not found:
        return say.words("None") if data.outcome in ("ok", "waiting") else say.words("the journal names no cause")
    first, *rest = _joined(found, say.words("; "))
    return (sentence_case(first), *rest)


def rollback_done(data: ReportData, say: Phrases) -> str:
    """Yes or No; yes in part names what is still owed."""
    if data.outcome == "rolled_back":
        return say.words("Yes")
    if data.outcome == "rollback_incomplete":
        owed = ", ".join(
            say.place(entry["stack"], entry["host"]) for entry in data.rollback if entry["verdict"] not in ("ok", "not_applicable")
        )
        return say.words("Yes, in part (still owed: {owed})", owed=owed or "?")
    return say.words("No")


def final_status(data: ReportData, say: Phrases) -> str:
    """OK or KO; whatever is not finished is KO and says so."""
    if data.outcome == "ok":
        return "OK"
    return f"KO ({say.term(STATUS_NOTES, data.outcome)})" if data.outcome in STATUS_NOTES else "KO"


def proofs(data: ReportData, say: Phrases) -> Cell:
    """The journal and the first proofs; the section *Proofs* has them all."""
    paths = list(dict.fromkeys([data.journal] * bool(data.journal) + [proof["path"] for proof in data.proofs if proof.get("path")]))
    if not paths:
        return say.words("None")
    parts: list[str] = []
    for path in paths[:SHOWN_PROOFS]:
        parts += [", ", Code(path)] if parts else [Code(path)]
    rest = len(paths) - SHOWN_PROOFS
    if rest > 0:
        parts.append(say.words.plural(" and {number} other below", " and {number} others below", rest))
    return tuple(parts)


def comment(data: ReportData, say: Phrases) -> str:
    """Where users are now, how long writes stood still, what is not proved."""
    found = [say.outcome(data)]
    if data.freeze.seconds is not None:
        found.append(say.words("Writes stood still for {duration}.", duration=say.words.duration(data.freeze.seconds)))
    if data.not_proved:
        found.append(
            say.words.plural(
                "{number} point is not demonstrated, see below.", "{number} points are not demonstrated, see below.", len(data.not_proved)
            )
        )
    return " ".join(found)


def _joined(parts: Iterable[tuple[str, ...]], separator: str) -> tuple[str, ...]:
    joined: list[str] = []
    for part in parts:
        joined += [separator, *part] if joined else list(part)
    return tuple(joined)
