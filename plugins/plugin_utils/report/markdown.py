# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A document as Markdown (CommonMark with GFM tables). Every piece is data: nothing in it can become markup."""

from __future__ import annotations

import re

from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import (
    Bullets,
    Cell,
    Code,
    Document,
    Paragraph,
    Section,
    Strong,
    Table,
    pieces,
    plain,
    visible,
)

# An underscore between letters or digits is no emphasis, so paths stay readable.
_ACTIVE = re.compile(r"[\\`*\[<|~]|&(?=#|\w+;)|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_BLOCK_START = re.compile(r"^(?:[#+\-=:>]|\d{1,9}[.)])")


def escape(text: str) -> str:
    """``text`` as Markdown that shows exactly ``text``, also inside a table (not at the start of a line)."""
    return _ACTIVE.sub(lambda match: "\\" + match.group(), visible(text))


def at_line_start(markdown: str) -> str:
    """``markdown`` so that its first characters open no heading, list or quotation."""
    return _BLOCK_START.sub(lambda match: match.group()[:-1] + "\\" + match.group()[-1], markdown)


def code(text: str, in_table: bool = False) -> str:
    """``text`` as a code span, with as many backticks as it needs."""
    shown = visible(text)
    if not shown:
        return ""
    if in_table and ("|" in shown or "\\" in shown):
        return escape(text)  # inside a table even a code span ends at a bar
    runs = [len(run) for run in re.findall(r"`+", shown)]
    fence = "`" * next(length for length in range(1, len(shown) + 2) if length not in runs)
    space = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _cell(cell: Cell, in_table: bool = False) -> str:
    return at_line_start("".join(_piece(piece, in_table) for piece in pieces(cell)).strip(" "))


def _piece(piece: str, in_table: bool) -> str:
    if isinstance(piece, Code):
        return code(piece, in_table)
    return f"**{escape(piece)}**" if isinstance(piece, Strong) and piece else escape(piece)


def _table(table: Table) -> list[str]:
    rows = [[_cell(cell, in_table=True) for cell in row] for row in table.rows]
    head = [escape(name) for name in table.head]
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    return [escape(table.caption), "", *lines]


def _section(section: Section) -> list[str]:
    lines = ["", f"## {escape(section.heading)}"]
    for block in section.blocks:
        lines.append("")
        if isinstance(block, Table):
            lines += _table(block)
        elif isinstance(block, Bullets):
            lines += [f"- {_cell(item)}" for item in block.items]
        elif isinstance(block, Paragraph):
            lines.append(_cell(block.text))
    return lines


def render(document: Document) -> str:
    """The guide's template first, to the letter, then a section for everything behind it."""
    colon = " : " if document.language == "fr" else ": "
    # The template writes its paths without code marks, as the guide's example does.
    lines = [f"- {line.label}{colon}{escape(plain(line.value))}".rstrip() for line in document.lines]
    for section in document.sections:
        lines += _section(section)
    return "\n".join(lines) + "\n"
