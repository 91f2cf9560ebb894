# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verdicts on commands and answers, names and paths: the pure parts."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app.checks import (
    Command,
    batches,
    find,
    judge,
    new_errors,
    run_all,
)
from ansible_collections.dihya.migration.plugins.module_utils._app.counts import Counts
from ansible_collections.dihya.migration.plugins.module_utils._app.inspect import name_problem, path_problem
from ansible_collections.dihya.migration.plugins.module_utils._app.probe import Answer, Expectation, check_url, shown_url
from ansible_collections.dihya.migration.plugins.module_utils._app.probe import judge as judge_answer
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

TESTS = Command("t", ("x",))
TOOL = Command("t", ("x",), expect="exit_status")
TELLER = Command("t", ("x",), expect="exit_status", statuses=(0, 1))


@pytest.mark.parametrize(("command", "status", "counts", "verdict"), [
    (TESTS, 0, Counts(3), "passed"),
    (TESTS, 0, Counts(3, 0, 2), "passed"),
    (TESTS, 0, Counts(0, 0, 2), "failed"),
    (TESTS, 0, Counts(), "failed"),
    (TESTS, 0, None, "failed"),
    (TESTS, 0, Counts(3, 1), "failed"),
    (TESTS, 1, Counts(3), "failed"),
    (TESTS, -9, None, "failed"),
    (TOOL, 0, None, "passed"),
    (TOOL, 2, None, "failed"),
    (TELLER, 1, None, "passed"),
    (TELLER, 2, None, "failed"),
    (Command("t", ("x",), statuses=(0, 1)), 1, Counts(3), "failed"),
])
def test_only_executed_tests_and_an_exit_status_of_zero_pass(command, status, counts, verdict):
    assert judge(command, status, counts)[0] == verdict


def test_a_version_is_cut_from_the_output_and_nothing_else():
    pattern = r"^([0-9a-z]+)(?: \(head\))?$"
    assert find(pattern, "INFO noise\nabc123 (head)\nmore noise here\n") == "abc123"
    assert find(pattern, "b2\na1 (head)\n") == "a1,b2"
    assert find(pattern, "\x1b[32mabc123\x1b[0m (head)\n") == "abc123"
    assert find(pattern, "nothing here\n") == ""


def test_only_what_may_run_together_with_the_command_before_it_does():
    commands = [Command(name, ("x",), together=name.isupper()) for name in "AbCDe"]
    assert ["".join(command.name for command in batch) for batch in batches(commands)] == ["A", "bCD", "e"]


@pytest.mark.parametrize(("before", "wanted", "runs"), [
    ("a1", "a1", False), ("a1", "b2", True), ("nothing", "nothing", True), ("a1", "nothing", True),
])
def test_a_command_runs_unless_those_before_it_told_the_same_and_something(tmp_path, before, wanted, runs):
    def command(name, text, **options):
        return Command(name, ("sh", "-c", f"echo {text}"), expect="exit_status", tells={name: r"^(\w\d)$"}, **options)
    after = command("after", "c3", unless_same=("before", "wanted"))
    outcomes = run_all([command("before", before), command("wanted", wanted), after], str(tmp_path / "log"), False)
    assert [outcome.verdict for outcome in outcomes] == ["passed"] * 3
    assert (outcomes[2].done_already, outcomes[2].told) == (not runs, {"after": "c3" if runs else "a1"})


def test_long_versions_that_differ_anywhere_never_look_alike():
    names = "".join(f"loans.{number:04}_step\n" for number in range(40))
    found = find(r"^(\S+)$", names)
    assert found.startswith("40 names, sha256 ") and len(found) <= 64
    assert find(r"^(\S+)$", names.replace("0039", "0040")) != found
    assert find(r"^(\S+)$", "\n".join(reversed(names.split()))) == found
    assert len(find(r"^(.+)$", "x" * 500)) <= 64


def test_log_lines_that_speak_of_errors_are_counted():
    text = "[ERROR] boom\nINFO fine\nTraceback (most recent call last):\n  NO_ERRORS_HERE\nCRITICAL x\n"
    assert new_errors(text, r"\b(ERROR|CRITICAL|FATAL)\b|^Traceback ") == 3


@pytest.mark.parametrize("value", ["", "relative", "/", "/etc", "/srv/../etc", "/srv/a\nb", "/usr/"])
def test_paths_that_could_hit_the_system_are_refused(value):
    assert path_problem(value) is not None


def test_a_plain_path_is_accepted():
    assert path_problem("/srv/api") is None


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "../x", "a..b", "-x", ".hidden", "x" * 200, "a b", 3])
def test_names_that_leave_their_directory_are_refused(value):
    assert name_problem(value) is not None


@pytest.mark.parametrize(("expected", "met"), [
    ({}, True),
    ({"status": (404,)}, False),
    ({"contains": "migrated"}, True),
    ({"contains": "absent"}, False),
    ({"header": "X-Site"}, True),
    ({"header": "X-Site: new"}, True),
    ({"header": "x-site: old"}, False),
    ({"header": "X-Other"}, False),
])
def test_an_answer_must_meet_every_expectation(expected, met):
    answer = Answer("u", status=200, body="migrated é".encode(), headers={"x-site": "new"})
    assert (judge_answer(Expectation("https://h/", **expected), answer) == ("", "")) is met


def test_what_may_be_secret_in_an_address_is_not_shown():
    assert shown_url("https://user:canary@host:8443/a?token=canary#canary") == "https://host:8443/a"


@pytest.mark.parametrize("url", ["", "host", "ftp://h/", "https://", "http://h:0/", "http://h:99999/", "file:///etc/passwd"])
def test_what_is_no_web_address_is_refused_without_being_quoted(url):
    with pytest.raises(MigrationError, match="not of the form"):
        check_url(url)
