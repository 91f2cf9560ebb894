# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Likeness of books (extension vector) and scanned covers (large objects)."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE catalogue.book_likeness (
            book_id bigint PRIMARY KEY REFERENCES catalogue.book,
            embedding public.vector(8) NOT NULL
        );
        CREATE TABLE catalogue.cover (
            book_id bigint PRIMARY KEY REFERENCES catalogue.book,
            image oid NOT NULL
        );
    """)


def downgrade() -> None:
    op.execute("DROP TABLE catalogue.cover; DROP TABLE catalogue.book_likeness")
