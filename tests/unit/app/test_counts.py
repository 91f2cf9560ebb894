# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counts of tests, from what the runners really print."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app.counts import Counts, from_junit, from_output
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

PYTEST = "tests/test_a.py ..F.s\n\x1b[31m=== \x1b[1m1 failed\x1b[0m, 3 passed, 1 skipped, 2 warnings in 0.12s\x1b[0m =====\n"
VITEST = "\n \x1b[2mTest Files\x1b[0m  1 failed | 1 passed (2)\n      Tests  1 failed | 3 passed | 1 skipped (5)\n   Start at  10:00:00\n"
JEST = "Test Suites: 1 passed, 1 total\nTests:       1 failed, 2 skipped, 3 passed, 6 total\nTime:        1.2 s\n"
NODE_SPEC = "ℹ tests 5\nℹ suites 0\nℹ pass 3\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0\nℹ duration_ms 12.3\n"
NODE_TAP = "1..4\n# tests 4\n# suites 0\n# pass 4\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0\n"
UNITTEST = "....\n-----\nRan 6 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)\n"


@pytest.mark.parametrize(("text", "counts"), [
    pytest.param(PYTEST, Counts(3, 1, 1), id="pytest in colours"),
    pytest.param("3 passed in 0.01s\n", Counts(3), id="pytest -q"),
    pytest.param("2 passed, 1 error in 61.10s (0:01:01)\n", Counts(2, 1), id="pytest error"),
    pytest.param("=== no tests ran in 0.00s ===\n", Counts(), id="pytest nothing"),
    pytest.param("1 deselected in 0.01s\n", Counts(0, 0, 1), id="pytest all deselected"),
    pytest.param(VITEST, Counts(3, 1, 1), id="vitest"),
    pytest.param("      Tests  12 passed (12)\n", Counts(12), id="vitest all passed"),
    pytest.param(JEST, Counts(3, 1, 2), id="jest"),
    pytest.param(NODE_SPEC, Counts(3, 1, 1), id="node spec"),
    pytest.param(NODE_TAP, Counts(4), id="node tap"),
    pytest.param(UNITTEST, Counts(3, 2, 1), id="unittest"),
    pytest.param("Ran 2 tests in 0.001s\n\nOK\n", Counts(2), id="unittest ok"),
    pytest.param("Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", Counts(), id="unittest nothing"),
    pytest.param("00:00 +0: loading a_test.dart\n00:02 +12 ~1 -2: Some tests failed.\n", Counts(12, 2, 1), id="flutter"),
    pytest.param("00:00 +0: adds\r00:01 +1: adds\r00:01 +3: All tests passed!\n", Counts(3), id="flutter on a terminal"),
    pytest.param("all good, 5 passed the bridge in good order\n", None, id="prose is no summary"),
    pytest.param("", None, id="silence"),
])
def test_the_last_summary_of_a_known_runner_counts(text, counts):
    assert from_output(text) == counts


def test_a_summary_printed_twice_counts_once_and_the_last_one_wins():
    assert from_output("1 passed in 0.1s\n2 passed in 0.1s\n") == Counts(2)


def test_junit_counts_its_test_cases_not_its_attributes():
    document = b"""<testsuites><testsuite tests="99"><testcase name="a"/><testcase name="b"><failure/></testcase>
    <testcase name="c"><error/></testcase><testcase name="d"><skipped/></testcase></testsuite></testsuites>"""
    assert from_junit(document) == Counts(1, 2, 1)


@pytest.mark.parametrize("document", [b"", b"<testsuite>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><testsuite/>"])
def test_what_is_no_plain_junit_is_refused(document):
    with pytest.raises(MigrationError):
        from_junit(document)
