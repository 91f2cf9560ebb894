# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many tests ran, read from what test runners print or from their JUnit file; pure.

Known: pytest, vitest, jest, node:test (spec and TAP), unittest (Django's runner), flutter test, and JUnit XML of any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Optional
from xml.etree import ElementTree

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PYTEST = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s\b.*$", re.M)
_PYTEST_NONE = re.compile(r"^=*\s*no tests (?:ran|collected).*$", re.M)
_VITEST = re.compile(r"^\s*Tests\s+((?:\d+ [a-z]+(?: \| )?)+)\s*\(\d+\)\s*$", re.M)
_JEST = re.compile(r"^\s*Tests:\s+((?:\d+ [a-z]+(?:, )?)+)\s*$", re.M)
_NODE = re.compile(r"^(?:ℹ|#) (tests|pass|fail|cancelled|skipped|todo) (\d+)\s*$", re.M)
_UNITTEST = re.compile(r"^Ran (\d+) tests? in [\d.]+s\s+^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?\s*$", re.M)
_FLUTTER = re.compile(r"^\d+:\d\d \+(\d+)(?: ~(\d+))?(?: -(\d+))?: (?:All tests passed!|Some tests failed\.|All tests skipped\.)\s*$", re.M)


@dataclass(frozen=True)
class Counts:
    """Tests that passed, failed (errors included) and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def from_output(text: str) -> Counts | None:
    """The counts of the last summary in ``text``, None when no known runner wrote one."""
    plain = _COLOUR.sub("", text)
    for reader in _READERS:
        found = reader(plain)
        if found is not None:
            return found
    return None


def from_junit(document: bytes) -> Counts:
    """The counts of a JUnit XML document, added up over its test cases; raises when it is none."""
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise MigrationError("the JUnit file declares entities and is refused: let the test runner write plain JUnit XML")
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        raise MigrationError("the JUnit file is not XML: the test runner did not finish, or wrote another format") from None
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return Counts(passed, failed, skipped)


def _words(summary: str) -> dict[str, int]:
    """``3 passed, 1 error`` → ``{"passed": 3, "error": 1}``."""
    return {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", summary)}


def _sum(words: dict[str, int], *names: str) -> int:
    return sum(words.get(name, 0) for name in names)


def _pytest(text: str) -> Optional[Counts]:
    found = _PYTEST.findall(text)
    if not found:
        return Counts() if _PYTEST_NONE.search(text) else None
    words = _words(found[-1])
    if not set(words) & {"passed", "failed", "error", "errors", "skipped", "deselected", "xfailed", "xpassed"}:
        return None
    failed, skipped = _sum(words, "failed", "error", "errors"), _sum(words, "skipped", "xfailed", "deselected")
    return Counts(_sum(words, "passed", "xpassed"), failed, skipped)


def _pipes(pattern: re.Pattern[str]) -> Callable[[str], Optional[Counts]]:
    def read(text: str) -> Optional[Counts]:
        found = pattern.findall(text)
        if not found:
            return None
        words = _words(found[-1])
        return Counts(words.get("passed", 0), words.get("failed", 0), _sum(words, "skipped", "todo"))
    return read


def _node(text: str) -> Optional[Counts]:
    words = {name: int(number) for name, number in _NODE.findall(text)}
    if not {"tests", "pass", "fail"} <= set(words):
        return None
    return Counts(words["pass"], _sum(words, "fail", "cancelled"), _sum(words, "skipped", "todo"))


def _unittest(text: str) -> Optional[Counts]:
    found = _UNITTEST.findall(text)
    if not found:
        return None
    total, details = found[-1]
    words = {name.strip(): int(number) for name, number in re.findall(r"([a-z ]+)=(\d+)", details)}
    failed = _sum(words, "failures", "errors", "unexpected successes")
    skipped = _sum(words, "skipped", "expected failures")
    return Counts(max(0, int(total) - failed - skipped), failed, skipped)


def _flutter(text: str) -> Optional[Counts]:
    found = _FLUTTER.findall(text.replace("\r", "\n"))  # on a terminal its lines overwrite each other
    return Counts(*(int(number or 0) for number in (found[-1][0], found[-1][2], found[-1][1]))) if found else None


_READERS = (_pytest, _pipes(_VITEST), _pipes(_JEST), _node, _unittest, _flutter)
