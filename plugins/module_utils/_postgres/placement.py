# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tablespaces: what lies in which one on the source, and in which one of the target it is to lie.

They belong to a server's disks, so none travels: ``tablespaces`` names the target's by those of the source, and what has no
counterpart lies in ``pg_default``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import identifier, rows

DEFAULT = "pg_default"
PLACEMENT_SPEC: dict[str, dict[str, Any]] = {"tablespaces": {"type": "dict", "default": {}}}
OWN = "SELECT t.spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()"
# No tablespace stands for the database's own.
RELATIONS = """
SELECT CASE WHEN c.relkind IN ('i', 'I') THEN 'INDEX' WHEN c.relkind = 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS identity, t.spcname AS tablespace
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_tablespace t ON t.oid = c.reltablespace
WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I') AND c.oid >= 16384 AND n.nspname !~ '^pg_' ORDER BY 1, 2
"""


def read_own(connection: Any) -> str:
    """The tablespace of the database of ``connection``."""
    return str(rows(connection, OWN)[0]["spcname"])


def read_placed(connection: Any) -> dict[str, Any]:
    """``own``, the tablespace of the database of ``connection``, and ``relations`` elsewhere as ``[kind, identity, tablespace]``."""
    return {"own": read_own(connection), "relations": [list(row.values()) for row in rows(connection, RELATIONS)]}


def place(name: str | None, own: str, tablespaces: Mapping[str, str]) -> str | None:
    """Where on the target lies what lay in ``name``, None for the database's own tablespace; ``own`` is that on the source."""
    if name is None:
        return None
    there = tablespaces.get(name, DEFAULT)
    return None if there == tablespaces.get(own, DEFAULT) else there


def moves(placed: Mapping[str, Any], tablespaces: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Statements that move a new database's relations where they belong: tables, best while they are empty, and indexes."""
    tables: list[str] = []
    indexes: list[str] = []
    for kind, identity, name in placed["relations"]:
        there = place(name, placed["own"], tablespaces)
        if there:
            (indexes if kind == "INDEX" else tables).append(f"ALTER {kind} IF EXISTS {identity} SET TABLESPACE {identifier(there)}")
    return tables, indexes


def without_counterpart(placed: Mapping[str, Any], tablespaces: Mapping[str, str]) -> list[str]:
    """Tablespaces that a database uses and that ``tablespaces`` does not name."""
    return sorted({placed["own"], *(row[2] for row in placed["relations"])} - {DEFAULT} - tablespaces.keys())


def placed_catalog(catalog: Mapping[str, Mapping[str, Mapping[str, Any]]], own: str,
                   tablespaces: Mapping[str, str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The source's ``catalog`` with the tablespaces that tables and indexes are to have on the target."""
    def entry(one: Mapping[str, Any]) -> dict[str, Any]:
        return dict(one, tablespace=place(one["tablespace"], own, tablespaces)) if "tablespace" in one else dict(one)
    return {kind: {identity: entry(one) for identity, one in found.items()} for kind, found in catalog.items()}


def nothing_placed() -> dict[str, Sequence[Any] | str]:
    """What a backup says that was made before tablespaces were captured."""
    return {"own": DEFAULT, "relations": []}
