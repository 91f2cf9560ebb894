# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sentences that several parts of the report, and the stop block, say in the same way."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Sentences, Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Foreign
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import ReportData, Step
from ansible_collections.dihya.migration.plugins.plugin_utils.report.sentences import SENTENCES
from ansible_collections.dihya.migration.plugins.plugin_utils.report.vocabulary import PURPOSES, RESULTS, STATES, VERBS


class Phrases:
    """What the journal says, in the words of one language."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self._sentences = Sentences(words, SENTENCES)

    def term(self, table: Mapping[str, str], key: str) -> str:
        """The word for ``key``; an unknown key is shown as it is."""
        return self.words(table[key]) if key in table else Foreign(key)

    def text(self, sentence: str) -> str:
        """A sentence of the journal: ours in the reader's language, anything else marked as English."""
        translated = self._sentences.translate(sentence)
        if translated is None and "; " in sentence:
            parts = [self._sentences.translate(part) for part in sentence.split("; ")]
            translated = self.words("; ").join(part for part in parts if part) if all(parts) else None
        return translated if translated is not None else Foreign(sentence)

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
        return (head, self.words(": "), self.text(message)) if message else (head,)

    def failure(self, step: Step) -> tuple[str, ...]:
        """A failed step and its error."""
        head = self.words("{verb} of {place} failed", verb=self.term(VERBS, step.verb), place=self.place(step.stack, step.host))
        message = (step.facts.get("error") or {}).get("message") or ""
        return (head, self.words(": "), self.text(message)) if message else (head,)

    def result(self, data: ReportData) -> str:
        """What the outcome means."""
        if data.outcome == "ok" and not data.committed:
            purpose = self.term(PURPOSES, data.run.get("purpose") or "migrate")
            return self.words("What was asked for is done ({purpose}); nothing was switched over.", purpose=purpose)
        return self.term(RESULTS, data.outcome)

    def outcome(self, data: ReportData) -> str:
        """What the outcome means, then where users are now."""
        return f"{self.result(data)} {self.term(STATES, data.writes)}"
