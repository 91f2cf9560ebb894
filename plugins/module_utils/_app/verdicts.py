# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of ``run_checks`` and ``http_probe`` to their results: verdicts in the journal's schema."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import container
from ansible_collections.dihya.migration.plugins.module_utils._app.checks import Command, Outcome, run_all, scan_log
from ansible_collections.dihya.migration.plugins.module_utils._app.probe import Answer, Expectation, check_url, probe_until
from ansible_collections.dihya.migration.plugins.module_utils._app.process import read_record
from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._lease import held


def check(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Run the commands and search the logs; raises with all failures when there is one."""
    began = time.monotonic()
    commands = [_command(item) for item in options["commands"]]
    for text in [text for item in options["commands"] for text in item["tells"].values()] + [item["pattern"] for item in options["logs"]]:
        _check_pattern(text)
    if check_mode:
        outcomes = [Outcome(command.name, why="check mode runs nothing") for command in commands]
        return _checked(options, outcomes, [], time.monotonic() - began)
    if options["lease_file"]:
        private_directory(os.path.dirname(options["lease_file"]))
    with held(options["lease_file"], options["run_id"], "run_checks"):
        outcomes = run_all(commands, options["log_dir"], options["keep_going"], options["progress_file"])
    searched = [_search(item) for item in options["logs"]]
    return _checked(options, outcomes, searched, time.monotonic() - began)


def probe_all(probes: list[dict[str, Any]], retries: int, interval: float, successes: int = 1) -> dict[str, Any]:
    """Send every probe until it was answered well ``successes`` times in a row; raises with all unmet expectations when there is one."""
    began = time.monotonic()
    expectations = [_expectation(item) for item in probes]
    answers = [probe_until(expected, retries, interval, successes) for expected in expectations]
    bad = [answer for answer in answers if answer.why]
    journal: dict[str, Any] = {
        "summary": f"{len(answers) - len(bad)} of {len(answers)} addresses answered as expected",
        "duration": round(time.monotonic() - began, 3),
        "changed": False,
        "tests": [_probe_test(expected, answer) for expected, answer in zip(expectations, answers)],
    }
    versions = sorted({answer.tls for answer in answers if answer.tls})
    if versions:
        journal["versions"] = {"tls": ", ".join(versions)}
    facts = [answer.facts() for answer in answers]
    if bad:
        message = cut("; ".join(f"{answer.url}: {answer.why}" for answer in bad))
        remedy = "; ".join(sorted({answer.remedy for answer in bad}))
        journal["error"] = {"message": message, "subject": bad[0].url[:300], "remedy": cut(remedy)}
        raise MigrationError(f"{message}. {remedy}", probes=facts, journal=journal)
    return {"changed": False, "msg": journal["summary"], "probes": facts, "journal": journal}


def _checked(
    options: dict[str, Any], outcomes: list[Outcome], searched: list[tuple[dict[str, Any], str]], duration: float
) -> dict[str, Any]:
    tests = [outcome.test() for outcome in outcomes] + [test for test, _why in searched]
    named = list(zip(options["commands"], outcomes))
    told = {name: text or "none" for outcome in outcomes if outcome.verdict == "passed" for name, text in outcome.told.items()}
    # A tool is no test: it counts for the report only when it fails, its output is a proof.
    counted = [outcome.test() for item, outcome in named if item["expect"] == "tests" or outcome.verdict == "failed"]
    proofs = [{"kind": "log", "path": outcome.log} for item, outcome in named if item["expect"] != "tests" and outcome.log]
    unproved = [why for test, why in searched if test["verdict"] == "skipped"]
    passed = sum(1 for test in tests if test["verdict"] == "passed")
    executed = [outcome.name for outcome in outcomes if outcome.verdict != "skipped" and not outcome.done_already]
    summary = f"{passed} of {len(tests)} checks passed"
    journal: dict[str, Any] = {"summary": summary, "duration": round(duration, 3), "changed": False}
    found = {"tests": counted + [test for test, _why in searched], "proofs": proofs, "not_proved": unproved, "versions": told}
    for key, value in found.items():
        if value:
            journal[key] = value
    whys = [(outcome.name, outcome.why, outcome.log) for outcome in outcomes if outcome.verdict == "failed"]
    whys += [(test["name"], why, test["log"]) for test, why in searched if test["verdict"] == "failed"]
    result = {"tests": tests, "told": told, "executed": executed, "journal": journal}
    if whys:
        message = cut("; ".join(f"{name}: {why}" for name, why, _log in whys))
        remedy = "read " + ", ".join(log for _name, _why, log in whys if log) + " on this host, correct the release and run again"
        journal["error"] = {"message": message, "subject": whys[0][0], "remedy": cut(remedy)}
        raise MigrationError(f"{message}. To go on: {remedy}", **result)
    return {**result, "changed": False, "msg": journal["summary"]}


def _command(item: dict[str, Any]) -> Command:
    if not item["argv"] or not item["argv"][0]:
        raise MigrationError(f"the command {item['name']} has an empty argv: give the program and its arguments as a list")
    known = {name: item[name] for name in ("name", "chdir", "env_file", "timeout", "expect", "junit", "together", "done_file", "output")}
    variables = {str(name): str(value) for name, value in item["environment"].items()}
    tells = {str(name): str(pattern) for name, pattern in item["tells"].items()}
    stale = (item["stale"]["made"], item["stale"]["source"]) if item["stale"] else None
    return Command(argv=tuple(item["argv"]), environment=variables, statuses=tuple(item["statuses"]), tells=tells,
                   unless_same=tuple(item["unless_same"]), stale=stale, **known)


def _check_pattern(text: str | None) -> None:
    try:
        re.compile(text or "")
    except re.error as error:
        raise MigrationError(f"a pattern is no regular expression: {error.msg} at position {error.pos}") from None


def _search(item: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The verdict on one log as a test of the journal, and why."""
    record = read_record(item["record"]) if item["record"] else None
    if record and item["container"]:
        container.keep_log(item["record"], record)
    since = int(record.get("log_offset") or 0) if record else item["since"]
    found = scan_log(item["path"], since, item["pattern"], item["container"])
    test = {"name": f"errors in {item['path']}"[:300], "verdict": "passed", "passed": 1, "failed": 0, "skipped": 0, "log": item["path"]}
    if found is None:
        return {**test, "verdict": "skipped", "passed": 0, "skipped": 1}, f"{item['path']} does not exist: its errors were not searched"
    if found > item["allowed"]:
        return {**test, "verdict": "failed", "passed": 0, "failed": found}, f"{found} lines speak of errors, {item['allowed']} are allowed"
    return test, ""


def _expectation(item: dict[str, Any]) -> Expectation:
    check_url(item["url"])
    known = {name: item[name] for name in ("url", "method", "contains", "header", "ca", "timeout", "min_tls")}
    return Expectation(status=tuple(item["status"]), **known)


def _probe_test(expected: Expectation, answer: Answer) -> dict[str, Any]:
    ok = not answer.why
    name = f"{expected.method} {answer.url}"[:300]
    return {"name": name, "verdict": "passed" if ok else "failed", "passed": int(ok), "failed": int(not ok), "skipped": 0}
