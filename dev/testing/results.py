# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a test run yielded: counts read from JUnit XML, and JUnit XML for the tools that write none."""

from __future__ import annotations

import pathlib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field


@dataclass
class Counts:
    """Tests by verdict; ``skips`` holds one ``(test, reason)`` for each skipped one, ``failures`` one ``(test, cause)``."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    skips: list[tuple[str, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped, self.skips + other.skips,
                      self.failures + other.failures)

    @property
    def ran(self) -> int:
        """Tests that gave a verdict."""
        return self.passed + self.failed

    def line(self) -> str:
        """The closing line of a run."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read_junit(path: pathlib.Path) -> Counts:
    """Count the test cases in a JUnit file; raises ``OSError`` or ``ElementTree.ParseError``.

    A case that failed and then failed in its tear-down too is one failure.
    """
    counts = Counts()
    verdicts: dict[tuple[str, str], ElementTree.Element] = {}
    for number, case in enumerate(ElementTree.parse(path).getroot().iter("testcase")):
        key = (case.get("classname", ""), case.get("name", str(number)))
        if key not in verdicts or _failure(case) is not None:
            verdicts[key] = case
    for (classname, name), case in verdicts.items():
        test, skip, failure = f"{classname}.{name}".lstrip("."), case.find("skipped"), _failure(case)
        if failure is not None:
            counts.failed += 1
            counts.failures.append((test, failure.get("message") or "no cause given"))
        elif skip is not None:
            counts.skipped += 1
            counts.skips.append((test, skip.get("message") or "no reason given"))
        else:
            counts.passed += 1
    return counts


def _failure(case: ElementTree.Element) -> ElementTree.Element | None:
    failure = case.find("failure")
    return case.find("error") if failure is None else failure


def write_junit(path: pathlib.Path, name: str, verdict: str, seconds: float, detail: str) -> Counts:
    """Write a tool's whole run as one test case and return its count; ``verdict`` is passed, failed or skipped."""
    suite = ElementTree.Element("testsuite", name=name, tests="1", failures=str(int(verdict == "failed")), errors="0",
                                skipped=str(int(verdict == "skipped")), time=f"{seconds:.3f}")
    case = ElementTree.SubElement(suite, "testcase", classname="dev.test", name=name, time=f"{seconds:.3f}")
    if verdict == "failed":
        ElementTree.SubElement(case, "failure", message=f"{name} failed").text = printable(detail)
    elif verdict == "skipped":
        ElementTree.SubElement(case, "skipped", message=printable(detail))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    if verdict == "skipped":
        return Counts(skipped=1, skips=[(name, detail)])
    if verdict == "failed":
        return Counts(failed=1, failures=[(name, detail.strip().rpartition("\n")[2] or "it said nothing")])
    return Counts(passed=1)


def printable(text: str) -> str:
    """``text`` without the control characters that XML cannot carry."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())
