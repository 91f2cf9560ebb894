# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Behaviour of the API, read-only, on whatever database it is given."""

from __future__ import annotations

import uuid

import pytest
from dihya_demo.release import VERSION


def test_health_names_release_and_database(client):
    answer = client.get("/api/health")
    assert answer.status_code == 200
    assert answer.json["version"] == VERSION
    assert answer.json["database_major"] >= 15


@pytest.mark.parametrize(("language", "word"), [("fr", "montagne"), ("ar", "الجبل"), ("zgh", "ⴰⴷⵔⴰⵔ")])
def test_search_finds_titles_in_every_script(client, language, word):
    answer = client.get("/api/books", query_string={"q": word, "limit": 5}).json
    assert answer["total"] > 0
    assert {book["language"] for book in answer["books"]} == {language}
    assert all(word in book["title"].lower() for book in answer["books"])


def test_search_for_nothing_known_is_empty(client):
    assert client.get("/api/books?q=zzzzzz").json == {"total": 0, "books": []}


def test_statistics_add_up(client):
    stats = client.get("/api/stats").json
    assert stats["books"] == client.get("/api/books").json["total"]
    assert set(stats["languages"]) == {"fr", "ar", "zgh"}


def test_loan_without_idempotency_key_is_refused(client):
    assert client.post("/api/loans", json={"book_id": 1000, "member_id": 1}).status_code == 400


def test_a_database_that_cannot_write_is_a_503_with_retry_after(client):
    answer = client.post("/api/loans", json={"book_id": 1000, "member_id": 1}, headers={"Idempotency-Key": str(uuid.uuid4())})
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
