# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What release 2.0 adds."""

from __future__ import annotations


def test_every_book_shows_its_decade(client):
    books = client.get("/api/books?limit=100").json["books"]
    assert books
    assert all(book["period"] == f"années {book['published'] // 10 * 10}" for book in books)


def test_schema_is_the_one_of_this_release(client):
    assert client.get("/api/health").json["schema"] == "0004"
