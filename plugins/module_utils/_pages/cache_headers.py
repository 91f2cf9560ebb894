# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine of ``cache_headers``: ask for the page and what it loads, keep what the server sends, compare it with the old site."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app.probe import Answer, Expectation, check_url, probe
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._finding import finding
from ansible_collections.dihya.migration.plugins.module_utils._pages import caching, record

NAME = "cache headers"


def measure(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Ask, record, compare. Raises when a header became worse; in check mode it only tells, and an answer that is none is a finding."""
    began = time.monotonic()
    try:
        now = _ask(options)
    except MigrationError as error:
        if not check_mode:
            raise
        what, _separator, remedy = error.message.rpartition(". ")
        return {"changed": False, "msg": what, "findings": [finding(options["subject"], what, remedy)], "journal": {"summary": what}}
    before = record.read(options["baseline"], lambda found: [] if found["page"] else ["page"], "ask") if options["baseline"] else None
    refused, told = caching.judge(now, before, options["required"])
    journal: dict[str, Any] = {
        "summary": f"cache headers of the page and of {len(now['assets'])} files that it loads were read",
        "duration": round(time.monotonic() - began, 3), "changed": False, "not_proved": refused + told if check_mode else told}
    result = {"page": now["page"], "assets": now["assets"], "findings": [], "journal": journal}
    if check_mode:
        return {**result, "changed": False, "msg": journal["summary"]}
    private_directory(os.path.dirname(options["dest"]))
    journal["proofs"] = [record.keep("cache_headers", options["dest"], now, [], refused)]
    if options["judge"]:
        passed = now["page"]["right"] + sum(one["right"] for one in now["assets"])
        journal["tests"] = [record.test(NAME, passed, refused, options["dest"])]
    else:
        refused, journal["not_proved"] = [], []
    return record.end(result, NAME, refused, options["dest"])


def _ask(options: dict[str, Any]) -> dict[str, Any]:
    """The record of the site as it answers now; raises when the page does not."""
    check_url(options["url"])
    page = _get(options["url"], options)
    if page.why:
        raise MigrationError(f"{page.url}: {page.why}. {page.remedy}")
    header = page.headers.get("cache-control")
    found: dict[str, Any] = {"page": {"url": page.url, "header": header, "right": caching.page_is_right(header)}, "assets": []}
    for url in caching.assets_of(page.body.decode("utf-8", "replace"), options["url"]):
        answer = _get(url, options)
        header = answer.headers.get("cache-control")
        right = answer.status == 200 and caching.asset_is_right(header, options["seconds"])
        html = answer.headers.get("content-type", "").startswith("text/html")
        found["assets"].append({"url": answer.url, "status": answer.status, "html": html, "header": header, "right": right})
    return found


def _get(url: str, options: dict[str, Any]) -> Answer:
    return probe(Expectation(url, ca=options["ca"], timeout=options["timeout"], min_tls="1.2"))
