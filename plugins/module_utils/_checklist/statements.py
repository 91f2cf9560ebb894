# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What people state: attestations and waivers, each taken or refused with a reason."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable
from typing import Any, Optional

from ansible_collections.dihya.migration.plugins.module_utils._checklist import texts
from ansible_collections.dihya.migration.plugins.module_utils._checklist.times import parse_day

Found = tuple[str, str, dict[str, Any]]
"""Verdict, what was observed, details."""
NOTHING: Found = ("not_demonstrated", "", {})


def missing(entry: dict[str, Any], names: tuple[str, ...]) -> str:
    """Why ``entry`` is not complete, empty when it is."""
    absent = [name for name in names if not str(entry.get(name) or "").strip()]
    return f"lacks {', '.join(absent)}" if absent else ""


def changed(path: str, sha256: str, read: Callable[[str], Optional[bytes]]) -> str:
    """Why the document does not match its digest, empty when it does or is not on this host."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        return "has a sha256 that is not 64 hexadecimal digits"
    data = read(path)
    if data is not None and hashlib.sha256(data).hexdigest() != sha256.lower():
        return f"names {path}, whose digest is another one: the document changed since, or it is not this one"
    return ""


def attestation(entry: dict[str, Any], now: datetime.datetime, read: Callable[[str], Optional[bytes]]) -> tuple[str, Found]:
    """(why it is refused, nothing) or (empty, what it shows)."""
    item = entry.get("item")
    if item not in texts.ITEMS:
        return "names no item of the checklist", NOTHING
    if item not in texts.ATTESTABLE:
        return f"attests {item}, which counts only when a machine observed it", NOTHING
    problem = missing(entry, ("who", "when", "document", "sha256"))
    if problem:
        return problem, NOTHING
    when, until = parse_day(entry["when"], end=False), parse_day(entry["until"], end=True) if entry.get("until") else None
    if when is None or (entry.get("until") and until is None):
        return "has a time that is not RFC 3339", NOTHING
    if when > now:
        return "is dated in the future", NOTHING
    if until is not None and until < now:
        return f"expired at {entry['until']}", NOTHING
    problem = changed(entry["document"], str(entry["sha256"]), read)
    if problem:
        return problem, NOTHING
    details = {name: entry.get(name) for name in ("who", "when", "document", "sha256", "until")}
    return "", ("attested", texts.ATTESTED.format(who=entry["who"], when=entry["when"]), details)


def waiver(entry: dict[str, Any], now: datetime.datetime, _read: Callable[[str], Optional[bytes]]) -> tuple[str, Found]:
    """(why it is refused, nothing) or (empty, what it shows)."""
    item = entry.get("item")
    if item not in texts.ITEMS:
        return "names no item of the checklist", NOTHING
    if item not in texts.WAIVABLE:
        return f"waives {item}; only {', '.join(texts.WAIVABLE)} can be waived", NOTHING
    problem = missing(entry, ("who", "why", "until"))
    if problem:
        return problem, NOTHING
    until = parse_day(entry["until"], end=True)
    if until is None:
        return "has a time that is not RFC 3339", NOTHING
    if until < now:
        return f"expired at {entry['until']}", NOTHING
    details = {name: entry[name] for name in ("who", "why", "until")}
    return "", ("waived", texts.WAIVED.format(who=entry["who"], until=entry["until"]), details)
