# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogue: authors, books, and what is shown of them."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE SCHEMA catalogue;
        GRANT USAGE ON SCHEMA catalogue, public TO demo_read;
        ALTER DEFAULT PRIVILEGES IN SCHEMA catalogue, public GRANT SELECT ON TABLES TO demo_read;
        GRANT SELECT ON public.alembic_version TO demo_read;
        CREATE TABLE catalogue.author (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL
        );
        CREATE TABLE catalogue.book (
            id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000) PRIMARY KEY,
            author_id bigint NOT NULL REFERENCES catalogue.author,
            title text NOT NULL CHECK (title <> ''),
            language text NOT NULL CHECK (language IN ('fr', 'ar', 'zgh')),
            published integer NOT NULL,
            search tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, title)) STORED
        );
        CREATE INDEX book_search ON catalogue.book USING gin (search);
        CREATE INDEX book_author ON catalogue.book (author_id);
        COMMENT ON TABLE catalogue.book IS 'Livres et archives — كتب — ⵉⴷⵍⵉⵙⵏ';
        CREATE MATERIALIZED VIEW catalogue.language_count AS
            SELECT language, count(*) AS books FROM catalogue.book GROUP BY language;
        CREATE UNIQUE INDEX language_count_language ON catalogue.language_count (language);
    """)


def downgrade() -> None:
    op.execute("DROP SCHEMA catalogue CASCADE")
