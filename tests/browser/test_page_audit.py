# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""page_audit in a real browser on real sites: every deliberate fault is found, what became worse is refused, and nothing else."""

from __future__ import annotations

import json

import pytest

from tests.support.website import edit, write_site

LANGUAGES = ["fr", "en", "ar", "tzm"]
PAGE = "/{language}/"


@pytest.fixture(name="audit")
def fixture_audit(run_module, tools, chromium, authority, serve, tmp_path):
    """Call with a directory, and options, to audit the site in it."""
    def audit(root, /, **options):
        given = {"url": serve(root), "pages": [PAGE], "languages": LANGUAGES, "ca": str(authority[0]), "chromium": chromium,
                 "axe": str(tools / "node_modules" / "axe-core" / "axe.min.js"), "dest": str(tmp_path / "quality" / f"{root.name}.json"),
                 "timeout": 60, **options}
        return run_module("page_audit", **given)
    return audit


def broken(result) -> set:
    """Rules with page and language, the site's own without."""
    return {(one["rule"], one["language"]) for one in result["violations"]}


def test_every_deliberate_fault_is_found(audit, tmp_path):
    bad = write_site(tmp_path / "bad")
    edit(bad, "fr/index.html", ' alt="Bibliothèque"', "")
    edit(bad, "fr/index.html", "#222", "#bbb")
    edit(bad, "fr/index.html", '<link rel="canonical" href="https://library.example/fr/">', "")
    edit(bad, "fr/index.html", "/book.svg", "/missing.svg")
    edit(bad, "en/index.html", '<html lang="en"', "<html")
    edit(bad, "en/index.html", '<meta name="description" content="Welcome to the library.">', '<meta name="robots" content="NOINDEX">')
    edit(bad, "ar/index.html", ' dir="rtl"', "")
    edit(bad, "ar/index.html", "<title>مكتبة</title>", "<title> </title>")
    edit(bad, "tzm/index.html", 'lang="tzm"', 'lang="fr"')
    edit(bad, "tzm/index.html", 'hreflang="en"', 'hreflang="de"')
    edit(bad, "robots.txt", "Disallow: /private", "Disallow: /")
    edit(bad, "sitemap.xml", "https://library.example/en/", "https://library.example/old/")
    found = audit(bad)
    assert not found["failed"], found
    assert broken(found) == {
        ("image-alt", "fr"), ("color-contrast", "fr"), ("seo-canonical", "fr"), ("failed-requests", "fr"),
        ("html-has-lang", "en"), ("language-asked", "en"), ("seo-description", "en"), ("seo-robots", "en"),
        ("direction", "ar"), ("document-title", "ar"), ("seo-title", "ar"),
        ("language-asked", "tzm"), ("seo-hreflang", "tzm"), ("seo-robots", ""), ("seo-sitemap", ""),
    }
    criteria = {one["rule"]: one["criteria"] for one in found["violations"]}
    assert criteria["image-alt"] == "RGAA 1.1; WCAG 1.1.1" and criteria["direction"] == "RGAA 8.10; WCAG 1.3.2"
    # Experimental rules, which look at four more, do not run.
    assert 25 <= found["criteria"]["covered"] < 33 and found["criteria"]["total"] == 106
    assert "a person must look at all of them" in found["journal"]["not_proved"][0]


def test_only_criteria_of_the_rules_that_are_run_count(audit, tmp_path):
    found = audit(write_site(tmp_path / "site"), languages=["fr"], tags=["best-practice"])
    assert not found["failed"] and 1 <= found["criteria"]["covered"] < 10
    assert f"axe-core looks at {found['criteria']['covered']} of the 106" in found["journal"]["not_proved"][0]


def test_a_site_in_order_breaks_nothing_and_moved_untouched_is_no_regression(audit, tmp_path):
    before = audit(write_site(tmp_path / "old"), languages=["fr", "ar"])
    record = tmp_path / "quality" / "old.json"
    assert broken(before) == set() and record.stat().st_mode & 0o777 == 0o600
    after = audit(write_site(tmp_path / "new"), languages=["fr", "ar"], baseline=str(record), budgets={"violations": 0, "growth": 0})
    assert not after["failed"] and after["counts"]["new"] == 0, after
    assert after["pages"] == before["pages"] and all(one["bytes"] > 500 and one["requests"] == 2 for one in after["pages"])
    assert after["journal"]["tests"][0]["verdict"] == "passed"


def test_what_is_new_is_refused_and_what_the_old_site_had_is_reported(audit, tmp_path):
    old, new = write_site(tmp_path / "old"), write_site(tmp_path / "new")
    for site in (old, new):
        edit(site, "fr/index.html", "#222", "#bbb")
    edit(old, "en/index.html", "<title>Library</title>", "")
    audit(old, languages=["fr", "en"])
    edit(new, "en/index.html", ' alt="Library"', "")
    after = audit(new, languages=["fr", "en"], baseline=str(tmp_path / "quality" / "old.json"))
    assert after["failed"] and after["msg"].startswith("/{language}/ in en: image-alt (critical), 0 before and 1 now. To go on: read ")
    assert {(one["rule"], one["language"], one["verdict"]) for one in after["violations"]} == {
        ("image-alt", "en", "new"), ("color-contrast", "fr", "known"), ("document-title", "en", "gone"), ("seo-title", "en", "gone")}
    kept = json.loads((tmp_path / "quality" / "new.json").read_text())
    assert next(one for one in kept["violations"] if one["rule"] == "image-alt")["nodes"] == ["img"]


def test_an_authority_that_is_not_named_is_not_trusted(audit, tmp_path):
    refused = audit(write_site(tmp_path / "old"), ca=None, languages=[], pages=["/"])
    assert refused["failed"] and "ERR_CERT_AUTHORITY_INVALID" in refused["msg"] and "name the authority's PEM file" in refused["msg"]
