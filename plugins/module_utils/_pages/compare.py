# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became worse from the old site to the new one, and what exceeds a budget. Pure: records in, verdicts out.

A record is what ``page_audit`` keeps of one site: ``{"pages": [{page, language, bytes, requests}], "violations": [...]}``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

IMPACTS = ("minor", "moderate", "serious", "critical")
Key = tuple[str, str, str]
Record = dict[str, Any]


@dataclass(frozen=True)
class Budgets:
    """Limits of the new site, None without one: violations of the whole site, then bytes and requests of each page, and percent by
    which a page may weigh more than the old one."""

    violations: Optional[int] = None
    bytes: Optional[int] = None
    requests: Optional[int] = None
    growth: Optional[float] = None


def compare(before: Record | None, after: Record) -> list[dict[str, Any]]:
    """One row for each rule that a page breaks or broke, the worst first: ``verdict`` is ``new`` (more than before), ``known``, ``gone``,
    or ``found`` when there is nothing to compare with. ``before`` and ``after`` count how often."""
    old, now = _by_key(before or {"violations": []}), _by_key(after)
    rows = []
    for key in {**now, **old}:
        counts = [side[key]["count"] if key in side else 0 for side in (old, now)]
        one = now.get(key) or old[key]
        rows.append({name: one[name] for name in ("rule", "impact", "page", "language", "tags")}
                    | {"before": counts[0] if before is not None else None, "after": counts[1],
                       "verdict": "found" if before is None else _verdict(*counts)})
    return sorted(rows, key=_worst_first)


def refusals(rows: list[dict[str, Any]], failing: list[str], before: Record | None, after: Record, budgets: Budgets) -> list[str]:
    """Why the new site is refused, one sentence each; none when it is not. ``failing`` are the impacts whose increase is one."""
    worse = [row for row in rows if row["verdict"] == "new" and row["impact"] in failing]
    found = [f"{place(row)}: {row['rule']} ({row['impact']}), {row['before']} before and {row['after']} now" for row in worse]
    total = sum(row["after"] for row in rows)
    if budgets.violations is not None and total > budgets.violations:
        found.append(f"{total} violations, {budgets.violations} are allowed")
    old = {(one["page"], one["language"]): one for one in (before or {"pages": []})["pages"]}
    for one in after["pages"]:
        for what in ("bytes", "requests"):
            limit = getattr(budgets, what)
            if limit is not None and one[what] > limit:
                found.append(f"{place(one)}: {one[what]} {what}, {limit} are allowed")
        earlier = old.get((one["page"], one["language"]))
        if budgets.growth is not None and earlier and one["bytes"] > earlier["bytes"] * (1 + budgets.growth / 100):
            allowed = f"{budgets.growth:g} percent more are allowed"
            found.append(f"{place(one)}: {one['bytes']} bytes, {earlier['bytes']} on the old site, {allowed}")
    return found


def place(one: dict[str, Any]) -> str:
    """A page and its language in one text."""
    if not one["page"]:
        return "the site"
    return f"{one['page']} in {one['language']}" if one["language"] else str(one["page"])


def _by_key(record: Record) -> dict[Key, dict[str, Any]]:
    return {(one["page"], one["language"], one["rule"]): one for one in record["violations"]}


def _worst_first(row: dict[str, Any]) -> tuple[int, int, str, str, str]:
    order = ("new", "found", "known", "gone")
    return order.index(row["verdict"]), -IMPACTS.index(row["impact"]), row["page"], row["language"], row["rule"]


def _verdict(before: int, after: int) -> str:
    if after > before:
        return "new"
    return "known" if after else "gone"
