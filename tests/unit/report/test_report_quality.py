# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report says how the pages were before and how they are now, in the reader's language."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render

from tests.unit.report import journals

ROWS = {
    "fr": (
        "| `/` | performance (Lighthouse) | 90 | 87,5 |", "| `/{language}/` (ar) | volume | 50,8\u00a0Kio | 50\u00a0Kio |",
        "| `/` (fr) | requêtes |  | 7 |",
        "| `color-contrast` | grave | `/{language}/` (ar) | 3 | 3 | **comme avant, ou moins** | RGAA 3.2; WCAG 1.4.3 |",
        "| pages absentes du plan du site (sitemap) | modéré | tout le site | 1 | 0 | **disparu** |  |",
        "et 2 de plus, dans le relevé", "Dans les langues\u00a0: fr, ar.",
    ),
    "en": (
        "| `/` | performance (Lighthouse) | 90 | 87\\.5 |", "| `/{language}/` (ar) | volume | 50\\.8\u00a0KiB | 50\u00a0KiB |",
        "| pages that the sitemap lacks | moderate | the whole site | 1 | 0 | **no longer** |  |", "and 2 more, in the record",
    ),
}


@pytest.mark.parametrize("language", ROWS)
def test_scores_and_broken_rules_stand_in_the_report(language: str) -> None:
    journal = journals.ok()
    pages = render(journal.events, journal.chain(), Options(language=language))[1]
    for row in ROWS[language]:
        assert row in pages["report.md"], pages["report.md"]
    assert "color-contrast" in pages["report.html"]


def test_without_a_measurement_there_is_no_section() -> None:
    journal = journals.rolled_back()
    assert "Qualité des pages" not in render(journal.events, journal.chain(), Options())[1]["report.md"]
