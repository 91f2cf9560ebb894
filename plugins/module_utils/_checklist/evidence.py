# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What machines saw: facts of this run, and files or JSON answers that the inventory names."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any, Optional

from ansible_collections.dihya.migration.plugins.module_utils._checklist import texts
from ansible_collections.dihya.migration.plugins.module_utils._checklist.statements import NOTHING, Found, changed, missing
from ansible_collections.dihya.migration.plugins.module_utils._checklist.times import parse_day

try:
    import jmespath
except ImportError:
    jmespath = None

WORDS = {"proved": "proved", "ok": "proved", "passed": "proved", "failed": "failed"}


NOTHING_TO_DO = "not_applicable"
"""The verdict of a stack that has nothing to back up; ``observed`` says why."""


def is_nothing(entry: dict[str, Any]) -> bool:
    """Whether a fact of the item ``backup`` says, and says why, that there is nothing to back up."""
    return entry.get("verdict") == NOTHING_TO_DO and bool(entry.get("observed"))


def from_fact(entry: dict[str, Any], now: datetime.datetime) -> Found:
    """A fact of this run. Without a verdict it shows nothing, after its ``until`` it no longer counts."""
    verdict = WORDS.get(str(entry.get("verdict")), "not_demonstrated")
    if verdict == "proved" and _is_over(entry, now):
        return "not_demonstrated", texts.EVIDENCE_OLD.format(until=entry["until"]), {}
    return verdict, str(entry.get("observed") or ""), {name: entry.get(name) for name in ("sha256", "until")}


def from_inventory(entry: dict[str, Any], now: datetime.datetime, read: Callable[[str], Optional[bytes]]) -> tuple[str, Found]:
    """(why it is refused, nothing) or (empty, what it shows).

    The inventory names a file (``path`` and ``sha256``) or holds a JSON answer (``json``), and says with ``query`` and
    ``equals`` what must stand in it. Without either it would be a statement, not evidence.
    """
    if entry.get("item") not in texts.ITEMS:
        return "names no item of the checklist", NOTHING
    if _is_over(entry, now):
        return "", ("not_demonstrated", texts.EVIDENCE_OLD.format(until=entry["until"]), {})
    document, problem = entry.get("json"), ""
    if entry.get("path"):
        document, problem = _document(entry, read)
    elif entry["item"] in texts.FROM_FILES:
        problem = "needs a file (path, sha256): the record that an earlier run left"
    elif document is None:
        problem = "names neither a file (path, sha256) nor a JSON answer (json): that would be a statement, not evidence"
    if not problem and document is not None and "query" not in entry:
        problem = "lacks query and equals: what the answer must say"
    if problem:
        return problem, NOTHING
    problem, value = _pick(document, str(entry["query"]))
    if problem:
        return problem, NOTHING
    details = {name: entry.get(name) for name in ("path", "sha256", "until")}
    place = entry.get("observed") or entry.get("path") or entry["query"]
    if value == entry.get("equals", True):
        return "", ("proved", texts.EVIDENCE_FILE.format(path=place), details)
    return "", ("failed", f"{place} does not say what is expected", details)


def _is_over(entry: dict[str, Any], now: datetime.datetime) -> bool:
    """A malformed time is over: it must not make evidence count for ever."""
    if not entry.get("until"):
        return False
    until = parse_day(entry["until"], end=True)
    return until is None or until < now


def _document(entry: dict[str, Any], read: Callable[[str], Optional[bytes]]) -> tuple[Any, str]:
    problem = missing(entry, ("path", "sha256", "query")) or changed(entry["path"], str(entry["sha256"]), read)
    data = None if problem else read(entry["path"])
    if problem or data is None:
        return None, problem or f"names {entry['path']}, which cannot be read here"
    try:
        return json.loads(data), ""
    except ValueError:
        return None, f"names {entry['path']}, which is not JSON"


def _pick(document: Any, query: str) -> tuple[str, Any]:
    if jmespath is None:
        return "needs the Python library jmespath where the checklist runs: pip install jmespath", None
    try:
        return "", jmespath.search(query, document)
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError):
        return "has a query that is not JMESPath or does not fit the answer", None
