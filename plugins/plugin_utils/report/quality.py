# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report's section on the pages of a site: what they scored before and now, and which rules they break."""

from __future__ import annotations

from typing import Any

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import N_
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Cell, Code, Paragraph, Section, Strong, Table
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import ReportData
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases

MEASURES = {
    "performance": N_("performance (Lighthouse)"),
    "accessibility": N_("accessibility (Lighthouse)"),
    "best-practices": N_("good practice (Lighthouse)"),
    "seo": N_("search engines (Lighthouse)"),
    "bytes": N_("volume"),
    "requests": N_("requests"),
}
IMPACTS = {"critical": N_("critical"), "serious": N_("serious"), "moderate": N_("moderate"), "minor": N_("minor")}
COMPARED = {
    "new": N_("more than before"), "known": N_("as before, or less"), "gone": N_("no longer"), "found": N_("not compared"),
}
RULES = {
    "seo-title": N_("no title"),
    "seo-description": N_("not one description"),
    "seo-canonical": N_("not one absolute canonical address"),
    "seo-robots": N_("closed to search engines"),
    "seo-hreflang": N_("languages without an alternate (hreflang)"),
    "seo-robots-txt": N_("no robots.txt"),
    "seo-sitemap": N_("pages that the sitemap lacks"),
    "language-asked": N_("not in the language that was asked for"),
    "direction": N_("not in the direction of its language"),
    "failed-requests": N_("requests that failed"),
}
"""Our own rules; those of axe-core go by the names under which its documentation knows them."""


def quality(data: ReportData, say: Phrases) -> Section:
    """Every measurement of the attempt; no section where nothing was measured."""
    words = say.words
    measured = [step.facts["quality"] for step in data.steps if step.facts.get("quality")]
    blocks: list = []
    for one in measured:
        pages, languages = one.get("pages") or [], one.get("languages") or []
        if pages:
            looked = words("Pages opened in a browser: {pages}.", pages=", ".join(pages))
            spoken = words(" In the languages: {languages}.", languages=", ".join(languages)) if languages else ""
            blocks.append(Paragraph(looked + spoken))
        blocks += _scores(one, say) + _violations(one, say)
    return Section("quality", words("Quality of the pages"), blocks)


def _scores(one: dict[str, Any], say: Phrases) -> list[Table]:
    words = say.words
    rows: list[list[Cell]] = [
        [_page(row, say), say.term(MEASURES, row["what"]), _figure(row, "before", say), _figure(row, "after", say)]
        for row in one.get("scores") or []
    ]
    head = [words("Page"), words("What"), words("Old site"), words("New site")]
    return [Table(words("What the pages scored (of 100) and weigh"), head, rows)] if rows else []


def _violations(one: dict[str, Any], say: Phrases) -> list:
    words = say.words
    rows: list[list[Cell]] = [
        [
            say.term(RULES, row["rule"]) if row["rule"] in RULES else Code(row["rule"]),
            say.term(IMPACTS, row.get("impact", "")),
            _page(row, say),
            _figure(row, "before", say),
            _figure(row, "after", say),
            Strong(say.term(COMPARED, row["verdict"])),
            row.get("criteria", ""),
        ]
        for row in one.get("violations") or []
    ]
    head = [words("Rule"), words("Impact"), words("Page"), words("Old site"), words("New site"), words("Compared"), words("Criteria")]
    blocks: list = [Table(words("Rules that the pages break, the worst first"), head, rows)] if rows else []
    if one.get("more"):
        blocks.append(Paragraph(words.plural("and {number} more, in the record", "and {number} more, in the record", one["more"])))
    return blocks


def _page(row: dict[str, Any], say: Phrases) -> Cell:
    if not row.get("page"):
        return say.words("the whole site")
    return (Code(row["page"]), f" ({row['language']})") if row.get("language") else Code(row["page"])


def _figure(row: dict[str, Any], side: str, say: Phrases) -> str:
    value = row.get(side)
    if value is None:
        return ""
    if row.get("what") == "bytes":
        return say.words.size(int(value))
    return say.words.number(int(value) if float(value).is_integer() else value)
