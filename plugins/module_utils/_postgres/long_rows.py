# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows whose text is longer than a server can put together: none of its sessions can read them as ``pg_dump`` must."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows

LONGEST = 0x3FFFFFFF
"""Bytes of the text of one row, at most: MaxAllocSize of PostgreSQL's ``utils/memutils.h``."""
SUSPECT = 2 << 20
"""Bytes that such a row takes beside its table, at least: half of ``LONGEST`` (two digits stand for a byte), compressed by lz4, which
never gains more than 255 to 1."""
CANDIDATES = """
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS relation,
pg_catalog.json_agg(pg_catalog.json_build_object('name', pg_catalog.quote_ident(a.attname), 'type',
CASE WHEN b.typnamespace = 'pg_catalog'::pg_catalog.regnamespace THEN b.typname ELSE '' END)) AS columns
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
WHERE c.oid >= 16384 AND c.relkind = 'r' AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND a.attlen = -1
AND c.reltoastrelid <> 0 AND pg_catalog.pg_relation_size(c.reltoastrelid) >= %s
AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') GROUP BY 1 ORDER BY 1"""
TEXTS = frozenset(("text", "varchar", "bpchar"))


def length_expression(columns: Sequence[Mapping[str, str]], suspect: int = SUSPECT) -> str:
    """SQL for the bytes of a row's long columns as text; ``columns`` have ``name`` (quoted) and ``type``.

    The length of a text or a bytea stands in its head, however long it is. Of other types only what is stored long is turned into
    text, which must not be done to all of a table.
    """
    def length(name: str, kind: str) -> str:
        if kind in TEXTS:
            return f"pg_catalog.octet_length({name})::bigint"
        if kind == "bytea":
            return f"2 * pg_catalog.octet_length({name})::bigint"
        return (f"CASE WHEN pg_catalog.pg_column_size({name}) > {suspect // len(columns)}"
                f" THEN pg_catalog.octet_length({name}::pg_catalog.text) END::bigint")
    return " + ".join(f"coalesce({length(column['name'], column['type'])}, 0)" for column in columns)


def long_rows(connection: Any, longest: int = LONGEST, suspect: int = SUSPECT) -> list[dict[str, Any]]:
    """``{relation, rows, bytes}`` of each table with rows longer than ``longest`` bytes: how many, and the longest.

    ``rows`` and ``bytes`` are None where already asking is too much for the server. Only tables with ``suspect`` bytes of long
    values are read, and of these what stands in the table itself.
    """
    psycopg2 = import_psycopg2()
    found = []
    for table in rows(connection, CANDIDATES, (suspect,)):
        statement = (f"SELECT pg_catalog.count(*) AS rows, pg_catalog.max(l) AS bytes FROM (SELECT "
                     f"{length_expression(table['columns'], suspect)} AS l FROM ONLY {table['relation']}) AS one WHERE l > {longest}")
        try:
            answer = rows(connection, statement)[0]
        except (psycopg2.errors.ProgramLimitExceeded, psycopg2.errors.InternalError_):  # "invalid memory alloc request size"
            answer = {"rows": None, "bytes": None}
        if answer["rows"] != 0:
            found.append({"relation": table["relation"], **answer})
    return found
