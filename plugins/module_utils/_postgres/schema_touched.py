# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tables a schema tool touched, from the catalogs before and after it. Pure.

What it only wrote into tables shows in their row digests, which ``pg_verify`` compares afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import compare_catalogs

ROWS = ("r", "p", "f")  # kinds of relations that hold rows: tables, partitioned and foreign ones
KINDS = {"v": "view", "m": "materialized view", "c": "type"}


@dataclass(frozen=True)
class Touched:
    """``tables`` (``schema.table``) made, dropped or changed, ``others`` (``kind name``), and ``undeclared`` of the tables."""

    tables: list[str]
    others: list[str]
    undeclared: list[str] = field(default_factory=list)


def compare(before: Mapping[str, Any], after: Mapping[str, Any], own: Collection[str], expected: Collection[str]) -> Touched:
    """What differs between two catalogs of ``catalog``; ``own`` are the tool's tables, ``expected`` those that may change."""
    relations = {**before.get("table", {}), **after.get("table", {})}
    tables, others = set(), set()
    kinds = sorted(before.keys() | after.keys(), key=len, reverse=True)  # a kind may have several words
    for difference in compare_catalogs("", before, after):
        kind = next(kind for kind in kinds if difference.object.startswith(f"{kind} "))
        identity = difference.object[len(kind) + 1:]
        entry = before.get(kind, {}).get(identity) or after.get(kind, {}).get(identity) or {}
        name = entry.get("of") or identity
        relation = relations.get(name, {}).get("kind")
        if relation in ROWS:
            tables.add(name)
        else:
            others.add(f"{KINDS[relation]} {name}" if relation else f"{kind} {identity}")
    return Touched(sorted(tables), sorted(others), sorted(tables - set(own) - set(expected)))
