# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Raw SQL files as a schema tool: applied in the order of their names, each once, in one transaction with its record.

The record is a table in the database with name and sha256 of every file, so it travels with the data.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import literal
from ansible_collections.dihya.migration.plugins.module_utils._postgres.schema_tools import split_table

MARK = "dihya.schema_file"  # a setting of the transaction: gone when the file ended the transaction by itself


def read_files(path: str) -> dict[str, str]:
    """sha256 of every ``*.sql`` directly below ``path``, by name in the order in which they are applied."""
    names = sorted((entry.name for entry in os.scandir(path) if entry.name.endswith(".sql") and entry.is_file()), key=order)
    found = {}
    for name in names:
        with open(os.path.join(path, name), "rb") as stream:
            found[name] = hashlib.sha256(stream.read()).hexdigest()
    return found


def order(name: str) -> list[tuple[int, str]]:
    """Sort key of a file: numbers count as numbers, so that 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.findall(r"[0-9]+|[^0-9]+", name)]


def plan(files: Mapping[str, str], recorded: Mapping[str, str], baseline: str | None = None) -> tuple[list[str], list[str]]:
    """Files that are only to be recorded (up to ``baseline``, where nothing is on record), and files that are to be applied.

    Both arguments are sha256 by name. Raises :class:`MigrationError` with everything that does not fit: a file on record that
    is gone or was changed, and a new one that comes before an applied one.
    """
    names = sorted(files, key=order)
    wrong = [f"{name} was applied and is no longer there" for name in sorted(recorded, key=order) if name not in files]
    wrong += [f"{name} was changed after it was applied" for name in names if name in recorded and recorded[name] != files[name]]
    last = max((order(name) for name in recorded), default=None)
    if last is not None:
        early = [name for name in names if name not in recorded and order(name) < last]
        wrong += [f"{name} is new and comes before files that were applied" for name in early]
    if baseline and baseline not in files:
        wrong.append(f"{baseline}, the last file that the source already has, is not there")
    if not files:
        wrong.append("there is no *.sql file")
    if wrong:
        raise MigrationError(f"the SQL files do not fit the database: {'; '.join(wrong)}")
    pending = [name for name in names if name not in recorded]
    only = [name for name in pending if baseline and not recorded and order(name) <= order(baseline)]
    return only, pending[len(only):]


def begin(history: str) -> list[str]:
    """Statements before a file: the record's table, and the mark of the transaction."""
    schema, name = split_table(history)
    return [f"CREATE TABLE IF NOT EXISTS {schema}.{name} (name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())", f"SELECT pg_catalog.set_config({literal(MARK)}, 'set', true)"]


def finish(history: str, name: str, sha256: str) -> list[str]:
    """Statements after a file: it must not have ended the transaction, then it is on record."""
    schema, table = split_table(history)
    return ["RESET ROLE",
            f"DO $$ BEGIN IF pg_catalog.current_setting({literal(MARK)}, true) IS DISTINCT FROM 'set' THEN"
            " RAISE EXCEPTION 'the file ends its own transaction'; END IF; END $$",
            f"INSERT INTO {schema}.{table} (name, sha256) VALUES ({literal(name)}, {literal(sha256)})"]


def psql(program: str, database: str, history: str, path: str, name: str, sha256: str, run: bool) -> list[str]:
    """The command that applies a file, or with ``run`` false only records it."""
    words: list[str] = [program, "-X", "-w", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-o", os.devnull,
                        "--single-transaction", "-d", database]
    for statement in begin(history):
        words += ["-c", statement]
    words += ["-f", os.path.join(path, name)] if run else []
    for statement in finish(history, name, sha256):
        words += ["-c", statement]
    return words


def ordered(names: Sequence[str]) -> list[str]:
    """``names`` in the order in which files are applied."""
    return sorted(names, key=order)
