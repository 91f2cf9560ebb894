# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chain of a journal, without I/O: what an event's hash is, and whether lines and head still belong together.

A journal is a file of events, one canonical JSON object a line, and a head ``{"seq", "hash"}`` that names the last
committed event. Lines are written first, the head is renamed after them. So lines beyond the head that continue the
chain are the end of a write whose writer died, and an unterminated last line is a torn write; every other difference
is tampering. A cut made in both the file and the head cannot be seen here: that takes an anchor outside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

GENESIS = "0" * 64
"""``prev_hash`` of the first event and ``hash`` of the head of an empty journal."""

EMPTY_HEAD = {"seq": 0, "hash": GENESIS}


def canonical(value: Any) -> bytes:
    """The one way in which a JSON value is written: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def event_hash(event: dict[str, Any]) -> str:
    """Hexadecimal SHA-256 over the canonical form of ``event`` without its ``hash``."""
    return hashlib.sha256(canonical({key: value for key, value in event.items() if key != "hash"})).hexdigest()


def seal(drafts: Iterable[dict[str, Any]], head: dict[str, Any]) -> list[dict[str, Any]]:
    """``drafts`` as events that continue the chain after ``head``: with ``seq``, ``prev_hash`` and ``hash``."""
    sealed: list[dict[str, Any]] = []
    seq, previous = head["seq"], head["hash"]
    for draft in drafts:
        seq += 1
        event = dict(draft, seq=seq, prev_hash=previous)
        previous = event["hash"] = event_hash(event)
        sealed.append(event)
    return sealed


def encode(events: Iterable[dict[str, Any]]) -> bytes:
    """The lines of ``events``."""
    return b"".join(canonical(event) + b"\n" for event in events)


@dataclass
class Reading:
    """What a journal file holds. ``torn`` are the bytes of an unterminated last line, ``problem`` names tampering."""

    events: list[dict[str, Any]] = field(default_factory=list)
    torn: bytes = b""
    problem: str = ""

    @property
    def head(self) -> dict[str, Any]:
        """The head that the events ask for; ahead of the head on disk when a writer died between the two."""
        return {"seq": len(self.events), "hash": self.events[-1]["hash"]} if self.events else dict(EMPTY_HEAD)

    def verdict(self) -> dict[str, Any]:
        """The public form: ``intact``, ``events`` (number), ``head`` (hash), ``torn`` (bytes), ``problem``."""
        return {
            "intact": not self.problem, "events": len(self.events), "head": self.head["hash"],
            "torn": len(self.torn), "problem": self.problem,
        }


def read(data: bytes, head: dict[str, Any] | None) -> Reading:
    """Check the bytes of a journal file against ``head`` (None: there is no head file); never raises."""
    lines = data.split(b"\n")
    reading = Reading(torn=lines.pop())
    previous = GENESIS
    for number, line in enumerate(lines, 1):
        event, reading.problem = _read_line(number, line, previous)
        if event is None:
            return reading
        previous = event["hash"]
        reading.events.append(event)
    reading.problem = _compare_with_head(reading, bool(data), head)
    return reading


def _read_line(number: int, line: bytes, previous: str) -> tuple[dict[str, Any] | None, str]:
    try:
        event = json.loads(line)
        as_written = isinstance(event, dict) and canonical(event) == line
    except ValueError:
        as_written = False
    if not as_written:
        return None, f"line {number} is not an event as it was written"
    if event.get("seq") != number:
        return None, f"line {number} holds event {event.get('seq')}: events were removed, added or reordered"
    if event.get("prev_hash") != previous:
        return None, f"event {number} does not continue the chain: an event before it was exchanged"
    if event.get("hash") != event_hash(event):
        return None, f"event {number} was changed"
    return event, ""


def _compare_with_head(reading: Reading, has_data: bool, head: dict[str, Any] | None) -> str:
    count = len(reading.events)
    if head is None:
        return "the head file is missing" if has_data else ""
    seq, digest = head.get("seq"), head.get("hash")
    if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0 or not isinstance(digest, str):
        return "the head file is malformed"
    if seq > count:
        return f"the head names event {seq}, the journal ends at {count}: events were cut off"
    if digest != (reading.events[seq - 1]["hash"] if seq else GENESIS):
        return f"event {seq} is not the one that the head names"
    return ""
