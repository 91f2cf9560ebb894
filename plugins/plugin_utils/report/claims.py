# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the report claims: the sections on what is demonstrated and what is not."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Bullets, Cell, Code, Section, Strong
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import ReportData
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases
from ansible_collections.dihya.migration.plugins.plugin_utils.report.template import sentence_case, test_said
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import ITEMS, NOT_PROVED, RULES, VERBS


def proved(data: ReportData, say: Phrases) -> Section:
    """What machines proved: steps that proved their result, tests, points of the checklist. What people state is not among them."""
    words = say.words
    items: list[Cell] = [
        (
            Strong(sentence_case(say.term(VERBS, step.verb))),
            f" ({say.place(step.stack, step.host)})",
            words(": "),
            *say.text(step.facts["summary"]),
        )
        for step in data.steps
        if step.status == "ok" and step.verb != "preflight" and step.facts.get("summary")
    ]
    items += [
        (Strong(words("Test")), f" ({say.place(step.stack, step.host)})", words(": "), test_said(test, say))
        for step in data.steps
        for test in step.facts.get("tests") or []
        if test.get("verdict") == "passed"
    ]
    items += [
        (Strong(words("Checklist")), words(": "), say.term(ITEMS, entry["item"]))
        for entry in data.checklist
        if entry["verdict"] == "proved"
    ]
    return Section("proved", words("Demonstrated"), [Bullets(items)] if items else [])


def not_proved(data: ReportData, say: Phrases) -> Section:
    """What a reader might take for proved and is not, and what no proof of ours can show."""
    words = say.words
    items: list[Cell] = []
    for entry in data.not_proved:
        kind = say.term(NOT_PROVED, entry["kind"])
        if entry["verb"] == "checklist":
            items.append((Strong(sentence_case(kind)), words(": "), say.term(ITEMS, entry["text"])))
        else:
            place = "" if entry["verb"] == "end" else f" ({say.term(VERBS, entry['verb'])}, {say.place(entry['stack'], entry['host'])})"
            items.append((Strong(sentence_case(kind)), place, words(": "), *_why_not(entry, say)))
    items.append(words("A row digest has 64 bits: it detects accidents, not an adversary who chooses the rows."))
    items.append(
        words(
            "The journal's chain shows a changed or removed line; that its end was cut off can only be shown against an anchor kept "
            "elsewhere, such as the head below in this report."
        )
    )
    return Section("not_proved", words("Not demonstrated"), [Bullets(items)])


def _why_not(entry: dict[str, str], say: Phrases) -> tuple[str, ...]:
    """What is not proved; for an explained difference the object, then the rule in words."""
    if entry["kind"] == "explained":
        rule, _colon, subject = entry["text"].partition(": ")
        return (Code(subject), say.words(": "), say.term(RULES, rule)) if subject else (say.term(RULES, rule),)
    return (say.name(entry["text"]),) if entry["kind"] == "test_skipped" else say.text(entry["text"])
