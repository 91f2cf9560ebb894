# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole report in one language: the guide's template, then everything that stands behind it."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report.claims import not_proved, proved
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import (
    Bullets,
    Cell,
    Code,
    Document,
    Foreign,
    Paragraph,
    Section,
    Strong,
    Table,
)
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import ReportData, Step, parse_time
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases, utc
from ansible_collections.dihya.migration.plugins.plugin_utils.report.quality import quality
from ansible_collections.dihya.migration.plugins.plugin_utils.report.template import sentence_case, template_lines
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import (
    COMPONENTS,
    COUNTS,
    ITEMS,
    KINDS,
    NOTICES,
    OUTCOMES,
    PURPOSES,
    STATES,
    STATUSES,
    VERBS,
    VERDICTS,
)

SHOWN_DIGESTS = 20
"""Digests of one step that a page shows; a reader of pages compares none, a program reads the JSON."""


def compose(data: ReportData, words: Words, timezone: datetime.tzinfo | None = None) -> Document:
    """``data`` as a document; ``timezone`` (the local one by default) is that of the header, details are in UTC."""
    say = Phrases(words)
    sections = [
        _summary(data, say, timezone),
        _problems(data, say),
        _next(data, say),
        _checklist(data, say),
        _notes(data, say),
        _steps(data, say),
        _figures(data, say),
        _tests(data, say),
        quality(data, say),
        _freeze(data, say),
        _rollback(data, say),
        proved(data, say),
        not_proved(data, say),
        _proofs(data, say),
        _versions(data, say),
        _journal(data, say),
    ]
    return Document(
        language=words.html_language,
        direction=words.direction,
        title=words("Migration report: {migration}", migration=data.migration_id),
        verdict="OK" if data.outcome == "ok" else "KO",
        when=words.clock(parse_time(data.started).astimezone(timezone)),
        lines=template_lines(data, say, timezone),
        sections=[section for section in sections if section.blocks],
    )


def _verdict(say: Phrases, verdict: str) -> Strong:
    return Strong(say.term(VERDICTS, verdict))


def _summary(data: ReportData, say: Phrases, timezone: datetime.tzinfo | None) -> Section:
    words = say.words
    run = data.run
    window = run.get("window") or {}
    rows: list[tuple[str, Cell]] = [
        (words("Migration"), Code(data.migration_id)),
        (words("Attempt"), words("{attempt} of {total}", attempt=data.attempt, total=len(data.attempts))),
        (words("Outcome"), say.term(OUTCOMES, data.outcome)),
        (words("Now"), say.term(STATES, data.writes)),
        (words("Began"), f"{words.clock(parse_time(data.started).astimezone(timezone))} ({utc(data.started)})"),
        (words("Last event"), f"{words.clock(parse_time(data.ended).astimezone(timezone))} ({utc(data.ended)})"),
        (words("Duration"), words.duration(data.seconds)),
        (words("Users could not write for"), words.duration(data.freeze.seconds) if data.freeze.seconds is not None else ""),
        (words("Restore tried beforehand (RTO)"), _drill(data, say)),
        (words("Rollback took"), words.duration(data.rollback_seconds) if data.rollback_seconds is not None else ""),
        (
            words("Lost by the rollback (RPO)") if data.went_back else words("Lost if rolled back now (RPO)"),
            say.lost(data) if data.writes != "unknown" else "",
        ),
        (words("Strategy"), str(run.get("strategy") or "")),
        (words("Profile"), str(run.get("profile") or "")),
        (words("Ticket"), str(run.get("ticket") or "")),
        (words("Window"), " → ".join(str(window[end]) for end in ("start", "end") if window.get(end))),
        (words("Controller"), Code(run.get("controller") or "")),
    ]
    rows += [
        (
            words("Run"),
            (
                Code(entry["run_id"]),
                f" · {say.term(PURPOSES, entry['purpose'] or 'migrate')}",
                f" · {utc(entry['started'])} · {say.term(OUTCOMES, entry['outcome'])}",
            ),
        )
        for entry in data.runs
    ]
    rows += [
        (words("Earlier attempt"), f"{entry['attempt']} · {utc(entry['started'])} · {say.term(OUTCOMES, entry['outcome'])}")
        for entry in data.attempts
        if entry["attempt"] < data.attempt
    ]
    rows += [(words("Notice"), f"{say.term(NOTICES, notice['kind'])} {utc(notice['time'])}") for notice in data.notices]
    table = Table(words("The migration at a glance"), [words("What"), words("Value")], [[name, value] for name, value in rows if value])
    return Section("summary", words("Summary"), [table])


def _drill(data: ReportData, say: Phrases) -> Cell:
    """What the restore drill measured, empty without one."""
    entry = next(entry for entry in data.checklist if entry["item"] == "rollback_plan")
    return say.text(entry["observed"]) if entry["observed"] and entry["verdict"] == "proved" else ""


def _problems(data: ReportData, say: Phrases) -> Section:
    words = say.words
    rows: list[list[Cell]] = [[sentence_case(say.term(VERBS, "preflight")), *_finding(one, say)] for one in data.stops]
    unit = tuple(data.cause.get(name) for name in ("stack", "verb", "host"))
    failed = [step for step in data.steps if step.status == "failed"]
    if not rows and data.cause and data.outcome != "ok" and unit not in [(step.stack, step.verb, step.host) for step in failed]:
        happened = (*say.cause(data), *_original(data.cause.get("message") or "", say))
        rows.append([sentence_case(words("cause")), happened, Code(data.cause.get("task") or ""), ""])
    for step in failed:
        error = step.facts.get("error") or {}
        subject = error.get("subject") or (data.cause.get("task") if unit == (step.stack, step.verb, step.host) else "")
        happened = (*say.failure(step), *_original(error.get("message") or "", say))
        remedy = say.text(error["remedy"]) if error.get("remedy") else ""
        rows.append([say.place(step.stack, step.host), happened, Code(subject or ""), remedy])
    blocks: list = [
        Table(words("What failed, and what to do"), [words("Where"), words("What happened"), words("Subject"), words("Remedy")], rows)
    ]
    return Section("problems", words("Problems"), blocks if rows else [])


def _finding(found: dict[str, Any], say: Phrases) -> list[Cell]:
    """What was found, its subject, and what to do."""
    return [say.text(found["finding"]), Code(found["subject"]), say.text(found["remedy"]) if found.get("remedy") else ""]


def _notes(data: ReportData, say: Phrases) -> Section:
    """What preflight found and went on; items of the checklist stand there as they were weighed last."""
    words = say.words
    rows = [_finding(one, say) for one in data.findings if not one["blocking"] and not one["subject"].startswith("checklist: ")]
    table = Table(words("Seen before the start, no reason to stop"), [words("What was seen"), words("Subject"), words("Remedy")], rows)
    return Section("notes", words("To be known"), [table] if rows else [])


def _original(message: str, say: Phrases) -> tuple[str, ...]:
    """The words in which a message was written, where the page says it in others: logs and searches know it by these."""
    said = say.text(message) if message else ()
    if not said or "".join(said) == message or all(isinstance(piece, Foreign) for piece in said):
        return ()
    before, _mark, after = say.words(" (original text: {text})", text="\x00").partition("\x00")
    return (before, Foreign(message), after)


def _next(data: ReportData, say: Phrases) -> Section:
    words = say.words
    again = data.outcome in ("rolled_back", "refused")
    names = {
        "resume": words("To try again, once the cause is corrected") if again else words("To go on"),
        "rollback": words("To roll back"),
        "reopen": words("To reopen the old site without Ansible, on the mover"),
    }
    rows: list[list[Cell]] = [[name, Code(data.hints[key])] for key, name in names.items() if data.hints.get(key)]
    table = Table(words("Commands, as this run was started; add its extra variables again"), [words("What for"), words("Command")], rows)
    return Section("next", words("What to do now"), [table] if rows else [])


def _checklist(data: ReportData, say: Phrases) -> Section:
    words = say.words
    rows: list[list[Cell]] = [
        [
            say.term(ITEMS, entry["item"]),
            say.text(entry["expected"]),
            say.text(entry["observed"]) if entry["observed"] else words("nothing"),
            _verdict(say, entry["verdict"]),
            _evidence(entry.get("evidence"), say),
        ]
        for entry in data.checklist
    ]
    head = [words("Item"), words("Expected"), words("Observed"), words("Verdict"), words("Evidence")]
    return Section("checklist", words("Checklist before the migration"), [Table(words("The eight items of the guide"), head, rows)])


def _evidence(evidence: object, say: Phrases) -> Cell:
    """Evidence as one cell; each entry is a sentence or a dict with path, who, when, until, sha256."""
    entries = evidence if isinstance(evidence, list) else [evidence] if evidence else []
    parts: list[str] = []
    for entry in entries:
        parts += [" · "] if parts else []
        if isinstance(entry, dict):
            shown = [(name, str(entry[name])) for name in ("path", "document", "who", "when", "why", "until", "sha256") if entry.get(name)]
            for place, (name, value) in enumerate(shown):
                parts += [", "] if place else []
                parts.append(Code(value) if name in ("path", "document", "sha256") else Foreign(value) if name == "why" else value)
        else:
            parts.append(Foreign(str(entry)))
    return tuple(parts)


def _told(steps: list[Step]) -> list[Step]:
    """Without the hosts that had nothing to do; a verb that had nothing to do anywhere is told once, with its reason."""
    units: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        units.setdefault((step.stack, step.verb), []).append(step)

    def is_told(step: Step) -> bool:
        same = units[step.stack, step.verb]
        return step.status != "not_applicable" or (step is same[0] and all(other.status == "not_applicable" for other in same))

    return list(filter(is_told, steps))


def _steps(data: ReportData, say: Phrases) -> Section:
    words = say.words
    rows: list[list[Cell]] = [
        [
            sentence_case(say.term(VERBS, step.verb)),
            step.stack,
            step.host,
            Strong(say.term(STATUSES, step.status)),
            utc(step.started),
            words.duration(step.seconds) if step.seconds is not None else "",
            say.text(step.facts.get("summary") or step.facts.get("not_applicable") or ""),
        ]
        for step in _told(data.steps)
    ]
    head = [words("Step"), words("Stack"), words("Host"), words("Status"), words("Began (UTC)"), words("Duration"), words("Result")]
    blocks: list = (
        [Table(words("Every step, in the order in which it began; hosts with nothing to do are left out"), head, rows)]
        if rows
        else [Paragraph(words("No step began."))]
    )
    return Section("steps", words("Steps"), blocks)


def _figures(data: ReportData, say: Phrases) -> Section:
    words = say.words
    rows: list[list[Cell]] = []
    for step in data.steps:
        place = f"{sentence_case(say.term(VERBS, step.verb))} · {say.place(step.stack, step.host)}"
        for name, value in (step.facts.get("counts") or {}).items():
            shown = words.size(value) if name.endswith("bytes") else words.number(value)
            rows.append([place, say.term(COUNTS, name), shown])
        digests = list((step.facts.get("digests") or {}).items())
        rows += [[place, words("digest of {name}", name=say.name(name)), Code(value)] for name, value in digests[:SHOWN_DIGESTS]]
        if len(digests) > SHOWN_DIGESTS:
            more = words.plural(
                "and {number} more digest, in report.json", "and {number} more digests, in report.json", len(digests) - SHOWN_DIGESTS
            )
            rows.append([place, more, ""])
    table = Table(words("What was counted and computed"), [words("Where"), words("What"), words("Value")], rows)
    return Section("figures", words("Counts and digests"), [table] if rows else [])


def _tests(data: ReportData, say: Phrases) -> Section:
    words = say.words
    rows: list[list[Cell]] = [
        [
            say.name(test.get("name", "?")),
            say.place(step.stack, step.host),
            _verdict(say, test.get("verdict", "")),
            *(words.number(test[key]) if isinstance(test.get(key), int) else "" for key in ("passed", "failed", "skipped")),
            Code(test.get("log") or ""),
        ]
        for step in data.steps
        for test in step.facts.get("tests") or []
    ]
    head = [words("Test"), words("Where"), words("Verdict"), words("Passed"), words("Failed"), words("Skipped"), words("Log")]
    blocks: list = [Table(words("Every test that was run"), head, rows)] if rows else [Paragraph(words("No test was run."))]
    return Section("tests", words("Tests"), blocks)


def _freeze(data: ReportData, say: Phrases) -> Section:
    words, freeze = say.words, data.freeze
    ends = {
        "commit": words("ended by the switch-over"),
        "reopened": words("ended by reopening the old site"),
        "": words("writes are still refused"),
    }
    rows: list[tuple[str, Cell]] = [
        (words("From"), utc(freeze.start)),
        (words("To"), utc(freeze.stop)),
        (words("Duration"), words.duration(freeze.seconds) if freeze.seconds is not None else ""),
        (words("End"), ends[freeze.end]),
        (words("Fence (proof that nothing wrote since)"), Code(freeze.fence.get("value") or "")),
        (words("Fence read from"), Code(freeze.fence.get("source") or "")),
        (words("Fence read at"), str(freeze.fence.get("at") or "")),
    ]
    table = Table(
        words("How long users could not write"), [words("What"), words("Value")], [[name, value] for name, value in rows if value]
    )
    return Section("freeze", words("Write freeze"), [table] if freeze.start else [Paragraph(words("Writes were never stopped."))])


def _rollback(data: ReportData, say: Phrases) -> Section:
    words = say.words
    if data.outcome == "failed_after_commit":
        text = words(
            "After the switch-over nothing is rolled back by itself: users may have written on the new site since {time}, and restoring "
            "the old data would lose it. The old site stays fenced. Only an explicit rollback goes back, and it restores data over a "
            "live database only with migration_restore_data: true.",
            time=utc(data.committed),
        )
        return Section("rollback", words("Rollback"), [Paragraph(text)])
    rows: list[list[Cell]] = [[entry["stack"], entry["host"], _verdict(say, entry["verdict"])] for entry in data.rollback]
    table = Table(words("What was brought back, in reverse order"), [words("Stack"), words("Host"), words("Verdict")], rows)
    created: list[Cell] = [
        (say.place(entry["stack"], entry["host"]), words(": "), say.term(KINDS, entry.get("kind", "")), " ", Code(entry.get("name", "")))
        for entry in data.created
    ]
    blocks: list = [table] if rows else [Paragraph(words("There was nothing to roll back, or no rollback was run."))]
    if created:
        blocks += [Paragraph(words("Made by this migration (only this is ever removed):")), Bullets(created)]
    return Section("rollback", words("Rollback"), blocks)


def _proofs(data: ReportData, say: Phrases) -> Section:
    words = say.words
    shown = dict.fromkeys(tuple(proof.get(name) or "" for name in ("kind", "host", "path", "sha256")) for proof in data.proofs)
    rows: list[list[Cell]] = [[say.term(KINDS, kind), host, Code(path), Code(sha256)] for kind, host, path, sha256 in shown]
    table = Table(words("Files that prove it"), [words("Kind"), words("Host"), words("Path"), "SHA-256"], rows)
    return Section("proofs", words("Proofs"), [table] if rows else [])


def _versions(data: ReportData, say: Phrases) -> Section:
    versions = {"ansible-core": data.run.get("ansible_version") or "", **data.versions}
    rows: list[list[Cell]] = [
        [say.words(COMPONENTS[name]) if name in COMPONENTS else name, Code(version)]
        for name, version in sorted(versions.items())
        if version
    ]
    table = Table(say.words("Versions of what took part"), [say.words("Component"), say.words("Version")], rows)
    return Section("versions", say.words("Versions"), [table] if rows else [])


def _journal(data: ReportData, say: Phrases) -> Section:
    words, chain = say.words, data.chain
    intact = {True: words("intact"), False: words("broken")}.get(chain.get("intact", ""), words("not checked"))
    rows: list[tuple[str, Cell]] = [
        (words("File"), Code(data.journal)),
        (words("Chain"), Strong(intact)),
        (words("Events"), words.number(chain["events"]) if isinstance(chain.get("events"), int) else ""),
        (words("Head (keep it elsewhere)"), Code(chain.get("head") or "")),
        (words("What is wrong"), Foreign(chain.get("problem") or "")),
        (words("Unfinished last line"), words.size(chain["torn"]) if chain.get("torn") else ""),
    ]
    rows += [
        (
            words("Run log on the controller"),
            (Code(log["path"]), " · ", words.plural("{number} line", "{number} lines", log["lines"]), " · SHA-256 ", Code(log["sha256"])),
        )
        for log in data.run_logs
    ]
    table = Table(
        words("The record this report is made from"), [words("What"), words("Value")], [[name, value] for name, value in rows if value]
    )
    return Section("journal", words("Journal"), [table])
