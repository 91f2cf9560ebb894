# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables of the catalogue and of the loans."""

from __future__ import annotations

import datetime

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Computed, DateTime, ForeignKey, Identity, Text, text
from sqlalchemy.dialects.postgresql import TSVECTOR, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .release import BookOfThisRelease

db = SQLAlchemy()


class Author(db.Model):
    """Who wrote."""

    __table_args__ = {"schema": "catalogue"}
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class Book(BookOfThisRelease, db.Model):
    """One book or archive; ``search`` is computed by the database from the title."""

    __table_args__ = {"schema": "catalogue"}
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("catalogue.author.id"))
    title: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(Text)
    published: Mapped[int]
    search: Mapped[str] = mapped_column(TSVECTOR, Computed("to_tsvector('simple'::regconfig, title)", persisted=True), deferred=True)
    author: Mapped[Author] = relationship(lazy="joined", innerjoin=True)

    def as_json(self) -> dict:
        """A book as the API shows it."""
        return {"id": self.id, "title": self.title, "author": self.author.name, "language": self.language,
                "published": self.published, **self.more()}


class Member(db.Model):
    """Who borrows."""

    __table_args__ = {"schema": "lending"}
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    card: Mapped[str] = mapped_column(Text, unique=True)


class Loan(db.Model):
    """One loan; the idempotency key makes a request that is sent twice one loan."""

    __table_args__ = {"schema": "lending"}
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, server_default=text("nextval('lending.loan_number')"))
    book_id: Mapped[int] = mapped_column(ForeignKey("catalogue.book.id"))
    member_id: Mapped[int] = mapped_column(ForeignKey("lending.member.id"))
    idempotency_key: Mapped[str] = mapped_column(UUID(as_uuid=False), unique=True)
    borrowed: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
