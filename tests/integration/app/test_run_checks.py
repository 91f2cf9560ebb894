# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""run_checks with real test runners: a green exit status without a test is red."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

NODE = pathlib.Path(sys.executable).parent / "node"
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
SUITE = """
import os, pytest
def test_good(): assert os.environ.get("SECRET") == "canary-9"
@pytest.mark.skip
def test_later(): pass
"""


@pytest.fixture
def check(run_module, tmp_path):
    """One command in a directory with a test suite."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_suite.py").write_text(SUITE)
    (tmp_path / ".env").write_text("SECRET=canary-9\n")
    (tmp_path / ".env").chmod(0o600)

    def ask(argv, check_mode: bool = False, **more):
        command = {"name": "unit tests", "argv": argv, "chdir": str(tmp_path / "suite"), "env_file": str(tmp_path / ".env"), **more}
        result = run_module("run_checks", check_mode, commands=[command], log_dir=str(tmp_path / "log"))
        assert "canary" not in json.dumps(result)
        return result
    return ask


def verdict(result) -> dict:
    assert result["failed"] is (result["tests"][0]["verdict"] == "failed")
    return {name: result["journal"]["tests"][0][name] for name in ("verdict", "passed", "failed", "skipped")}


def gone(command: str) -> bool:
    return subprocess.run(["pgrep", "-f", command], capture_output=True, check=False).returncode == 1


def test_a_green_run_is_counted_and_its_whole_output_kept_private(check, tmp_path):
    result = check(PYTEST)
    assert verdict(result) == {"verdict": "passed", "passed": 1, "failed": 0, "skipped": 1}
    log = pathlib.Path(result["tests"][0]["log"])
    assert "1 passed, 1 skipped" in log.read_text() and log.stat().st_mode & 0o777 == 0o600 and not result["changed"]


def test_a_red_run_fails_with_its_counts(check, tmp_path):
    (tmp_path / "suite" / "test_red.py").write_text("def test_red(): assert False\n")
    result = check(PYTEST)
    assert verdict(result) == {"verdict": "failed", "passed": 1, "failed": 1, "skipped": 1}
    assert result["journal"]["error"]["subject"] == "unit tests" and ".log" in result["msg"]


@pytest.mark.parametrize("argv", [
    pytest.param([*PYTEST, "-k", "nothing_matches"], id="none selected"),
    pytest.param([*PYTEST, "-k", "later"], id="all skipped"),
    pytest.param(["true"], id="silent success"),
    pytest.param(["sh", "-c", f"{' '.join(PYTEST)} -k nothing_matches; true"], id="status hidden"),
])
def test_a_run_that_executed_no_test_is_a_failure(check, argv):
    assert verdict(check(argv))["verdict"] == "failed"


def test_a_hang_is_killed_with_all_its_children(check, tmp_path, eventually):
    result = check(["sh", "-c", "sleep 613.5 & sleep 614.5"], timeout=0.5)
    assert verdict(result)["verdict"] == "failed" and "did not end within 0.5 s" in result["msg"]
    assert eventually(lambda: gone("sleep 61[34].5"))


def test_a_child_left_behind_by_a_finished_command_is_ended(check, eventually):
    assert verdict(check(["sh", "-c", "sleep 615.5 & echo 1 passed in 0.1s"]))["verdict"] == "passed"
    assert eventually(lambda: gone("sleep 615.5"))


def test_what_a_command_started_ends_with_a_worker_that_is_killed(check, eventually):
    with pytest.raises(json.JSONDecodeError):  # it left no result
        check(["sh", "-c", "sleep 616.5 & sleep 1; kill -9 $PPID; wait"])
    assert eventually(lambda: gone("sleep 616.5"))


def test_junit_counts_and_a_stale_file_does_not(check, tmp_path):
    assert verdict(check([*PYTEST, "--junitxml=out.xml", "-q"], junit="out.xml"))["passed"] == 1
    assert (tmp_path / "suite" / "out.xml").exists()
    stale = check(["true"], junit="out.xml")
    assert verdict(stale)["verdict"] == "failed" and "left no JUnit file" in stale["msg"]


@pytest.mark.skipif(not NODE.exists(), reason="node is not installed beside this Python")
def test_node_test_is_counted(check, tmp_path):
    (tmp_path / "suite" / "a.test.js").write_text("const t = require('node:test'); t('a', () => {}); t('b', () => {});\n")
    assert verdict(check([str(NODE), "--test"])) == {"verdict": "passed", "passed": 2, "failed": 0, "skipped": 0}


def test_a_program_that_is_missing_is_named(check):
    result = check(["/no/such/runner"])
    assert result["failed"] and "runner could not be started" in result["msg"]


def test_check_mode_runs_nothing(check, tmp_path):
    result = check(["touch", "ran"], check_mode=True)
    assert not result["failed"] and result["tests"][0]["verdict"] == "skipped"
    assert not (tmp_path / "suite" / "ran").exists() and not (tmp_path / "log").exists()


def test_tools_stop_at_the_first_failure_give_versions_and_are_done_once(run_module, tmp_path):
    def ask(last: str):
        return run_module("run_checks", log_dir=str(tmp_path / "log"), keep_going=False, commands=[
            {"name": "before", "argv": ["echo", "rev: abc"], "expect": "exit_status", "tells": {"rev": "^rev: (.*)$"}},
            {"name": "install", "argv": ["sh", "-c", "echo x >> " + str(tmp_path / "runs")], "expect": "exit_status",
             "done_file": str(tmp_path / "done")},
            {"name": "upgrade", "argv": [last], "expect": "exit_status"},
            {"name": "after", "argv": ["touch", str(tmp_path / "after")], "expect": "exit_status"},
        ])
    failed = ask("false")
    assert failed["failed"] and not (tmp_path / "after").exists() and failed["told"] == {"rev": "abc"}
    assert [test["verdict"] for test in failed["tests"]] == ["passed", "passed", "failed", "skipped"]
    passed = ask("true")
    assert passed["executed"] == ["before", "upgrade", "after"] and (tmp_path / "runs").read_text() == "x\n"
    assert "tests" not in passed["journal"] and len(passed["journal"]["proofs"]) == 3  # a tool is no test
    assert [test["name"] for test in failed["journal"]["tests"]] == ["upgrade"]


def test_looks_that_may_run_together_wait_for_what_is_before_them_and_are_waited_for(run_module, tmp_path):
    def meets(other: str, mine: str) -> list[str]:
        return ["sh", "-c", f"test -e start && touch {mine} && for i in $(seq 100); do test -e {other} && exit 0; sleep 0.05; done; exit 1"]

    tool = {"expect": "exit_status", "chdir": str(tmp_path)}
    result = run_module("run_checks", log_dir=str(tmp_path / "log"), keep_going=False, commands=[
        {"name": "start", "argv": ["touch", "start"], **tool}, {"name": "one", "argv": meets("b", "a"), **tool},
        {"name": "two", "argv": meets("a", "b"), "together": True, **tool}, {"name": "end", "argv": ["rm", "a", "b"], **tool}])
    assert [test["verdict"] for test in result["tests"]] == ["passed"] * 4


def test_new_errors_in_a_log_fail_and_old_ones_do_not(run_module, tmp_path):
    log = tmp_path / "app.log"
    log.write_text("[ERROR] canary-old\n")
    since = log.stat().st_size
    ask = {"log_dir": str(tmp_path / "log"), "logs": [{"path": str(log), "since": since}]}
    assert not run_module("run_checks", **ask)["failed"]
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"name": "api", "pid": 0, "start": 0, "boot": "", "log_offset": since}))
    assert not run_module("run_checks", log_dir=ask["log_dir"], logs=[{"path": str(log), "record": str(record)}])["failed"]
    log.write_text(log.read_text() + "Traceback (most recent call last):\n  canary-new\n")
    result = run_module("run_checks", **ask)
    assert result["failed"] and "1 lines speak of errors" in result["msg"] and "canary" not in json.dumps(result)
    absent = run_module("run_checks", log_dir=str(tmp_path / "log"), logs=[{"path": str(tmp_path / "none")}])
    assert not absent["failed"] and "does not exist" in absent["journal"]["not_proved"][0]
