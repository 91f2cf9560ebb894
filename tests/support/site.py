# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases of the Flask application of the tests, which say their name."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3

SITE = pathlib.Path(__file__).parents[1] / "integration" / "app" / "site" / "api"
SLOW = """

@app.get("/slow")
def slow():
    import time
    time.sleep(1)
    return RELEASE
"""


def write_release(tree: pathlib.Path, name: str) -> None:
    """Make of ``tree``, a copy of ``SITE``, the release ``name``, with an address that takes a second to answer."""
    (tree / "app.py").write_text((SITE / "app.py").read_text().replace('"one"', f'"{name}"') + SLOW)
    own = (SITE / "tests" / "test_readonly.py").read_text().replace('("one", "two")', f'("{name}",)')
    (tree / "tests" / "test_readonly.py").write_text(own)


def empty_database(path: pathlib.Path) -> None:
    """Make the application's database, for a test whose matter is no schema: a move of it takes some six seconds."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY)")
