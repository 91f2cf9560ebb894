# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words of one language: gettext catalogs (``<language>.po`` beside this file) read as they are, no build step.

A message is written in English in the code; ``en.po`` repeats it, so that every language is complete by the same test.
"""

from __future__ import annotations

import datetime
import functools
import io
import os
import re
from typing import Any

try:
    from babel import Locale
    from babel.dates import format_datetime
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po
    from babel.numbers import format_decimal
    from babel.support import Translations

    HAS_BABEL = True
except ImportError:
    HAS_BABEL = False

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
# CLDR's tzm is written in Latin letters; the guide's Tamazight is in Tifinagh, which CLDR and HTML call zgh.
LOCALES = {"tzm": "zgh"}


def N_(text: str) -> str:  # gettext's own name for "translate this later"
    """Mark ``text`` for the catalogs and return it as it is."""
    return text


def NP_(one: str, many: str) -> tuple[str, str]:
    """Mark a message with a plural for the catalogs and return both forms."""
    return one, many


def languages() -> list[str]:
    """The languages that have a catalog, sorted."""
    return sorted(name[:-3] for name in os.listdir(DIRECTORY) if name.endswith(".po"))


class Words:
    """Messages, numbers and times of one language. Raises :class:`MigrationError` without Babel or catalog."""

    def __init__(self, language: str = "fr") -> None:
        if not HAS_BABEL:
            raise MigrationError("the Python library Babel is missing on the controller: pip install Babel")
        if language not in languages():
            raise MigrationError(f"no report in language {language!r}: choose one of {', '.join(languages())}")
        self.language = language
        self.locale = Locale.parse(LOCALES.get(language, language))
        self.html_language = str(self.locale).replace("_", "-")
        self.direction = self.locale.text_direction
        with open(os.path.join(DIRECTORY, language + ".po"), "rb") as stream:
            catalog = read_po(stream, locale=str(self.locale))
        self._known = {message.id for message in catalog if isinstance(message.id, str) and message.id}
        compiled = io.BytesIO()
        write_mo(compiled, catalog)
        compiled.seek(0)
        self._translations = Translations(compiled)

    def __call__(self, message: str, **values: Any) -> str:
        """``message`` in this language, its ``{names}`` filled with ``values``."""
        text = self._translations.gettext(message)
        return text.format(**values) if values else text

    def plural(self, one: str, many: str, number: int) -> str:
        """The form for ``number``, which stands in the message as ``{number}``."""
        return self._translations.ngettext(one, many, number).format(number=self.number(number))

    def known(self, message: str) -> bool:
        """Whether the catalog has ``message``."""
        return message in self._known

    def number(self, value: float) -> str:
        """``value`` grouped as the language groups digits."""
        return format_decimal(value, locale=self.locale)

    def size(self, value: int) -> str:
        """A number of bytes with a binary unit."""
        units = [N_("bytes"), N_("KiB"), N_("MiB"), N_("GiB"), N_("TiB")]
        amount, unit = float(value), units.pop(0)
        while amount >= 1024 and units:
            amount, unit = amount / 1024, units.pop(0)
        return f"{format_decimal(round(amount, 1), locale=self.locale)}\u00a0{self(unit)}"

    def duration(self, seconds: float) -> str:
        """Seconds below one minute with one decimal, then minutes, then hours."""
        if seconds < 60:
            return self("{seconds} s", seconds=format_decimal(round(seconds, 1), locale=self.locale))
        minutes, rest = divmod(round(seconds), 60)
        if minutes < 60:
            return self("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
        return self("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)

    def clock(self, moment: datetime.datetime) -> str:
        """A local time with its offset."""
        return format_datetime(moment, "yyyy-MM-dd HH:mm:ss xxx", locale=self.locale)


FIGURES = ("count", "rows", "tables", "files", "bytes", "databases", "roles", "objects", "explained", "seconds", "left", "needed", "status")
"""Placeholders whose value is a number of something, written as the reader's language writes numbers."""
NESTED = ("reason", "text")
"""Placeholders whose value may be sentences of ours again."""
ONE = ("why",)
"""Placeholders whose value may be one sentence of ours."""


class Sentences:
    """English sentences that our own code wrote into the journal, said again in the reader's language.

    A template is a message with ``{names}``; a journal sentence that fits one is translated with the same values,
    any other is left as it is (the page marks it as English). Only a nested value may hold several sentences.
    """

    def __init__(self, words: Words, templates: tuple[str, ...]) -> None:
        self._words = words
        # How each begins and ends: few sentences fit that, and only for those an expression is worth its making.
        self._templates = [(one.partition("{")[0], one.rpartition("}")[2], one) for one in templates]

    @staticmethod
    @functools.cache
    def _pattern(template: str) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", template)
        return re.compile(
            "".join(re.escape(part) if place % 2 == 0 else f"(?P<{part}>{Sentences._value(part)})" for place, part in enumerate(parts))
            + r"\Z"
        )

    def translate(self, sentence: str) -> str | None:
        """The sentence in this language, or None when no template fits."""
        for begin, end, template in self._templates:
            match = self._pattern(template).match(sentence) if sentence.startswith(begin) and sentence.endswith(end) else None
            if match:
                values = {name: self._filled(name, value) for name, value in match.groupdict().items()}
                return self._words(template, **values) if values else self._words(template)
        return None

    @staticmethod
    def _value(name: str) -> str:
        return ".+" if name in NESTED else r"-?\d+(?:\.\d+)?" if name in FIGURES else "(?:(?!; ).)+?"

    def _filled(self, name: str, value: str) -> str:
        if name in FIGURES and len(value) < 16:
            return self._words.number(float(value) if "." in value else int(value))
        if name in NESTED:
            return self._words("; ").join(self.translate(part) or part for part in value.split("; "))
        return (self.translate(value) or value) if name in ONE else value
