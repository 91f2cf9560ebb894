# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real browser opens the public address after the migration and finds the migrated data, served by the new site."""

from __future__ import annotations

import contextlib
import re

import psycopg2
import pytest

COUNTS = {"books": "catalogue.book", "authors": "catalogue.author", "loans": "lending.loan"}


def counts_of(moved, site):
    """What the database of ``site`` holds."""
    server = psycopg2.connect(host="127.0.0.1", port=moved[site]["postgresql"], dbname="dihya_demo", user="postgres",
                              password=moved["passwords"][f"postgres_{site}"])
    with contextlib.closing(server), server.cursor() as cursor:
        counts = {}
        for name, table in COUNTS.items():
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[name] = cursor.fetchall()[0][0]
    assert min(counts.values()) > 1000
    return counts


def test_no_read_failed_and_every_write_that_was_acknowledged_is_there_once(moved):
    figures = dict(re.findall(r"^(?:demo: )?(.+?)\.{3,} (.+)$", moved["said"], re.M))
    assert (figures["reads failed"], figures["acknowledged rows lost"], figures["rows twice"]) == ("0", "0", "0")
    assert int(figures["reads"]) > 100 and int(figures["writes refused with 503 and Retry-After"]) > 0
    assert [word for word in ("BROKEN", "[WARNING]") if word in moved["said"]] == []


def test_its_last_words_say_where_the_report_is_and_who_serves(moved):
    report = moved["directory"] / "reports" / "demo" / "report"
    assert f"demo: report: {report}.md, .html, .json\ndemo: the new site serves at {moved['public_url']} " in moved["said"]
    assert all(report.with_suffix(suffix).stat().st_size for suffix in (".md", ".html", ".json"))


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
    assert counts == counts_of(moved, "new")
    old = counts_of(moved, "old")  # to which nobody wrote since the freeze; users went on lending
    assert (counts["books"], counts["authors"]) == (old["books"], old["authors"]) and counts["loans"] > old["loans"]
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
