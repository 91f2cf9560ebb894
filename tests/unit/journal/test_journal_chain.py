# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chain shows every change that its head can show."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._journal import chain


def written(count: int = 4) -> tuple[list[bytes], dict[str, Any]]:
    """Lines of a journal of ``count`` events, and its head."""
    events = chain.seal([{"verb": f"v{number}", "facts": {"summary": "état ⵜⴰⵎⴰⵣⵉⵖⵜ"}} for number in range(count)], chain.EMPTY_HEAD)
    lines = chain.encode(events).splitlines(keepends=True)
    return lines, {"seq": count, "hash": events[-1]["hash"]}


def resealed(line: bytes, **changes: Any) -> bytes:
    """The line with changed fields and the hash that then fits: the work of somebody who knows the format."""
    event = dict(json.loads(line), **changes)
    event["hash"] = chain.event_hash(event)
    return chain.encode([event])


def test_an_untouched_journal_is_intact() -> None:
    lines, head = written()
    assert chain.read(b"".join(lines), head).verdict() == {"intact": True, "events": 4, "head": head["hash"], "torn": 0, "problem": ""}


def test_a_journal_that_does_not_exist_is_intact_and_empty() -> None:
    assert chain.read(b"", None).verdict() == {"intact": True, "events": 0, "head": chain.GENESIS, "torn": 0, "problem": ""}


TAMPERINGS = {
    "one letter changed": lambda lines: [lines[0], lines[1].replace(b"v1", b"w1"), *lines[2:]],
    "a space added": lambda lines: [lines[0], lines[1].replace(b":", b": ", 1), *lines[2:]],
    "a key doubled": lambda lines: [lines[0].replace(b"{", b'{"verb":"x",', 1), *lines[1:]],
    "an event changed and rehashed": lambda lines: [lines[0], resealed(lines[1], verb="x"), *lines[2:]],
    "the last event changed and rehashed": lambda lines: [*lines[:3], resealed(lines[3], verb="x")],
    "the first event cut": lambda lines: lines[1:],
    "an event cut from the middle": lambda lines: [lines[0], *lines[2:]],
    "the last event cut": lambda lines: lines[:3],
    "the end of the last event cut": lambda lines: [*lines[:3], lines[3][:-9]],
    "the last newline cut": lambda lines: [*lines[:3], lines[3][:-1]],
    "all events cut": lambda lines: [],
    "two events exchanged": lambda lines: [lines[0], lines[2], lines[1], lines[3]],
    "an event repeated": lambda lines: [*lines, lines[3]],
    "an empty line": lambda lines: [*lines[:2], b"\n", *lines[2:]],
    "something else": lambda lines: [*lines[:2], b"[]\n", *lines[2:]],
    "no UTF-8": lambda lines: [*lines[:2], b"\xff\n", *lines[2:]],
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_seen(name: str) -> None:
    lines, head = written()
    verdict = chain.read(b"".join(TAMPERINGS[name](lines)), head).verdict()
    assert not verdict["intact"] and verdict["problem"]


@pytest.mark.parametrize(("name", "words"), [
    ("an event cut from the middle", "line 2 holds event 3: events were removed"),
    ("the last event cut", "the head names event 4, the journal ends at 3"),
    ("one letter changed", "event 2 was changed"), ("an event changed and rehashed", "event 3 does not continue the chain"),
])
def test_tampering_is_named(name: str, words: str) -> None:
    lines, head = written()
    assert words in chain.read(b"".join(TAMPERINGS[name](lines)), head).problem


HEADS = [None, {}, {"seq": True, "hash": "x"}, {"seq": -1, "hash": ""}, {"seq": 4, "hash": "0" * 64}, {"seq": 5, "hash": "x"}]


@pytest.mark.parametrize("head", HEADS)
def test_a_missing_malformed_or_foreign_head_is_seen(head: Any) -> None:
    lines, _good = written()
    assert not chain.read(b"".join(lines), head).verdict()["intact"]


@pytest.mark.parametrize("committed", range(4))
def test_whole_lines_beyond_the_head_are_the_end_of_an_interrupted_write(committed: int) -> None:
    lines, _head = written()
    digest = json.loads(lines[committed - 1])["hash"] if committed else chain.GENESIS
    reading = chain.read(b"".join(lines), {"seq": committed, "hash": digest})
    assert reading.verdict()["intact"] and len(reading.events) == 4


@pytest.mark.parametrize("length", [1, 20, 100])
def test_an_unterminated_last_line_is_torn_not_tampered(length: int) -> None:
    lines, _head = written()
    committed = {"seq": 3, "hash": json.loads(lines[2])["hash"]}
    reading = chain.read(b"".join(lines[:3]) + lines[3][:length], committed)
    assert reading.verdict() == {"intact": True, "events": 3, "head": committed["hash"], "torn": length, "problem": ""}


def test_a_number_that_json_cannot_hold_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        chain.canonical({"duration": float("nan")})
