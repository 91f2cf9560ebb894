# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The decade of a book: a column, filled for the books there are, and its index. Touches catalogue.book only."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE catalogue.book ADD COLUMN period text;
        UPDATE catalogue.book SET period = 'années ' || published / 10 * 10;
        ALTER TABLE catalogue.book ALTER COLUMN period SET NOT NULL;
        CREATE INDEX book_period ON catalogue.book (period);
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE catalogue.book DROP COLUMN period")
