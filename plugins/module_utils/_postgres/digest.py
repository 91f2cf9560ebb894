# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Row digest v2: one number per table that is equal on every major version and differs when a value does.

It has 64 bits a row: it detects accidents, not an adversary. How a value enters it depends on its type only (see
:func:`column_hash`), because the hash functions of the types themselves equate different values (``-0`` and ``0``,
``1 mon`` and ``30 days``) and some fold 64 bits to 32. A digest is the sum of the digests of its rows, so parts of a
table may be read in any order, by any number of connections.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    describe_error,
    import_psycopg2,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

ALGORITHM = "dihya-row-digest-2"
LARGE_OBJECTS = "large objects"
PART_PAGES = 16384  # a part of a big table: 128 MiB of pages of 8 KiB
OBJECT_CHUNK = 1 << 18  # bytes of a large object hashed at once
OBJECTS_A_PART = 1000
HEAP = 2  # OID of the table access method whose rows can be read by ranges of ctid


@dataclass(frozen=True)
class Column:
    """A column by name, with ``form`` (``int``, ``text``, ``cast``, ``output`` or ``record``) as :data:`COLUMNS` tells it.

    ``output`` is the name of the type's output function, where that is called.
    """

    name: str
    form: str
    generated: bool = False
    output: str = ""


@dataclass(frozen=True)
class Part:
    """One statement's work: rows of the table ``key`` (quoted ``schema.table``), ``size`` in bytes for ordering."""

    key: str
    sql: str
    size: int


TABLES = """
WITH RECURSIVE hashed(root, oid) AS (
  SELECT p.partrelid, p.partrelid FROM pg_partitioned_table p WHERE p.partstrat = 'h'
  UNION ALL SELECT h.root, i.inhrelid FROM hashed h JOIN pg_inherits i ON i.inhparent = h.oid
), topmost AS (
  SELECT h.oid, h.root FROM hashed h WHERE NOT EXISTS (SELECT FROM hashed o WHERE o.oid = h.root AND o.root <> h.root)
), owned AS (
  SELECT d.objid, e.extconfig, e.extcondition FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
)
SELECT c.oid::bigint, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       coalesce((SELECT quote_ident(rn.nspname) || '.' || quote_ident(r.relname) FROM pg_class r
                 JOIN pg_namespace rn ON rn.oid = r.relnamespace WHERE r.oid = t.root),
                quote_ident(n.nspname) || '.' || quote_ident(c.relname)),
       c.relkind::text, c.relam::bigint, pg_relation_size(c.oid) / current_setting('block_size')::int, pg_table_size(c.oid),
       coalesce(o.extcondition[array_position(o.extconfig, c.oid)], '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN topmost t ON t.oid = c.oid LEFT JOIN owned o ON o.objid = c.oid
WHERE (c.relkind = 'r' OR (c.relkind = 'p' AND t.root = c.oid)) AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
  AND (o.objid IS NULL OR c.oid = ANY (o.extconfig))
"""

# A built-in type is printed by its cast to text when that is the output function: when no row of pg_cast says otherwise. Another one
# (char(n), an enum, inet) by that function itself, where it is built in and so everybody may call it; what is left as a row of one
# value, whose text takes so much longer to make that a table with one char(84) was digested in twice the time.
COLUMNS = """
SELECT a.attrelid::bigint, a.attname::text, CASE
    WHEN a.atttypid IN ('int2'::regtype, 'int4'::regtype) THEN 'int'
    WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) THEN 'text'
    WHEN a.atttypid = 'bool'::regtype THEN 'cast'
    WHEN n.nspname = 'pg_catalog' AND NOT EXISTS (
      SELECT FROM pg_cast x WHERE x.castsource = a.atttypid AND x.casttarget = 'text'::regtype) THEN 'cast'
    WHEN t.typtype NOT IN ('c', 'd') AND f.pronamespace = 'pg_catalog'::regnamespace THEN 'output'
    ELSE 'record' END, a.attgenerated <> '', quote_ident(f.proname)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_proc f ON f.oid = t.typoutput
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated::text <> 'v'
ORDER BY a.attrelid, a.attname COLLATE "C"
"""


def quote(identifier: str) -> str:
    """``identifier`` in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


BYTES_OF = "CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END"


def column_hash(column: Column, ordinal: int, hexadecimal: bool = False) -> str:
    """SQL of the hash of one column; NULL hashes to ``ordinal + 10``.

    ``coalesce`` and never ``IS NULL``, which is true for a composite of NULLs. ``hexadecimal`` hashes the bytes of the
    text in UTF-8, so that databases of different encodings can be compared; where a database has no encoding, its bytes as
    they are.
    """
    name = quote(column.name)
    if column.form == "int":
        return f"coalesce(hashint4extended({name},{ordinal}),{ordinal + 10})"
    text = {"text": name, "cast": f"{name}::text", "output": f"textin({column.output}({name}))",
            "record": f"ROW({name})::text"}[column.form]
    if hexadecimal:
        text = f"encode(convert_to({text},{BYTES_OF}),'hex')"
    return f'coalesce(hashtextextended({text} COLLATE "C",{ordinal}),{ordinal + 10})'


def row_hash(parts: Sequence[str]) -> str:
    """SQL of the digest of a row from the hashes of its columns."""
    return f"hashtextextended(({' # '.join(parts) or '0'})::text COLLATE \"C\",99)"


def table_sql(relation: str, columns: Sequence[Column], where: str = "", hexadecimal: bool = False) -> str:
    """SQL of ``(rows, digest, digest with stored generated columns or NULL)`` of the rows of ``relation``.

    ``relation`` is the text after ``FROM``, ``where`` a whole clause. ``columns`` need no order.
    """
    ordered = sorted(columns, key=lambda column: column.name.encode())
    hashes = [(column, column_hash(column, ordinal, hexadecimal)) for ordinal, column in enumerate(ordered, 1)]
    plain = [text for column, text in hashes if not column.generated]
    generated = [text for column, text in hashes if column.generated]
    source = f"{relation} {where}".strip()
    if not generated:
        return f"SELECT count(*), coalesce(sum({row_hash(plain)}),0)::text, NULL FROM {source}"
    inner = f"SELECT {' # '.join(plain) or '0'} AS p, {' # '.join(generated)} AS g FROM {source} OFFSET 0"
    return (f"SELECT count(*), coalesce(sum({row_hash(['p'])}),0)::text, coalesce(sum({row_hash(['p', 'g'])}),0)::text"
            f" FROM ({inner}) q")


def large_objects_sql(first: int, last: int) -> str:
    """SQL of ``(objects, digest, NULL)`` of the large objects with OIDs from ``first`` to ``last``.

    OID, offset and length are hashed with each chunk: otherwise two objects with swapped contents would pass.
    """
    def chunk(at: str) -> str:
        return (f"LATERAL (SELECT length(d) AS n, hashtextextended((o.oid || ':' || {at} || ':' || length(d) || ':' || encode(d,'hex'))"
                f" COLLATE \"C\",98) AS h FROM (SELECT lo_get(o.oid, {at}, {OBJECT_CHUNK}) AS d OFFSET 0) r OFFSET 0) c")
    return (
        "WITH RECURSIVE o(oid, at, n, h) AS ("
        f"SELECT o.oid, 0::bigint, c.n, c.h FROM pg_largeobject_metadata o, {chunk('0::bigint')}"
        f" WHERE o.oid BETWEEN {first} AND {last} UNION ALL "
        f"SELECT o.oid, o.at + {OBJECT_CHUNK}, c.n, c.h FROM o, {chunk(f'(o.at + {OBJECT_CHUNK})')} WHERE o.n = {OBJECT_CHUNK})"
        " SELECT count(*) FILTER (WHERE at = 0), coalesce(sum(h),0)::text, NULL FROM o"
    )


def ranges(pages: int, part: int = PART_PAGES) -> list[str]:
    """WHERE clauses that split ``pages`` pages into disjoint ranges of ctid; the last one is open, so no row escapes."""
    starts = list(range(0, max(pages, 1), part))
    if len(starts) == 1:
        return [""]
    bounds = [(start, start + part) for start in starts]
    return [f"WHERE ctid >= '({low},0)'" + (f" AND ctid < '({high},0)'" if high < bounds[-1][1] else "") for low, high in bounds]


class RowDigest:
    """Plans the digest of one database over an open connection whose session is pinned."""

    def __init__(self, connection: Any, hexadecimal: bool | None = None) -> None:
        self.connection = connection
        if hexadecimal is None:
            hexadecimal = self._rows("SELECT current_setting('server_encoding')")[0][0] != "UTF8"
        self.hexadecimal = hexadecimal

    def _rows(self, sql: str, parameters: Any = None) -> list[tuple]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def columns(self, oids: Sequence[int]) -> dict[int, list[Column]]:
        """The columns of tables by OID."""
        found: dict[int, list[Column]] = {oid: [] for oid in oids}
        for oid, *facts in self._rows(COLUMNS, (list(oids),)):
            found[oid].append(Column(*facts))
        return found

    def plan(self, tables: Iterable[str] | None = None) -> list[Part]:
        """The parts of all tables (or of the keys in ``tables``), largest first; every table has at least one."""
        wanted = None if tables is None else set(tables)
        rows = [row for row in self._rows(TABLES) if wanted is None or row[2] in wanted]
        columns = self.columns([row[0] for row in rows])
        parts = [part for row in rows for part in self._table(row, columns[row[0]])]
        if wanted is None or LARGE_OBJECTS in wanted:
            parts += self._objects()
        return sorted(parts, key=lambda part: (-part.size, part.key))

    def _table(self, row: tuple, columns: list[Column]) -> Iterator[Part]:
        _oid, name, key, kind, method, pages, size, condition = row
        # Without this an empty hash-partitioned table, whose rows are read leaf by leaf, would be missing.
        split = kind == "r" and method == HEAP and not condition and self.connection.server_version >= 140000
        wheres = ranges(pages) if split else [condition]
        if kind == "p":
            wheres = ["WHERE false"]
        for where in wheres:
            yield Part(key, table_sql(f"ONLY {name}", columns, where, self.hexadecimal), size // len(wheres))

    def _objects(self) -> Iterator[Part]:
        parts = self._rows(
            "SELECT min(oid)::bigint, max(oid)::bigint, count(*) FROM (SELECT oid, (row_number() OVER (ORDER BY oid) - 1) / %s AS part"
            " FROM pg_largeobject_metadata) s GROUP BY part", (OBJECTS_A_PART,))
        for first, last, count in parts or [(1, 0, 0)]:
            yield Part(LARGE_OBJECTS, large_objects_sql(first, last), count * OBJECT_CHUNK)


def digest_database(
    endpoint: Endpoint, database: str, *, jobs: int, snapshot: str | None = None, application_name: str = "dihya",
    progress: Any = None, tables: Iterable[str] | None = None, hexadecimal: bool | None = None,
) -> dict[str, dict[str, Any]]:
    """Digest every table of ``database``, or only the keys in ``tables``.

    ``jobs`` connections share one snapshot: the exported ``snapshot`` when given, else one of our own. ``progress`` is a
    ``Progress``. ``hexadecimal`` compares databases of different encodings (default: when this one is not UTF8).
    Returns by key (``schema.table``, quoted where needed, or ``large objects``) ``{"rows": int, "digest": str}``; with
    ``"generated"``, the digest that includes stored generated columns, where a table has any. Raises
    :class:`MigrationError` naming the table that could not be read.
    """
    with transaction(endpoint, database, snapshot, application_name) as connection:
        parts = RowDigest(connection, hexadecimal).plan(tables)
        if snapshot is None:
            snapshot = _one(connection, "SELECT pg_export_snapshot()")
        if progress is not None:
            progress.begin(f"row digest of {database}", sum(part.size for part in parts), "bytes")
        return _Workers(endpoint, database, snapshot, application_name, progress, parts).run(max(1, min(jobs, len(parts))))


class BothSides:
    """Adds up the progress of two digests that run side by side."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock, self._total = progress, threading.Lock(), 0

    def begin(self, step: str, total: int, unit: str) -> None:
        """A side knows how much it has to read."""
        with self._lock:
            done = int(self._progress.state["done"]) if self._total else 0
            self._total += total
            self._progress.begin(step, self._total, unit)
            self._progress.reach(done)

    def advance(self, amount: int) -> None:
        """A side has read more."""
        with self._lock:
            self._progress.advance(amount)


@contextlib.contextmanager
def transaction(endpoint: Endpoint, database: str | None, snapshot: str | None, application_name: str) -> Iterator[Any]:
    """A pinned connection inside a read-only repeatable-read transaction, on ``snapshot`` when given; closed at the end."""
    connection = connect(endpoint, database, application_name)
    try:
        pin_session(connection)
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot is not None:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
        yield connection
    except import_psycopg2().Error as error:
        raise MigrationError(f"database {database or endpoint.dbname} on {endpoint} could not be read: {describe_error(error)}") from None
    finally:
        connection.close()


def _one(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


class _Workers:
    """One thread and one connection per job, over one queue; the first failure stops all."""

    def __init__(self, endpoint: Endpoint, database: str, snapshot: str | None, application_name: str, progress: Any,
                 parts: Sequence[Part]) -> None:
        self._where = (endpoint, database, snapshot, application_name)
        self._progress = progress
        self._queue: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in parts:
            self._queue.put(part)
        self._sums: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        self._failures: list[BaseException] = []
        self._open: set[Any] = set()

    def run(self, jobs: int) -> dict[str, dict[str, Any]]:
        threads = [threading.Thread(target=self._work, daemon=True) for _worker in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        return {key: _verdict(*self._sums[key]) for key in sorted(self._sums)}

    def _work(self) -> None:
        part: Part | None = None
        try:
            with transaction(*self._where) as connection:
                self._open.add(connection)
                with connection.cursor() as cursor:
                    cursor.execute("SAVEPOINT part")
                while not self._failures:
                    try:
                        part = self._queue.get_nowait()
                    except queue.Empty:
                        break
                    with connection.cursor() as cursor:
                        # It lets go of the locks of the part before, on a table and all its indexes: the lock table does not hold all.
                        cursor.execute(f"ROLLBACK TO SAVEPOINT part; {part.sql}")
                        self._add(part, cursor.fetchone())
                self._open.discard(connection)
        except MigrationError as error:
            self._fail(MigrationError(f"{error.message} (at {part.key})" if part else error.message, **error.facts))
        except Exception as error:  # a thread has nobody above it
            self._fail(error)

    def _add(self, part: Part, row: tuple) -> None:
        rows, digest, generated = row
        with self._lock:
            total = self._sums.setdefault(part.key, [0, 0, None])
            total[0] += rows
            total[1] += int(digest)
            if generated is not None:
                total[2] = (total[2] or 0) + int(generated)
            if self._progress is not None:
                self._progress.advance(part.size)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._failures.append(error)
            others = list(self._open)
        for connection in others:
            with contextlib.suppress(Exception):
                connection.cancel()


def _verdict(rows: int, digest: int, generated: int | None) -> dict[str, Any]:
    verdict: dict[str, Any] = {"rows": rows, "digest": str(digest)}
    return verdict if generated is None else dict(verdict, generated=str(generated))
