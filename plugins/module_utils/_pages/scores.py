# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scores of Lighthouse, and when they are refused. Pure."""

from __future__ import annotations

import statistics
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
Scores = dict[str, float]


def read_scores(document: Any, categories: list[str]) -> Scores:
    """The scores (0 to 100) of one result of Lighthouse by category; raises :class:`MigrationError` when one is missing."""
    failed = document.get("runtimeError") or {}
    if failed.get("code") not in (None, "NO_ERROR"):
        raise MigrationError(f"Lighthouse could not measure the page ({failed['code']}): open it in a browser of this host")
    found = {}
    for name in categories:
        score = (document.get("categories", {}).get(name) or {}).get("score")
        if score is None:
            raise MigrationError(f"Lighthouse gave no score for {name}: measure again, or leave the category out")
        found[name] = round(score * 100, 1)
    return found


def middle(runs: list[Scores]) -> Scores:
    """The median of every category over several runs of one page."""
    return {name: round(statistics.median(run[name] for run in runs), 1) for name in runs[0]}


def rows(before: dict[str, Scores] | None, after: dict[str, Scores]) -> list[dict[str, Any]]:
    """One row for each page and category; ``before`` is None where it was not measured."""
    old = before or {}
    return [{"page": page, "language": "", "what": name, "before": old.get(page, {}).get(name), "after": score}
            for page, scores in after.items() for name, score in scores.items()]


def refusals(found: list[dict[str, Any]], drop: dict[str, float], minimum: dict[str, float]) -> list[str]:
    """Why the scores are refused: points by which a category may drop, and points that it must have."""
    refused = []
    for row in found:
        name, after, before = row["what"], row["after"], row["before"]
        if before is not None and name in drop and before - after > drop[name]:
            refused.append(f"{row['page']}: {name} dropped from {before:g} to {after:g}, {drop[name]:g} points are allowed")
        if name in minimum and after < minimum[name]:
            refused.append(f"{row['page']}: {name} is {after:g}, at least {minimum[name]:g} is wanted")
    return refused


def points(given: dict[str, Any], option: str) -> dict[str, float]:
    """``given`` as points by category; raises :class:`MigrationError` for another category or value."""
    found = {}
    for name, value in given.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError):
            found[str(name)] = -1.0
        if name not in CATEGORIES or not 0 <= found[str(name)] <= 100:
            raise MigrationError(f"{option} must give points from 0 to 100 to {', '.join(CATEGORIES)}: correct {name}")
    return found
