# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report as a document without format: pieces of text, tables, lists. Markdown and HTML render the same one."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Union


class Code(str):
    """A path, a digest or an identifier: shown in a fixed width."""


class Foreign(str):
    """Journal text in English, shown as such inside a report of another language."""


class Strong(str):
    """A word that must be seen: a verdict."""


Cell = Union[str, tuple[str, ...]]


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    text: Cell


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: list[Cell]


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its heading."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; ``key`` is language-neutral."""

    key: str
    heading: str
    blocks: list[Union[Paragraph, Bullets, Table]]


@dataclass(frozen=True)
class Line:
    """One line of the guide's template."""

    key: str
    label: str
    value: Cell


@dataclass(frozen=True)
class Document:
    """The whole report in one language; ``verdict`` is OK or KO."""

    language: str
    direction: str
    title: str
    verdict: str
    when: str
    lines: list[Line]
    sections: list[Section] = field(default_factory=list)


def pieces(cell: Cell) -> tuple[str, ...]:
    """The pieces of a cell."""
    return cell if isinstance(cell, tuple) else (cell,)


def plain(cell: Cell) -> str:
    """A cell as plain text."""
    return "".join(pieces(cell))


_REORDERING = frozenset("\u200b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def visible(text: str) -> str:
    """``text`` in one line; characters that would control the page or reorder its text are shown, not obeyed."""
    if text.isascii() and text.isprintable():
        return text  # nearly every one, and there are tens of thousands
    line = re.sub(r"[\t\r\n\v\f\u2028\u2029]+", " ", text)
    return "".join(f"\\u{ord(c):04x}" if c in _REORDERING or unicodedata.category(c) in ("Cc", "Cs") else c for c in line)
