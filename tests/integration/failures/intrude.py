# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Somebody who writes where and when nobody should: `intrude.py FILE` runs the statements that FILE describes.

Each is a transaction of its own; what was refused is kept beside FILE, as SQLSTATE and server message.
"""

from __future__ import annotations

import json
import pathlib
import sys

import psycopg2

if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1])
    order = json.loads(path.read_text(encoding="utf-8"))
    connection = psycopg2.connect(**order["connect"])
    connection.autocommit = True
    refused = []
    with connection.cursor() as cursor:
        for statement in order["statements"]:
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                refused.append([error.pgcode, str(error)])
    path.with_suffix(".refused").write_text(json.dumps(refused), encoding="utf-8")
