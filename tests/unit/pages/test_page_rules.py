# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a page and a site, judged from what a visit saw."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._pages.rules import (
    SEO_RULES,
    Site,
    covered,
    judge_page,
    judge_site,
    locations,
    same_language,
    shuts_out,
)
from ansible_collections.dihya.migration.plugins.module_utils._pages.visit import Seen

HEAD = {"language": "fr", "direction": "ltr", "title": "Accueil", "description": ["Un site."], "robots": [],
        "canonical": ["https://a.example/fr/"], "alternates": [["fr", "https://a.example/fr/"], ["en", "https://a.example/en/"]]}
SITEMAP = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://a.example/fr/</loc></url></urlset>'


def found(language: str = "fr", page: str = "/{language}/", seo=SEO_RULES, header: str = "", failed: int = 0, **head) -> dict:
    seen = Seen(page, language, "https://a.example/fr/", robots_header=header, failed=failed, head={**HEAD, **head})
    return {one.rule: one.count for one in judge_page(seen, ["fr", "en"], list(seo))}


def test_a_page_in_order_breaks_nothing() -> None:
    assert found() == {}


@pytest.mark.parametrize(("change", "rule"), [
    ({"title": ""}, "seo-title"), ({"description": []}, "seo-description"), ({"description": ["a", "b"]}, "seo-description"),
    ({"canonical": ["/fr/"]}, "seo-canonical"), ({"canonical": []}, "seo-canonical"), ({"robots": ["index, noindex"]}, "seo-robots"),
    ({"robots": ["none"]}, "seo-robots"), ({"header": "noindex"}, "seo-robots"), ({"alternates": []}, "seo-hreflang"),
    ({"failed": 3}, "failed-requests"), ({"language": "ar"}, "language-asked"),
])
def test_each_fault_is_found_by_its_rule(change, rule) -> None:
    assert rule in found(**change)


def test_only_rules_that_are_wanted_are_judged() -> None:
    assert found(seo=["seo-title"], title="", canonical=[]) == {"seo-title": 1}


def test_languages_under_one_address_need_no_alternates() -> None:
    assert found(page="/", alternates=[]) == {}


@pytest.mark.parametrize(("asked", "direction", "broken"), [("ar", "rtl", False), ("ar", "ltr", True), ("tzm", "rtl", True)])
def test_the_direction_is_that_of_the_language(asked, direction, broken) -> None:
    seen = Seen("/", asked, "https://a.example/", head={**HEAD, "language": asked, "direction": direction})
    assert ("direction" in {one.rule for one in judge_page(seen, [], [])}) is broken


def test_violations_of_axe_keep_their_criteria_and_no_other_tag() -> None:
    seen = Seen("/", "", "https://a.example/", head=HEAD, violations=[{
        "rule": "image-alt", "impact": "critical", "help": "alt", "count": 7, "nodes": ["img"],
        "tags": ["cat.text-alternatives", "wcag2a", "wcag111", "RGAAv4", "RGAA-1.1.1"]}])
    (one,) = judge_page(seen, [], [])
    assert one.tags == ("wcag111", "RGAA-1.1.1") and one.count == 7


def test_criteria_are_counted_once_however_many_tests_and_rules_look_at_them() -> None:
    assert covered([["RGAA-1.1.1", "RGAA-1.1.2", "RGAAv4"], ["RGAA-1.1.1", "RGAA-10.8.1"], ["wcag111"]]) == 2


@pytest.mark.parametrize(("asked", "declared", "same"), [
    ("fr", "fr-CA", True), ("tzm", "zgh", True), ("tzm", "ber-Tfng", True), ("zgh", "tzm", True), ("fr", "", False), ("en", "fr", False)])
def test_a_region_or_another_code_is_the_same_language(asked, declared, same) -> None:
    assert same_language(asked, declared) is same


@pytest.mark.parametrize(("text", "closed"), [
    ("User-agent: *\nDisallow: /", True), ("user-agent: a\nuser-agent: *\nDisallow: /*  # all", True),
    ("User-agent: bad\nDisallow: /", False), ("User-agent: *\nDisallow: /x", False), ("User-agent: *\nDisallow:", False), ("", False),
    ("User-agent: *\nAllow: /\nUser-agent: bad\nDisallow: /", False)])
def test_robots_txt_that_shuts_every_robot_out(text, closed) -> None:
    assert shuts_out(text) is closed


def test_a_sitemap_is_read_by_path_and_one_that_could_grow_is_refused() -> None:
    assert locations(SITEMAP) == {"/fr/"}
    assert locations("<!DOCTYPE x [<!ENTITY a 'b'>]>" + SITEMAP) is None and locations("<html/>") is None and locations("<url") is None


def test_a_site_says_what_its_sitemap_lacks() -> None:
    site = Site("https://a.example", None, SITEMAP)
    urls = ["https://new.example/fr/", "https://new.example/en/"]
    assert {one.rule: one.count for one in judge_site(site, urls, list(SEO_RULES))} == {"seo-robots-txt": 1, "seo-sitemap": 1}
    without = judge_site(Site("https://a.example", "User-agent: *\nDisallow: /", None), urls, list(SEO_RULES))
    assert {one.rule: one.count for one in without} == {"seo-robots": 1, "seo-sitemap": 2}
