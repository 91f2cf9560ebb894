# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The smallest Flask application with a schema history: a counter in SQLite."""

from __future__ import annotations

import os

from flask import Flask, jsonify
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
database = SQLAlchemy(app)
Migrate(app, database)
RELEASE = "one"


class Visit(database.Model):
    """One row a visit."""

    id = database.Column(database.Integer, primary_key=True)


@app.get("/health")
def health():
    """200 while the schema is there."""
    return jsonify(release=RELEASE, visits=database.session.query(Visit).count())
