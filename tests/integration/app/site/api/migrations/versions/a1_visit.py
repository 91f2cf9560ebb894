# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of visits."""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    """Make it."""
    op.create_table("visit", sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))


def downgrade():
    """Remove it."""
    op.drop_table("visit")
