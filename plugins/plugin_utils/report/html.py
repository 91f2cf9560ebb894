# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A document as one HTML file that needs nothing else: no script, no font, no image, no network."""

from __future__ import annotations

import os

from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Cell, Code, Document, Foreign, Strong, pieces, visible
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_KINDS = ((Code, "code"), (Strong, "strong"), (Foreign, "foreign"))


def _kinds(cell: Cell) -> list[tuple[str, str]]:
    """The pieces of a cell as (kind, text); plain ``str`` so that nothing but Jinja2 decides what is safe."""
    return [
        (next((name for kind, name in _KINDS if isinstance(piece, kind)), "text"), visible(str(piece))) for piece in pieces(cell) if piece
    ]


def render(document: Document) -> str:
    """The page; every text in it is escaped."""
    loader = FileSystemLoader(os.path.dirname(os.path.abspath(__file__)))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    environment.filters["pieces"] = _kinds
    return environment.get_template("page.html.j2").render(document=document) + "\n"
