# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collations: which ones a restore of a database makes or names, and which of them a server cannot give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import literal, rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import plain

# A dump makes the database's own anew; of the system's it says the name where something depends on one. Those that are everywhere
# (default, C, POSIX, ucs_basic …) are pinned, and nothing is noted to depend on them.
NEEDED = """
SELECT l.oid::pg_catalog.regcollation::text AS name, l.collname, n.nspname = 'pg_catalog' AS system, l.collprovider::text AS provider,
       l.collcollate AS collate, l.collctype AS ctype
FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
WHERE CASE WHEN n.nspname = 'pg_catalog' THEN EXISTS (SELECT FROM pg_catalog.pg_depend d
             WHERE d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass AND d.refobjid = l.oid AND d.objid >= 16384)
           ELSE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
             WHERE d.classid = 'pg_catalog.pg_collation'::pg_catalog.regclass AND d.objid = l.oid AND d.deptype = 'e') END
ORDER BY 1"""
# What was imported into a database later is not in template0, of which new databases are made.
NAMED = """
SELECT collname AS name, pg_catalog.pg_encoding_to_char(collencoding) AS encoding FROM pg_catalog.pg_collation
WHERE collnamespace = 'pg_catalog'::pg_catalog.regnamespace AND oid < 16384"""


def read_needed(connection: Any) -> list[dict[str, Any]]:
    """The collations that a restore of the database of ``connection`` makes, or of those of the ``system`` names."""
    return rows(connection, NEEDED) if connection.server_version >= 130000 else []


def read_named(connection: Any) -> list[list[str]]:
    """``[name, encoding]`` of the system's collations in a new database of the server; encoding '' serves every one."""
    return [[row["name"], row["encoding"]] for row in rows(connection, NAMED)]


def refused_locales(connection: Any, needs: Iterable[Mapping[str, Any]], known: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """``[collate, ctype]`` of collations of libc in ``needs`` that the server of ``connection`` cannot make.

    ``known`` are collations of that server; what is not among them is tried, in a transaction that is rolled back.
    """
    listed = {plain(value) for one in known for value in (one["collate"], one["ctype"])} | {"c", "posix"}
    wanted = sorted({(one["collate"], one["ctype"]) for content in needs for one in content.get("collations", ())
                     if one["provider"] == "c" and not one["system"]})
    return [list(pair) for pair in wanted if not {plain(value) for value in pair} <= listed and not _can_make(connection, *pair)]


def _can_make(connection: Any, collate: str, ctype: str) -> bool:
    psycopg2 = import_psycopg2()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(f"CREATE COLLATION pg_temp.dihya_probe (provider = libc, lc_collate = {literal(collate)}, "
                           f"lc_ctype = {literal(ctype)})")
        except psycopg2.Error:
            return False
        finally:
            cursor.execute("ROLLBACK")
    return True


def lost(content: Mapping[str, Any], encoding: str, server: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """What of the collations in ``content`` a ``server`` cannot give to a database of ``encoding``.

    Locales that it does not know, collations of the system that it has not, and own ones that need ICU. ``server`` has
    ``named`` (:func:`read_named`), ``refused_locales`` and ``icu``.
    """
    needed, refused = content.get("collations", ()), [tuple(pair) for pair in server.get("refused_locales", ())]
    named = {name for name, of in server["named"] if of in ("", encoding)}
    own = [one for one in needed if not one["system"]]
    locales = {value for one in own if one["provider"] == "c" and (one["collate"], one["ctype"]) in refused
               for value in (one["collate"], one["ctype"])}
    # Without ICU none of its collations is there, which is said of the columns.
    system = [one["name"] for one in needed if one["system"] and one["collname"] not in named and (one["provider"] != "i" or server["icu"])]
    return sorted(locales), system, [one["name"] for one in own if one["provider"] == "i" and not server["icu"]]
