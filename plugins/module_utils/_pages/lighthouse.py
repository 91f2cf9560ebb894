# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine of ``lighthouse``: run it on every page in the same browser, keep the scores, compare them with the old site's."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._app.probe import check_url, shown_url
from ansible_collections.dihya.migration.plugins.module_utils._command import run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, read_json
from ansible_collections.dihya.migration.plugins.module_utils._pages import record, scores, tools
from ansible_collections.dihya.migration.plugins.module_utils._pages.browser import LISTEN, browsing

NAME = "scores of Lighthouse"
SUBJECTS = {name: name for name in ("chromium", "node", "package", "ca", "url", "pages", "runs", "drop", "minimum")}


def _check_url(url: str) -> None:
    if check_url(url).username is not None:  # it would stand in an argument list, which other users see
        raise MigrationError("an address with a user name would be seen by other users: give it without")


def _check_pages(pages: list[str]) -> None:
    if not pages or any(not page.startswith("/") for page in pages):
        raise MigrationError("a page is missing or does not begin with /: name pages by their path below url")


def _check_runs(runs: int) -> None:
    if runs < 1:
        raise MigrationError("there is no run to measure: give 1 or more")


CHECKS: dict[str, Callable[[Any], Any]] = {
    "url": _check_url, "pages": _check_pages, "runs": _check_runs, "drop": lambda given: scores.points(given, "drop"),
    "minimum": lambda given: scores.points(given, "minimum"),
}


def measure(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Measure, record, compare; in check mode only look whether that could be done. Raises with all refusals when there is one."""
    began = time.monotonic()
    findings = look(options)
    if check_mode:
        return tools.looked(findings)
    tools.refuse(findings)
    limits = (scores.points(options["drop"], "drop"), scores.points(options["minimum"], "minimum"))
    before = read_baseline(options["baseline"], options["pages"]) if options["baseline"] else None
    return _result(_measure_all(options), before, limits, options, round(time.monotonic() - began, 3))


def look(options: dict[str, Any]) -> list[tools.Finding]:
    """What is missing on this host, and what is wrong with the options."""
    subjects = {**SUBJECTS, **options["subjects"]}
    found = tools.missing_browser(options, subjects)
    for name, check in CHECKS.items():
        try:
            check(options[name])
        except MigrationError as error:
            found.append(tools.finding(subjects[name], *tools.parts(error)))
    package = os.path.join(options["package"], "package.json")
    missing = tools.missing_file(subjects["package"], package, tools.PACKAGES)
    missing += tools.missing_file(subjects["package"], _program(options), tools.PACKAGES)
    return found + (missing or tools.missing_node(subjects["node"], options["node"], package))


def read_baseline(path: str, pages: list[str]) -> dict[str, Any]:
    """The record of an earlier measurement; raises :class:`MigrationError` when it is missing, or one of other pages."""
    return record.read(path, lambda found: [page for page in pages if page not in found["scores"]], "measure")


def _measure_all(options: dict[str, Any]) -> dict[str, Any]:
    private_directory(os.path.dirname(options["dest"]))
    found = {}
    version = str(read_json(os.path.join(options["package"], "package.json")).get("version"))
    for page in options["pages"]:
        found[page] = scores.middle([_run_once(page, options) for _number in range(options["runs"])])
    return {"site": shown_url(options["url"]), "lighthouse": version, "runs": options["runs"], "form_factor": options["form_factor"],
            "scores": found}


def _run_once(page: str, options: dict[str, Any]) -> scores.Scores:
    """One run on one page, in a browser of ours: the one that Lighthouse would start outlives a run that is killed."""
    log = options["dest"] + ".log"
    with tempfile.TemporaryDirectory(prefix="dihya-lighthouse-") as home, \
            browsing(options["chromium"], options["ca"], options["dest"] + ".browser.log", LISTEN) as browser:
        browser.version()
        output = os.path.join(home, "lighthouse.json")
        argv = [
            options["node"], _program(options), options["url"].rstrip("/") + page, "--output=json", f"--output-path={output}",
            "--only-categories=" + ",".join(options["categories"]), f"--port={browser.port()}", "--no-enable-error-reporting", "--quiet",
            *(["--preset=desktop"] if options["form_factor"] == "desktop" else []),
        ]
        variables = {"HOME": home, "TMPDIR": home, "XDG_CONFIG_HOME": home, "CI": "1"}
        try:
            done = run(argv, env=variables, cwd=home, timeout=options["timeout"], log=log, check=False)
        except MigrationError as error:
            raise MigrationError(f"Lighthouse on {page}: {error.message}: raise timeout, or look at the load of this host") from None
        if done.status != 0 or not os.path.isfile(output):
            raise MigrationError(f"Lighthouse could not measure {page} (exit status {done.status}): read {log} on this host")
        return scores.read_scores(read_json(output), options["categories"])


def _result(
    now: dict[str, Any], before: dict[str, Any] | None, limits: tuple[scores.Scores, scores.Scores], options: dict[str, Any],
    duration: float,
) -> dict[str, Any]:
    """Keep the record, then say which scores dropped; raises when that is refused."""
    for name in ("lighthouse", "form_factor"):
        if before is not None and before.get(name) != now[name]:
            raise MigrationError(f"the old site was measured otherwise ({name} {before.get(name)}, now {now[name]}): measure both alike")
    rows = scores.rows(before["scores"] if before else None, now["scores"])
    refused = scores.refusals(rows, *limits)
    proof = record.keep("lighthouse", options["dest"], now, rows, refused)
    lowest = ", ".join(f"{name} {min(row['after'] for row in rows if row['what'] == name):g}" for name in options["categories"])
    journal: dict[str, Any] = {
        "summary": f"Lighthouse on {len(now['scores'])} pages, lowest scores: {lowest}", "duration": duration, "changed": False,
        "proofs": [proof],
        "versions": {"lighthouse": now["lighthouse"]}, "quality": {"scores": rows},
    }
    if before is not None or limits[1]:
        journal["tests"] = [record.test(NAME, len(rows) - len(refused), refused, options["dest"])]
    return record.end({"scores": rows, "journal": journal}, NAME, refused, options["dest"])


def _program(options: dict[str, Any]) -> str:
    return os.path.join(options["package"], "cli", "index.js")
