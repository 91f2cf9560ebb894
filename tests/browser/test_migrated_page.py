# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real browser opens the public address after the migration and finds the migrated data, served by the new site."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest

COUNTS = {"books": "catalogue.book", "authors": "catalogue.author", "loans": "lending.loan"}


def counts_of_the_old_site(moved):
    """What the frozen old database holds, which is what the new page must show."""
    server = psycopg2.connect(host="127.0.0.1", port=moved["old"]["postgresql"], dbname="dihya_demo", user="postgres",
                              password=moved["passwords"]["postgres_old"])
    with contextlib.closing(server), server.cursor() as cursor:
        counts = {}
        for name, table in COUNTS.items():
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[name] = cursor.fetchall()[0][0]
    assert min(counts.values()) > 1000
    return counts


def test_the_page_shows_the_migrated_data_from_the_new_site(open_page, moved):
    page = open_page(trusting=True)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(f"error {error}"))
    page.on("requestfailed", lambda request: troubles.append(f"request {request.url}"))
    page.on("response", lambda answer: troubles.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    page.goto(moved["public_url"])
    page.get_by_label("Livres", exact=True).get_by_role("listitem").first.wait_for()
    page.get_by_text("PostgreSQL 18").wait_for()
    assert page.locator("footer").inner_text() == "Page 2.0.0, API 2.0.0, PostgreSQL 18"
    counts = {name: int("".join(filter(str.isdigit, page.get_by_test_id(name).inner_text()))) for name in ("books", "authors", "loans")}
    assert counts == counts_of_the_old_site(moved)
    assert [trouble for trouble in troubles if "favicon" not in trouble] == []


@pytest.mark.parametrize(("language", "script"), [("ar", ("\u0600", "\u06ff")), ("zgh", ("\u2d30", "\u2d7f"))])
def test_titles_kept_their_script(open_page, moved, language, script):
    page = open_page(trusting=True)
    page.goto(moved["public_url"])
    title = page.locator(f"main li > span[lang={language}]").first
    title.wait_for()
    letters = [letter for letter in title.inner_text() if letter.isalpha()]
    assert letters and all(script[0] <= letter <= script[1] for letter in letters)


def test_a_search_finds_what_was_typed(open_page, moved):
    page = open_page(trusting=True)
    page.goto(moved["public_url"])
    page.get_by_role("main").get_by_role("status").wait_for()
    title = page.locator("main li > span").first
    title.wait_for()
    wanted = title.inner_text()
    page.get_by_label("Chercher un titre").fill(wanted)
    with page.expect_response(lambda answer: "books?q=" in answer.url and not answer.url.endswith("q=")):
        page.get_by_role("button", name="Chercher").click()
    page.locator("main li > span", has_text=wanted).first.wait_for()


def test_the_address_is_refused_by_who_does_not_know_its_authority(open_page, moved):
    from playwright.sync_api import Error

    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        open_page(trusting=False).goto(moved["public_url"])
