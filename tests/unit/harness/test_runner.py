# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The test run itself: nothing that went wrong may look green."""

from __future__ import annotations

import os
import sys
import time

import pytest

from dev.test import close, lines_of, run_tiers
from dev.testing.results import Counts, read_junit
from dev.testing.steps import SKIPPED, Runner, Step
from dev.testing.system import Need
from dev.testing.tiers import Tier


def python(code: str, name: str = "step", **options) -> Step:
    return Step(name, (sys.executable, "-c", code), **options)


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


@pytest.mark.parametrize(("code", "line"), [
    ("pass", "1 passed, 0 failed, 0 skipped"),
    ("raise SystemExit(1)", "0 passed, 1 failed, 0 skipped"),
    ("import os; os.kill(os.getpid(), 9)", "0 passed, 1 failed, 0 skipped"),
    (f"print('no podman'); raise SystemExit({SKIPPED})", "0 passed, 0 failed, 1 skipped"),
])
def test_a_tool_counts_as_one_test(runner, code, line):
    counts = runner.run(python(code))
    assert counts.line() == line
    assert read_junit(runner.junit / "step.xml").line() == line


def test_a_skipped_step_says_why(runner):
    counts = runner.run(python(f"print('no podman'); raise SystemExit({SKIPPED})"))
    assert counts.skips == [("step", "no podman")]


def test_a_failed_step_shows_the_end_of_its_output(runner, capsys):
    runner.run(python("print('\\n'.join(map(str, range(500)))); raise SystemExit(3)"))
    shown = capsys.readouterr().out
    assert "│ 499" in shown and "│ 100" not in shown and "exit status 3" in shown


def test_a_missing_tool_is_a_failure(runner):
    assert runner.run(Step("gone", ("/nonexistent/tool",))).failed == 1


def test_a_step_over_its_limit_ends_with_all_its_children(runner, tmp_path):
    child = "import subprocess, time; p = subprocess.Popen(['sleep', '600']); open('pid', 'w').write(str(p.pid)); time.sleep(600)"
    begun = time.monotonic()
    assert runner.run(python(child, timeout=8)).failed == 1
    assert time.monotonic() - begun < 60
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.05)


@pytest.mark.parametrize("code", [0, 1, 5])
def test_a_test_tool_that_found_nothing_to_run_has_failed(runner, code):
    empty = "open('build/junit/step.xml', 'w').write('<testsuites><testsuite/></testsuites>')"
    assert runner.run(python(f"{empty}; raise SystemExit({code})", writes_junit=True)).failed == 1


def test_a_test_tool_that_breaks_after_green_tests_has_failed(runner):
    green = "open('build/junit/step.xml', 'w').write('<testsuite><testcase classname=\"a\" name=\"b\"/></testsuite>')"
    assert runner.run(python(f"{green}; raise SystemExit(3)", writes_junit=True)).line() == "1 passed, 1 failed, 0 skipped"


def test_a_case_that_fails_twice_is_one_failure(tmp_path):
    path = tmp_path / "x.xml"
    path.write_text('<testsuite><testcase classname="a" name="b"><failure message="1 != 2"/></testcase>'
                    '<testcase classname="a" name="b"><error/></testcase>'
                    '<testcase classname="a" name="c"><skipped message="no podman"/></testcase>'
                    '<testcase classname="a" name="d"/></testsuite>')
    counts = read_junit(path)
    assert counts.line() == "1 passed, 1 failed, 1 skipped"
    assert counts.skips == [("a.c", "no podman")]
    assert [test for test, _cause in counts.failures] == ["a.b"]


def test_the_run_ends_with_what_failed_and_why_after_what_was_skipped(runner, capsys):
    case = '<testcase classname="a" name="b"><failure message="1 != 2&#10;and more"/></testcase>'
    failing = runner.run(python(f"open('build/junit/step.xml', 'w').write('<testsuite>{case}</testsuite>'.replace(chr(10), '&#10;'))",
                                writes_junit=True))
    broken = runner.run(python("print('no such file'); raise SystemExit(2)", "tool"))
    close(failing + broken + Counts(skipped=1, skips=[("c", "no podman")]), 61)
    assert capsys.readouterr().out.splitlines()[-7:-2] == ["skipped", "  c: no podman", "failed", "  a.b: 1 != 2", "  tool: no such file"]


def test_what_is_said_of_all_forms_of_a_test_is_said_once():
    assert lines_of([("a.b[1]", "waits"), ("a.b[2]", "waits"), ("a.b[3]", "no podman"), ("a.c[1]", "waits")]) == [
        "  a.b in 2 forms: waits", "  a.b[3]: no podman", "  a.c[1]: waits"]


@pytest.mark.parametrize(("counts", "status"), [
    (Counts(passed=1), 0), (Counts(passed=1, failed=1), 1), (Counts(), 1), (Counts(skipped=3), 1),
])
def test_the_closing_line_is_last_and_green_needs_a_test_that_ran(capsys, counts, status):
    assert close(counts, 61) == status
    assert capsys.readouterr().out.splitlines()[-1] == counts.line()


def test_a_tier_does_not_wait_for_the_one_before_it_and_the_steps_of_a_lane_come_in_turn(tmp_path):
    waits = "import pathlib, time\nwhile not pathlib.Path('{}').exists(): time.sleep(0.05)"
    first = Tier("first", ((python(waits.format("made"), "waiting", timeout=20),),))
    second = Tier("second", ((python("open('begun', 'w')", "one"), python("import os; os.rename('begun', 'made')", "two")),))
    assert run_tiers([first, second], lambda: None, tmp_path).line() == "3 passed, 0 failed, 0 skipped"


def test_tiers_that_need_nothing_of_the_system_do_not_wait_for_what_is_installed_and_the_others_do(tmp_path):
    made = tmp_path / "made"

    def installed():
        until = time.monotonic() + 20
        while not made.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert made.exists()
        (tmp_path / "installed").touch()

    first = Tier("first", ((python("open('made', 'w')", "one"),),))
    second = Tier("second", ((python("open('installed')", "two"),),), needs=(Need("tool", "package"),))
    assert run_tiers([first, second], installed, tmp_path).line() == "2 passed, 0 failed, 0 skipped"


def test_a_tier_that_holds_no_test_has_failed(tmp_path):
    assert run_tiers([Tier("empty", ())], lambda: None, tmp_path).failed == 1
