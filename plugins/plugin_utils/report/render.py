# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Journal events in, the three files of a report out."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report import html, markdown
from ansible_collections.dihya.migration.plugins.plugin_utils.report.compose import compose
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import plain
from ansible_collections.dihya.migration.plugins.plugin_utils.report.history import build
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Options, ReportData, to_json

FORMAT = 1


def render(events: list[dict[str, Any]], chain: dict[str, Any], options: Options) -> tuple[ReportData, dict[str, str]]:
    """What happened, and ``{file name: text}``. Raises ``MigrationError`` for an empty journal or unknown language."""
    data = build(events, chain, options)
    document = compose(data, Words(options.language), options.timezone)
    fields = [{"field": line.key, "label": line.label, "value": plain(line.value)} for line in document.lines]
    body = {"format": FORMAT, "language": document.language, "verdict": document.verdict, "fields": fields, **to_json(data)}
    return data, {
        "report.md": markdown.render(document),
        "report.html": html.render(document),
        "report.json": json.dumps(body, indent=1, ensure_ascii=False) + "\n",
    }
