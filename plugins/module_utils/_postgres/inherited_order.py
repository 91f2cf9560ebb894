# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of columns in a table that inherits: a column that its parent got later stands last there, and first when it is restored.

A dump names its own columns alone, which the server puts behind those of the parents. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class InheritedOrder:
    """Decides whether the order on the target is the one that a restore of the source gives; both are catalogs (see ``catalog``)."""

    def __init__(self, source: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        self._sides = (source, target)
        self._orders: list[dict[str, list[str]]] = []

    def explains(self, table: str) -> bool:
        """Whether ``table`` inherits (a partition does not: its dump names every column) and has exactly that order on the target."""
        one, other = (side.get("table", {}).get(table, {}) for side in self._sides)
        parents = one.get("parents")
        if not parents or one.get("partition_bound") or other.get("parents") != parents:
            return False
        if not self._orders:
            self._orders = [_orders(side) for side in self._sides]
        before, after = self._orders
        # As the server merges them: what a parent brings, in its order there, then what is the table's own, once each.
        merged = dict.fromkeys([name for parent in parents for name in after.get(parent, [])] + before[table])
        return list(merged) == after[table]


def _orders(catalog: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of the columns of each table, in their order."""
    found: dict[str, list[tuple[int, str]]] = {}
    for identity, one in catalog["column"].items():
        found.setdefault(one["of"], []).append((one["position"], identity[len(one["of"]) + 1:]))
    return {table: [name for _position, name in sorted(columns)] for table, columns in found.items()}
