# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sentences that several parts of the report, and the stop block, say in the same way."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Sentences, Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Foreign
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import ReportData, Step, parse_time
from ansible_collections.dihya.migration.plugins.plugin_utils.report.sentences import NAMES, SENTENCES
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import PURPOSES, RESULTS, STATES, VERBS


def utc(time: str) -> str:
    """A journal time in UTC to the second, empty when there is none."""
    return parse_time(time).astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ") if time else ""


def _in_a_row(parts: list[tuple[str, ...]], separator: str) -> tuple[str, ...]:
    """``parts`` behind one another; a new sentence begins with a capital, unless it is English left as it was."""
    joined = list(parts[0])
    for first, *rest in parts[1:]:
        capital = separator.startswith(".") and not isinstance(first, Foreign)
        joined += [separator, first[:1].upper() + first[1:] if capital else first, *rest]
    return tuple(joined)


class Phrases:
    """What the journal says, in the words of one language."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self._sentences = Sentences(words, SENTENCES)
        self._names = Sentences(words, NAMES)

    def term(self, table: Mapping[str, str], key: str) -> str:
        """The word for ``key``; an unknown key is shown as it is."""
        return self.words(table[key]) if key in table else Foreign(key)

    def text(self, sentence: str) -> tuple[str, ...]:
        """A sentence of the journal: ours in the reader's language, anything else marked as English."""
        for ending in ("", "."):
            translated = self._sentences.translate(sentence.removesuffix(ending)) if sentence.endswith(ending) else None
            if translated is not None:
                return (translated + ending,)
        # Several findings, or a message and its remedy: each part is said in the reader's language where it is known.
        for written, said in ((". To go on: ", ". "), ("; ", self.words("; ")), (". ", ". ")):
            parts = sentence.split(written)
            if len(parts) == 1:
                continue
            shown = [self.text(part) for part in parts]
            if any(not isinstance(piece, Foreign) for pieces in shown for piece in pieces):
                return _in_a_row(shown, said)
        return (Foreign(sentence),)

    def name(self, sentence: str) -> str:
        """A short name that a module gave (a test, a digest), as one text."""
        return self._names.translate(sentence) or sentence

    def lost(self, data: ReportData) -> str:
        """What users wrote that going back now would lose, or that going back has lost."""
        if data.went_back:
            return self._discarded(data)
        if not data.committed or data.writes != "target":
            return self.words("none: no user could write on the new site")
        time = utc(data.committed)
        if "postgresql" in data.run.get("stacks", []):
            return self.words("whatever users wrote on the new site since {time}; the rollback counts it per table first", time=time)
        return self.words("whatever users wrote on the new site since {time}", time=time)

    def _discarded(self, data: ReportData) -> str:
        if data.discarded is None:
            return self.words("whatever users wrote on the new site since {time}; it was not counted", time=utc(data.committed))
        tables = [self.words("{object} (rows: {before} → {after})", **entry) for entry in data.discarded]
        return self.words("; ").join(tables) or self.words("none: every table was as it was proved before the switch-over")

    def place(self, stack: str, host: str) -> str:
        """A stack on a host."""
        return self.words("{stack} on {host}", stack=stack, host=host) if host else stack

    def cause(self, data: ReportData) -> tuple[str, ...]:
        """Why the run stopped, as its end or its unfinished step says it."""
        cause = data.cause
        verb = self.term(VERBS, cause.get("verb") or "")
        place = self.place(cause.get("stack") or "migration", cause.get("host") or "")
        if data.outcome == "interrupted":
            return (self.words("interrupted during {verb} of {place}", verb=verb, place=place),)
        head = self.words("{verb} of {place} failed", verb=verb, place=place) if verb else self.words("{place} failed", place=place)
        message = cause.get("message") or ""
        return (head, self.words(": "), *self.text(message)) if message else (head,)

    def failure(self, step: Step) -> tuple[str, ...]:
        """A failed step and its error."""
        head = self.words("{verb} of {place} failed", verb=self.term(VERBS, step.verb), place=self.place(step.stack, step.host))
        message = (step.facts.get("error") or {}).get("message") or ""
        return (head, self.words(": "), *self.text(message)) if message else (head,)

    def result(self, data: ReportData) -> str:
        """What the outcome means."""
        if data.outcome == "ok" and not data.committed:
            purpose = self.term(PURPOSES, data.run.get("purpose") or "migrate")
            return self.words("What was asked for is done ({purpose}); nothing was switched over.", purpose=purpose)
        return self.term(RESULTS, data.outcome)

    def outcome(self, data: ReportData) -> str:
        """What the outcome means, then where users are now."""
        return f"{self.result(data)} {self.term(STATES, data.writes)}"
