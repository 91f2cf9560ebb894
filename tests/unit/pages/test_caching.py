# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What browsers may keep: which headers are right, which files count, and when a wrong header is refused."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._pages import caching

WEEK = 604800


@pytest.mark.parametrize("header, right", [
    ("no-cache", True), ("No-Store", True), ("private, max-age=0, must-revalidate", True), ('no-cache="Set-Cookie", max-age=9', True),
    (None, False), ("", False), ("max-age=60", False), ("public", False), ("max-age=0, s-maxage=600", False),
    ("max-age=0, stale-while-revalidate=60", False), ("x-no-cache", False), ("immutable", False),
])
def test_a_page_is_right_when_it_is_not_shown_again_without_asking(header, right):
    assert caching.page_is_right(header) is right


@pytest.mark.parametrize("header, right", [
    ("public, max-age=31536000, immutable", True), ("max-age=604800", True), ('max-age="604800"', True), ("immutable", True),
    ("max-age=604799", False), (None, False), ("no-cache", False), ("no-store, max-age=31536000", False), ("s-maxage=31536000", False),
    ("max-age=soon", False),
])
def test_a_file_with_a_digest_is_right_when_it_is_kept_long(header, right):
    assert caching.asset_is_right(header, WEEK) is right


@pytest.mark.parametrize("name, digest", [
    ("assets/index-DiwrgTda.js", True), ("main.3f2a9c1b.js", True), ("chunk-ABCDEFGH.js", True), ("index-B_x-3aQf.css", True),
    ("app.4f2a91c0.min.js", True), ("main.js", False), ("jquery-3.7.1.min.js", False), ("my-long-component.js", False),
    ("apple-touch-icon.png", False), ("index-Component.js", False), ("DiwrgTda", False),
])
def test_digests_are_told_from_words(name, digest):
    assert caching.has_digest(f"/{name}") is digest


def test_only_files_with_a_digest_of_the_pages_own_server_count():
    page = """<base href="/shop/"><script type=module src="./assets/index-DiwrgTda.js"></script><script src="/plain.js"></script>
        <link rel=stylesheet href="/shop/assets/index-B1x93aQf.css"><link rel=modulepreload href="assets/index-DiwrgTda.js">
        <script src="https://cdn.example/lib-DiwrgTda.js"></script><script>let a = "<script src=x-DiwrgTda.js>"</script>"""
    assert caching.assets_of(page, "https://new.example/shop/de/") == [
        "https://new.example/shop/assets/index-DiwrgTda.js", "https://new.example/shop/assets/index-B1x93aQf.css"]


def site(page: bool, *assets: bool, status: int = 200, html: bool = False) -> dict:
    return {"page": {"url": "https://new/", "header": None, "right": page},
            "assets": [{"url": f"https://new/a{number}", "status": status, "html": html, "header": "no-cache", "right": right}
                       for number, right in enumerate(assets)]}


@pytest.mark.parametrize("before, required, refused", [
    (None, False, 0), (site(False, False), False, 0), (site(True), False, 1), (site(True, True), False, 2),
    (site(False, True, False), False, 0), (None, True, 2),
])
def test_only_what_was_right_before_or_is_required_is_refused_and_the_rest_is_told(before, required, refused):
    found = caching.judge(site(False, True, False), before, required)
    assert [len(texts) for texts in found] == [refused, 2 - refused]
    assert all("let the server send Cache-Control: " in text for texts in found for text in texts)


def test_right_headers_say_nothing_and_a_missing_file_is_refused_whatever_the_old_site_sent():
    assert caching.judge(site(True, True), site(False, False), True) == ([], [])
    assert caching.judge(site(True, False, status=404), None, False) == (["https://new/a0: it answered 404, and the page loads it"], [])
    answered = caching.judge(site(True, True, html=True), None, False)
    assert answered == (["https://new/a0: it answered with a page, and the page loads it"], [])
