# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine of ``page_audit``: visit every page in every language, keep a record, compare it with the old site's."""

from __future__ import annotations

import os
import time
import urllib.parse
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app.probe import Expectation, check_url, probe, shown_url
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._pages import record, tools
from ansible_collections.dihya.migration.plugins.module_utils._pages.browser import browsing
from ansible_collections.dihya.migration.plugins.module_utils._pages.compare import Budgets, Record, compare, place, refusals
from ansible_collections.dihya.migration.plugins.module_utils._pages.rules import (
    CRITERIA,
    CRITERION,
    Site,
    as_document,
    covered,
    judge_page,
    judge_site,
)
from ansible_collections.dihya.migration.plugins.module_utils._pages.visit import Seen, visit

NAME = "quality of the pages"
SHOWN = 40
"""Violations that results and journal list; the record has all of them."""
BY_HAND = "accessibility: axe-core looks at {covered} of the {total} criteria of the RGAA, a person must look at all of them"
SUBJECTS = {name: name for name in ("url", "pages", "chromium", "axe", "ca", "baseline")}


def audit(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Visit, record, compare; in check mode only look whether that could be done. Raises with all refusals when there is one."""
    began = time.monotonic()
    subjects = {**SUBJECTS, **options["subjects"]}
    findings = tools.missing_browser(options, subjects) + tools.missing_file(subjects["axe"], options["axe"], tools.PACKAGES)
    try:
        visits = plan_visits(options["url"], options["pages"], options["languages"])
    except MigrationError as error:
        tools.refuse([*findings, tools.finding(subjects["pages"], *tools.parts(error))] if not check_mode else [])
        visits, findings = [], [*findings, tools.finding(subjects["pages"], *tools.parts(error))]
    if check_mode:
        asks = options["ask"] and subjects["ca"] not in [one["subject"] for one in findings]
        return tools.looked(findings + (_unanswered(visits, options, subjects) if asks else []))
    tools.refuse(findings)
    before = read_baseline(options["baseline"], visits) if options["baseline"] else None
    return _result(_measure(visits, options), before, options, round(time.monotonic() - began, 3))


def plan_visits(url: str, pages: list[str], languages: list[str]) -> list[Seen]:
    """Every page once in every language, or once without one; ``{language}`` in a page becomes the language. Pure."""
    check_url(url)
    if not pages:
        raise MigrationError("there is no page to look at: name at least one in pages")
    visits = []
    for page in pages:
        if not page.startswith("/"):
            raise MigrationError(f"the page {page} does not begin with /: name pages by their path below url")
        if "{language}" in page and not languages:
            raise MigrationError(f"the page {page} needs a language: name them in languages")
        visits += [Seen(page, language, url.rstrip("/") + page.replace("{language}", language)) for language in languages or [""]]
    return visits


def read_baseline(path: str, visits: list[Seen]) -> Record:
    """The record of an earlier audit; raises :class:`MigrationError` when it is missing, or one of other pages."""
    def lacking(found: Record) -> list[str]:
        known = {(one["page"], one["language"]) for one in found["pages"]}
        return [place({"page": one.page, "language": one.language}) for one in visits if (one.page, one.language) not in known]

    return record.read(path, lacking, "audit")


def _unanswered(visits: list[Seen], options: dict[str, Any], subjects: dict[str, str]) -> list[tools.Finding]:
    """Findings for the addresses that do not answer 200, each once."""
    found = []
    for url in dict.fromkeys(one.url for one in visits):
        answer = probe(Expectation(url, ca=options["ca"], min_tls="1.2"))
        if answer.why:
            found.append(tools.finding(subjects["url"], f"{answer.url}: {answer.why}", answer.remedy))
    return found


def _measure(visits: list[Seen], options: dict[str, Any]) -> Record:
    """Open every page and judge it by itself: what is kept of a site."""
    try:
        with open(options["axe"], encoding="utf-8") as stream:
            axe = stream.read()
    except (OSError, ValueError):
        raise MigrationError(f"{options['axe']} cannot be read: {tools.PACKAGES}") from None
    private_directory(os.path.dirname(options["dest"]))
    with browsing(options["chromium"], options["ca"], options["dest"] + ".log") as browser:
        product = browser.version()["product"]
        for one in visits:
            visit(browser, one, axe, options["tags"], options["timeout"])
    violations = judge_site(_site(options), [one.url for one in visits], options["seo"])
    for one in visits:
        violations += judge_page(one, options["languages"], options["seo"])
    return {
        "site": shown_url(options["url"]), "browser": product, "axe": visits[0].axe, "criteria": covered(visits[0].rules),
        "tags": options["tags"],
        "pages": [{"page": one.page, "language": one.language, "bytes": one.bytes, "requests": one.requests} for one in visits],
        "violations": [as_document(one) for one in violations],
    }


def _site(options: dict[str, Any]) -> Site:
    """robots.txt, and the sitemap that it names, else ``/sitemap.xml``; asked for without the browser, over verified TLS."""
    def get(path: str) -> str | None:
        answer = probe(Expectation(urllib.parse.urljoin(options["url"], path), ca=options["ca"], min_tls="1.2"))
        return None if answer.why else answer.body.decode("utf-8", "replace")

    robots = get("/robots.txt")
    named = [line.partition(":")[2].strip() for line in (robots or "").splitlines() if line.lower().startswith("sitemap:")]
    return Site(options["url"], robots, get(urllib.parse.urlsplit(named[0]).path or "/sitemap.xml" if named else "/sitemap.xml"))


def _result(now: Record, before: Record | None, options: dict[str, Any], duration: float) -> dict[str, Any]:
    """Keep the record, then say what became worse; raises when that is refused."""
    if before is not None and before.get("axe") != now["axe"]:
        used = f"the old site was audited with axe-core {before.get('axe')}, the new one with {now['axe']}"
        raise MigrationError(f"{used}: audit both with the same")
    rows, budgets = compare(before, now), Budgets(**options["budgets"])
    refused = refusals(rows, options["impacts"], before, now, budgets)
    proof = record.keep("page_audit", options["dest"], now, rows, refused)
    counts = {verdict: sum(1 for row in rows if row["verdict"] == verdict) for verdict in ("new", "known", "gone", "found")}
    journal: dict[str, Any] = {
        "summary": _summary(now, rows, counts, before is not None), "duration": duration, "changed": False,
        "proofs": [proof],
        "versions": {"axe-core": now["axe"], "chromium": now["browser"]},
        "quality": {"pages": sorted({one["page"] for one in now["pages"]}), "languages": options["languages"],
                    "violations": [_shown(row) for row in rows[:SHOWN]], "more": max(0, len(rows) - SHOWN),
                    "scores": _weights(now, before)},
        "not_proved": [BY_HAND.format(covered=now["criteria"], total=CRITERIA)],
    }
    result = {"violations": journal["quality"]["violations"], "counts": counts, "pages": now["pages"],
              "criteria": {"covered": now["criteria"], "total": CRITERIA}, "journal": journal}
    if before is not None or budgets != Budgets():
        worse = len({(row["page"], row["language"]) for row in rows if row["verdict"] == "new" and row["page"]})
        journal["tests"] = [record.test(NAME, len(now["pages"]) - worse, refused, options["dest"])]
    more = [f"and {len(refused) - 5} more"] if len(refused) > 5 else []
    return record.end(result, NAME, refused[:5] + more, options["dest"])


def _summary(record: Record, rows: list[dict[str, Any]], counts: dict[str, int], compared: bool) -> str:
    visits = len(record["pages"])
    total = sum(row["after"] for row in rows)
    if not compared:
        return f"{visits} visits of pages: {total} violations"
    broken = f"{counts['new']} rules are broken anew, {counts['known']} as before, {counts['gone']} no longer"
    return f"{visits} visits of pages: {total} violations, {broken}"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    criteria = sorted({match.group(1) for tag in row["tags"] for match in [CRITERION.match(tag)] if match})
    wcag = [".".join((tag[4], tag[5], tag[6:])) for tag in row["tags"] if tag.startswith("wcag")]
    named = [f"RGAA {', '.join(criteria)}"] if criteria else []
    named += [f"WCAG {', '.join(wcag)}"] if wcag else []
    kept = {name: row[name] for name in ("rule", "impact", "page", "language", "before", "after", "verdict")}
    return {**kept, "criteria": "; ".join(named)[:300]}


def _weights(record: Record, before: Record | None) -> list[dict[str, Any]]:
    """What each page weighs, before (None when not known) and now."""
    old = {(one["page"], one["language"]): one for one in (before or {"pages": []})["pages"]}
    return [{"page": one["page"], "language": one["language"], "what": what, "after": one[what],
             "before": old[one["page"], one["language"]][what] if (one["page"], one["language"]) in old else None}
            for one in record["pages"] for what in ("bytes", "requests")]
