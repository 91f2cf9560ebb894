# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo application: a catalogue of books and archives in French, Arabic and Tifinagh, with loans.

Configured by the environment alone; passwords come from the file that PGPASSFILE names, never from a URL:

DATABASE_URL            the application's own role
MIGRATION_DATABASE_URL  the role that owns the schema; only ``flask db …`` uses it
"""

from __future__ import annotations

import os

from flask import Flask
from flask_migrate import Migrate

from .api import api
from .models import db


def create_app(read_only: bool = False) -> Flask:
    """The application; ``read_only`` makes every database session refuse to write (for tests on a live database)."""
    app = Flask(__name__)
    connect = {"application_name": "dihya-demo", "connect_timeout": 5}
    if read_only:
        connect["options"] = "-c default_transaction_read_only=on"
    app.config.update(
        SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
        SQLALCHEMY_ENGINE_OPTIONS={"connect_args": connect, "pool_pre_ping": True, "pool_size": 5, "pool_recycle": 300},
        MIGRATION_DATABASE_URL=os.environ.get("MIGRATION_DATABASE_URL", os.environ["DATABASE_URL"]),
    )
    app.json.ensure_ascii = False
    db.init_app(app)
    Migrate(app, db)
    app.register_blueprint(api)
    return app
