# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have the target print the source's definitions, because each major version prints the same tree in its own words.

Everything here runs in transactions of the target that are rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.catalog import QUERIES
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import import_psycopg2

VIEW = "pg_temp.dihya_normal_form"
EXPRESSIONS = {("column", "expression"), ("policy", "using"), ("policy", "check")}
REPLACED = {"routine": ("", ""), "rule": ("CREATE RULE", "CREATE OR REPLACE RULE")}


class Normalizer:
    """Prints definitions of the source as the target would; ``connection`` leads to the target and is pinned."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._error = import_psycopg2().Error

    def same(self, kind: str, identity: str, name: str, source: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
        """Whether the texts of property ``name`` mean the same although they differ."""
        one, other = source.get(name), target.get(name)
        if not isinstance(one, str) or not isinstance(other, str):
            return False
        if (kind, name) in EXPRESSIONS:
            printed = self._expression(source["of"], one)
            return printed is not None and printed == self._expression(source["of"], other)
        if (kind, name) == ("collation", "locale") or (kind, name, source.get("provider")) == ("database", "locale", "i"):
            return self._locale(one) == other
        if name != "definition":
            return False
        if kind == "view":
            return self._view(one) == other
        if kind == "constraint" and source.get("kind") == "c" and one.startswith("CHECK "):
            printed = self._expression(source["of"], one[6:].removesuffix(" NOT VALID"))
            return printed is not None and printed == self._expression(source["of"], other[6:].removesuffix(" NOT VALID"))
        if kind in REPLACED:
            return self._replaced(kind, identity, one) == other
        return False

    def _view(self, definition: str) -> str | None:
        return self._printed(f"CREATE TEMPORARY VIEW dihya_normal_form AS {definition}", f"SELECT pg_get_viewdef('{VIEW}'::regclass)")

    def _locale(self, locale: str) -> str | None:
        """ICU locales are kept as language tags from 16 on."""
        return self._printed("CREATE COLLATION pg_temp.dihya_normal_form (provider = icu, locale = '" + locale.replace("'", "''") + "')",
                             "SELECT to_jsonb(o) ->> 'colllocale' FROM pg_collation o WHERE o.collname = 'dihya_normal_form'")

    def _expression(self, relation: str, expression: str) -> str | None:
        return self._printed(f"CREATE TEMPORARY VIEW dihya_normal_form AS SELECT ({expression}) AS c FROM {relation}",
                             f"SELECT pg_get_viewdef('{VIEW}'::regclass)")

    def _replaced(self, kind: str, identity: str, definition: str) -> str | None:
        old, new = REPLACED[kind]
        return self._printed(definition.replace(old, new, 1) if old else definition,
                             f"SELECT j ->> 'definition' FROM ({QUERIES[kind]}) q(i, j) WHERE i = %s", (identity,))

    def _printed(self, statement: str, question: str, parameters: Any = None) -> str | None:
        """The answer to ``question`` after ``statement``, both rolled back; None when the target refuses the statement."""
        with self._connection.cursor() as cursor:
            cursor.execute("BEGIN READ WRITE")  # whatever default the database came with
            try:
                cursor.execute("SET LOCAL check_function_bodies = off")
                cursor.execute("SAVEPOINT quiet")
                try:  # event triggers of the target stay quiet where we may say so
                    cursor.execute("SET LOCAL session_replication_role = replica")
                except self._error:
                    cursor.execute("ROLLBACK TO SAVEPOINT quiet")
                cursor.execute(statement)
                found = rows(self._connection, question, parameters)
                return found[0][0] if found else None
            except self._error:
                return None
            finally:
                cursor.execute("ROLLBACK")
