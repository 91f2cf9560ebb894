# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is kept of a measured site, and how a comparison with the old one ends: the same for every way of measuring."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish, read_json


def read(path: str, lacking: Callable[[dict[str, Any]], list[str]], verb: str) -> dict[str, Any]:
    """The record of the old site; raises :class:`MigrationError` when it is missing, or lacks pages as ``lacking(record)`` names them.

    ``verb`` is what is to be done with the old site then.
    """
    try:
        record = dict(read_json(path))
        missing = lacking(record)
    except (OSError, ValueError, KeyError, TypeError):
        raise MigrationError(f"{path} is no record of the old site: {verb} the old site first (the verb backup)") from None
    if missing:
        raise MigrationError(f"{path} is a record of other pages, without {cut(', '.join(missing))}: {verb} the old site again")
    return record


def keep(kind: str, path: str, record: dict[str, Any], rows: list[dict[str, Any]], refused: list[str]) -> dict[str, Any]:
    """Publish ``record`` with its comparison; returns the journal's proof of it."""
    content = (json.dumps({**record, "comparison": rows, "refused": refused}, indent=1, ensure_ascii=False) + "\n").encode()
    publish(path, content)
    return {"kind": kind, "path": path, "sha256": hashlib.sha256(content).hexdigest()}


def test(name: str, passed: int, refused: list[str], path: str) -> dict[str, Any]:
    """The comparison as a test of the journal."""
    return {"name": name, "verdict": "failed" if refused else "passed", "passed": passed, "failed": len(refused), "skipped": 0, "log": path}


def end(result: dict[str, Any], name: str, refused: list[str], path: str) -> dict[str, Any]:
    """``result`` with its message; raises :class:`MigrationError` with all of it when something is refused."""
    journal = result["journal"]
    if refused:
        message, remedy = cut("; ".join(refused)), f"read {path} on this host, correct the pages and run again"
        journal["error"] = {"message": message, "subject": name, "remedy": cut(remedy)}
        raise MigrationError(f"{message}. To go on: {remedy}", **result)
    return {**result, "changed": False, "msg": journal["summary"]}
