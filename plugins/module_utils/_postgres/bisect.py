# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rows of a table differ: ranges of its primary key are digested on both sides, and only the differing ones split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import (
    Column,
    RowDigest,
    column_hash,
    quote,
    row_hash,
    table_sql,
)

FANOUT = 8
FETCHED = 1000  # rows fetched at most to name keys
INTEGERS = {"smallint", "integer", "bigint"}

RELATION = """
SELECT c.oid::bigint, CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE quote_ident(n.nspname) || '.' || quote_ident(c.relname) = %s
"""
KEY = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attcollation <> 0
FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, place) JOIN pg_attribute a ON a.attnum = k.attnum
WHERE i.indisprimary AND i.indrelid = %s AND a.attrelid = i.indrelid AND k.place <= i.indnkeyatts ORDER BY k.place
"""


@dataclass
class Found:
    """Keys (tuples of texts) that differ, in the order of the key; ``complete`` False when there are more."""

    keys: list[tuple[str, ...]] = field(default_factory=list)
    complete: bool = True
    integers: bool = False

    def describe(self) -> str:
        """The range for a message, where keys are integers; other keys may be names or addresses of people."""
        if not self.keys:
            return "without a primary key to name rows by"
        count = f"{'' if self.complete else 'at least '}{len(self.keys)} {'row' if len(self.keys) == 1 else 'rows'}"
        if not self.integers:
            return count
        first, last = (", ".join(self.keys[index]) for index in (0, -1))
        return f"{count}, key {first}" if first == last else f"{count}, keys {first} to {last}"


class Side:
    """The table of one server."""

    def __init__(self, connection: Any, table: str, hexadecimal: bool) -> None:
        self.connection = connection
        oid, self.relation = rows(connection, RELATION, (table,))[0]
        self.columns: list[Column] = RowDigest(connection, hexadecimal).columns([oid])[oid]
        self.key = rows(connection, KEY, (oid,))
        self.hexadecimal = hexadecimal

    def _expressions(self) -> str:
        return ", ".join(quote(name) + (' COLLATE "C"' if collated else "") for name, _type, collated in self.key)

    def where(self, low: Any, high: Any) -> str:
        """The condition of ``low < key <= high`` (None: open)."""
        clauses = []
        for sign, bound in ((">", low), ("<=", high)):
            if bound is not None:
                with self.connection.cursor() as cursor:
                    values = [cursor.mogrify("%s", (value,)).decode() for value in bound]
                typed = ", ".join(f"{value}::{kind}" for value, (_name, kind, _collated) in zip(values, self.key))
                clauses.append(f"({self._expressions()}) {sign} ({typed})")
        return "WHERE " + " AND ".join(clauses) if clauses else ""

    def digest(self, low: Any, high: Any) -> tuple:
        """Rows and digest of a range."""
        return rows(self.connection, table_sql(self.relation, self.columns, self.where(low, high), self.hexadecimal))[0][:2]

    def bounds(self, low: Any, high: Any, count: int) -> list[tuple[str, ...]]:
        """Keys that split a range of ``count`` rows into about equal parts."""
        found = []
        for part in range(1, FANOUT):
            sql = (f"SELECT {self._names()} FROM {self.relation} {self.where(low, high)} ORDER BY {self._expressions()}"
                   f" OFFSET {count * part // FANOUT} LIMIT 1")
            found += rows(self.connection, sql)
        return sorted(set(found), key=found.index)

    def hashes(self, low: Any, high: Any) -> dict[tuple[str, ...], Any]:
        """The digest of each row of a range by key."""
        ordered = sorted(self.columns, key=lambda column: column.name.encode())
        parts = [column_hash(column, place, self.hexadecimal) for place, column in enumerate(ordered, 1) if not column.generated]
        sql = (f"SELECT {row_hash(parts)}, {self._names()} FROM {self.relation} {self.where(low, high)}"
               f" ORDER BY {self._expressions()}")
        return {row[1:]: row[0] for row in rows(self.connection, sql)}

    def _names(self) -> str:
        # Named apart from the columns: ORDER BY prefers the name of an output column, and texts have another order.
        return ", ".join(f'{quote(name)}::text AS "{place}"' for place, (name, _type, _collated) in enumerate(self.key))


def differing_keys(source: Any, target: Any, table: str, hexadecimal: bool = False, limit: int = FETCHED) -> Found:
    """The keys whose rows differ, at most ``limit``, over two pinned connections; empty when there is no primary key."""
    sides = Side(source, table, hexadecimal), Side(target, table, hexadecimal)
    if not sides[0].key or sides[0].key != sides[1].key:
        return Found(complete=False)
    found = Found(integers=all(kind in INTEGERS for _name, kind, _collated in sides[0].key))
    ranges: list[tuple[Any, Any]] = [(None, None)]
    while ranges:
        low, high = ranges.pop(0)
        one, other = (side.digest(low, high) for side in sides)
        if one == other:
            continue
        if len(found.keys) >= limit:
            found.complete = False
            break
        larger = 0 if one[0] >= other[0] else 1
        count = (one, other)[larger][0]
        bounds = [bound for bound in sides[larger].bounds(low, high, count) if bound != high] if count > FETCHED else []
        if bounds:
            edges = [low, *bounds, high]
            ranges[:0] = list(zip(edges, edges[1:]))
            continue
        old, new = (side.hashes(low, high) for side in sides)
        found.keys += [key for key in {**old, **new} if old.get(key) != new.get(key)]
    found.complete = found.complete and len(found.keys) <= limit
    del found.keys[limit:]
    return found
