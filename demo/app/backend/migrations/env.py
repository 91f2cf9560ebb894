# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Alembic's environment: each run is one transaction of the role that owns the schema."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool

engine = create_engine(current_app.config["MIGRATION_DATABASE_URL"], poolclass=pool.NullPool,
                       connect_args={"application_name": "dihya-demo-schema"})
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=current_app.extensions["migrate"].db.metadata, include_schemas=True)
    with context.begin_transaction():
        context.run_migrations()
