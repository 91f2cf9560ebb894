# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API: health, books, statistics, and the one write, a loan."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, IntegrityError

from .models import Book, Loan, db
from .release import VERSION

api = Blueprint("api", __name__, url_prefix="/api")
UNAVAILABLE_FOR = "5"
FOREIGN_KEY_VIOLATION = "23503"


def read(work):
    """Run the read ``work``; once more when its database connection was lost under it."""
    try:
        return work()
    except DBAPIError as error:
        db.session.rollback()
        if not error.connection_invalidated:
            raise
        return work()


@api.errorhandler(DBAPIError)
def database_error(_error: DBAPIError) -> tuple[Response, int, dict[str, str]]:
    """A database that cannot serve now is a 503 that says when to come again, without the server's words."""
    db.session.rollback()
    return jsonify(error="the database cannot do this now"), 503, {"Retry-After": UNAVAILABLE_FOR}


@api.get("/health")
def health() -> dict[str, Any]:
    """Release, major version of the database and schema revision."""
    row = read(lambda: db.session.execute(text(
        "SELECT current_setting('server_version_num')::int / 10000 AS major, version_num AS revision FROM public.alembic_version")).one())
    return {"status": "ok", "version": VERSION, "database_major": row.major, "schema": row.revision}


@api.get("/books")
def books() -> dict[str, Any]:
    """Books whose title holds all words of ``q``, the first ones (``limit``, at most 100) and how many there are."""
    words = request.args.get("q", "").strip()
    limit = min(max(request.args.get("limit", 20, type=int), 1), 100)
    found = select(Book).order_by(Book.id).limit(limit)
    total = select(func.count()).select_from(Book)
    if words:
        match = Book.search.bool_op("@@")(func.plainto_tsquery(text("'simple'"), words))
        found, total = found.where(match), total.where(match)
    return read(lambda: {"total": db.session.scalar(total), "books": [book.as_json() for book in db.session.scalars(found)]})


@api.get("/stats")
def stats() -> dict[str, Any]:
    """How many books, authors and loans there are, and books per language."""
    def count() -> dict[str, Any]:
        languages = dict(db.session.execute(text("SELECT language, books FROM catalogue.language_count")).tuples().all())
        row = db.session.execute(text(
            "SELECT (SELECT count(*) FROM catalogue.author) AS authors, (SELECT count(*) FROM lending.loan) AS loans")).one()
        return {"books": sum(languages.values()), "authors": row.authors, "loans": row.loans, "languages": languages}
    return read(count)


@api.post("/loans")
def lend() -> tuple[Response, int]:
    """Lend a book. The header Idempotency-Key (a UUID) is required: the same key again answers with the same loan."""
    body = request.get_json(silent=True) or {}
    try:
        key = str(uuid.UUID(request.headers.get("Idempotency-Key", "")))
        values = {"book_id": int(body["book_id"]), "member_id": int(body["member_id"]), "idempotency_key": key}
    except (KeyError, TypeError, ValueError):
        return jsonify(error="Idempotency-Key (a UUID), book_id and member_id (numbers) are required"), 400
    try:
        number = db.session.scalar(insert(Loan).values(**values).on_conflict_do_nothing(
            index_elements=["idempotency_key"]).returning(Loan.number))
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        if error.orig.pgcode == FOREIGN_KEY_VIOLATION:
            return jsonify(error="no such book or member"), 404
        raise
    if number is not None:
        return jsonify(loan=number, key=key), 201
    return jsonify(loan=db.session.scalar(select(Loan.number).filter_by(idempotency_key=key)), key=key), 200
