# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the contents of a database need of the server they lie on, and what a server has to give: read, never judged."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.collations import read_named, read_needed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows

EXTENSIONS = "SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1"
AVAILABLE = "SELECT name, pg_catalog.array_agg(version) AS versions, pg_catalog.bool_or({open}) AS open" \
            " FROM pg_catalog.pg_available_extension_versions GROUP BY 1"
COLLATIONS = """
SELECT collprovider::text AS provider, collcollate AS collate, collctype AS ctype FROM pg_catalog.pg_collation
UNION SELECT {provider}, datcollate, datctype FROM pg_catalog.pg_database"""
RULES = """
SELECT DISTINCT auth_method AS method, (SELECT pg_catalog.substr(o, 5) FROM pg_catalog.unnest(options) o WHERE o ~ '^map=') AS map
FROM pg_catalog.pg_hba_file_rules WHERE type <> 'local' AND error IS NULL"""
# Types whose values depend on the build or on the cluster they live in, however deep they lie in the type of a column.
TYPES = """
WITH RECURSIVE columns AS (
  SELECT a.attrelid, a.attnum, a.atttypid AS type FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm') AND a.attnum > 0 AND NOT a.attisdropped
), held(whole, part) AS (
  SELECT type, type FROM columns
  UNION
  SELECT h.whole, n.part FROM held h JOIN pg_catalog.pg_type t ON t.oid = h.part CROSS JOIN LATERAL (
    SELECT t.typelem WHERE t.typelem <> 0
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
      WHERE t.oid IN (r.rngtypid, (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid)) n(part)
)
SELECT t.typname AS type, pg_catalog.count(*) AS columns
FROM columns c JOIN held h ON h.whole = c.type JOIN pg_catalog.pg_type t ON t.oid = h.part
WHERE t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND (t.typname ~ '^reg'
  OR t.typname IN ('xml', 'money', 'oid', 'xid', 'xid8', 'cid', 'tid', 'pg_lsn', 'pg_snapshot', 'txid_snapshot'))
GROUP BY 1 ORDER BY 1"""
ICU_COLUMNS = """
SELECT pg_catalog.count(*) AS columns FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation WHERE c.oid >= 16384 AND l.collprovider = 'i'"""


def read_needs(connection: Any) -> dict[str, Any]:
    """``extensions``, ``types`` (columns by type), ``icu_columns`` (their number) and ``collations`` of the database of ``connection``."""
    return {"extensions": rows(connection, EXTENSIONS), "types": {row["type"]: row["columns"] for row in rows(connection, TYPES)},
            "icu_columns": rows(connection, ICU_COLUMNS)[0]["columns"], "collations": read_needed(connection)}


def read_offer(connection: Any, endpoint: Endpoint, server: dict[str, Any]) -> dict[str, Any]:
    """What the server of ``connection`` has; ``server`` is of :func:`read_server`.

    ``available`` extensions (versions by name), those that are ``superuser_only``, ``collations``, those of the system that a new
    database has (``named``), ``icu``, ``xml``, ``local_data`` (free space and device of its data, None when they are on another
    machine), ``hba`` and ``maps`` (of its rules for who may log in).
    """
    provider = "datlocprovider::text" if connection.server_version >= 150000 else "'c'"
    free = "trusted OR NOT superuser" if connection.server_version >= 130000 else "NOT superuser"
    available = rows(connection, AVAILABLE.format(open=free))
    return {
        "available": {row["name"]: row["versions"] for row in available},
        "superuser_only": [row["name"] for row in available if not row["open"]],
        "collations": rows(connection, COLLATIONS.format(provider=provider)), "named": read_named(connection),
        # Builds without ICU know a collation of that provider too, but none of those that initdb takes from the library.
        "icu": bool(rows(connection, "SELECT 1 AS one FROM pg_catalog.pg_collation WHERE collname = 'und-x-icu'")),
        "xml": _can(connection, "SELECT '<a/>'::pg_catalog.xml"), "local_data": _local_data(endpoint, server),
        **_rules(connection)}


def _rules(connection: Any) -> dict[str, list[str] | None]:
    """Authentication methods (``hba``) and ``maps`` of user names in the server's remote rules, None where the login may not read them."""
    psycopg2 = import_psycopg2()
    try:
        found = rows(connection, RULES)
    except psycopg2.Error:
        return {"hba": None, "maps": None}
    return {"hba": sorted({row["method"] for row in found}), "maps": sorted({row["map"] for row in found} - {None})}


def _can(connection: Any, sql: str) -> bool:
    psycopg2 = import_psycopg2()
    try:
        rows(connection, sql)
    except psycopg2.Error:
        return False
    return True


def _local_data(endpoint: Endpoint, server: dict[str, Any]) -> dict[str, Any] | None:
    """Space of the server's data directory when it is on this machine, else None."""
    directory = server["settings"].get("data_directory")
    if not directory or endpoint.host not in ("127.0.0.1", "::1", "localhost") or not os.path.exists(os.path.join(directory, "PG_VERSION")):
        return None
    space = os.statvfs(directory)
    return {"free": space.f_bavail * space.f_frsize, "device": os.stat(directory).st_dev}
