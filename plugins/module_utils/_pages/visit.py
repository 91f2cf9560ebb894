# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One page, opened as a visitor of one language opens it: what it says of itself, what it weighs, what axe-core finds in it."""

from __future__ import annotations

import json
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app.probe import shown_url
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._pages.browser import Browser

SETTLE = 5.0
"""Seconds after its load in which a page may become idle; one that never is (a web socket, polling) is read then."""
HEAD = """(() => {
  const all = (query, read) => [...document.querySelectorAll(query)].map(read);
  const root = document.documentElement;
  return {
    language: root.lang || "", direction: getComputedStyle(root).direction, title: document.title.trim(),
    description: all('meta[name="description" i]', one => (one.content || "").trim()),
    robots: all('meta[name="robots" i]', one => (one.content || "").toLowerCase()),
    canonical: all('link[rel~="canonical" i]', one => one.getAttribute("href") || ""),
    alternates: all('link[rel~="alternate" i][hreflang]', one => [one.hreflang.toLowerCase(), one.href]),
  };
})()"""
RUN_AXE = """axe.run(document, {runOnly: {type: "tag", values: %s}, resultTypes: ["violations"], reporter: "v2"}).then(found => ({
  version: found.testEngine.version,
  rules: [].concat(found.violations, found.passes, found.incomplete, found.inapplicable).map(rule => rule.tags),
  violations: found.violations.map(one => ({
    rule: one.id, impact: one.impact || "minor", help: one.help, tags: one.tags, count: one.nodes.length,
    nodes: one.nodes.slice(0, 20).map(node => node.target.join(" ").slice(0, 200)),
  })),
}))"""


@dataclass
class Seen:
    """What one visit found.

    head: what the page says of itself; violations: what axe-core found; rules: the tags of each rule that it ran;
    failed: how many of its requests were refused or answered 400 or more; bytes: what came over the network.
    """

    page: str
    language: str
    url: str
    status: int = 0
    robots_header: str = ""
    bytes: int = 0
    requests: int = 0
    failed: int = 0
    head: dict[str, Any] = field(default_factory=dict)
    violations: list[dict[str, Any]] = field(default_factory=list)
    axe: str = ""
    rules: list[list[str]] = field(default_factory=list)


def visit(browser: Browser, seen: Seen, axe: str, tags: list[str], timeout: float) -> Seen:
    """Open ``seen.url`` in a tab of its own and fill ``seen``; ``axe`` is the source text of axe-core.

    Raises :class:`MigrationError` when the page cannot be opened, is no success or cannot be read within ``timeout`` seconds.
    """
    session = browser.open_tab()
    browser.events.clear()
    for method in ("Page.enable", "Network.enable"):
        browser.call(method, session)
    browser.call("Page.setLifecycleEventsEnabled", session, enabled=True)
    # The strict policy of a site would keep us from reading its pages; what it does to its own scripts is not changed by that.
    browser.call("Page.setBypassCSP", session, enabled=True)
    if seen.language:
        agent = browser.version()["userAgent"]
        browser.call("Emulation.setUserAgentOverride", session, userAgent=agent, acceptLanguage=seen.language)
    _open(browser, session, seen, timeout)
    seen.head = evaluate(browser, session, HEAD, timeout)
    _weigh(browser, session, seen)
    evaluate(browser, session, axe + "\n;0", timeout)
    found = evaluate(browser, session, RUN_AXE % json.dumps(tags), timeout)
    seen.axe, seen.violations, seen.rules = found["version"], found["violations"], found["rules"]
    browser.call("Page.close", session)
    return seen


def evaluate(browser: Browser, session: str, expression: str, timeout: float) -> Any:
    """The value of ``expression`` in the page, promises awaited; raises :class:`MigrationError` when it throws."""
    answer = browser.call("Runtime.evaluate", session, timeout, expression=expression, awaitPromise=True, returnByValue=True)
    if "exceptionDetails" in answer:
        raise MigrationError("the page could not be read: axe-core is damaged or too old, or the page left while it was read; run again")
    return answer["result"].get("value")


def _open(browser: Browser, session: str, seen: Seen, timeout: float) -> None:
    """Navigate, wait for the load and then, for a while, until the page is idle; note the status of the document."""
    answer = browser.call("Page.navigate", session, timeout, url=seen.url)
    if answer.get("errorText"):
        raise MigrationError(f"{shown_url(seen.url)} could not be opened ({answer['errorText']}): {_remedy(answer['errorText'])}")
    loader, began = answer.get("loaderId"), time.monotonic()

    def reached(name: str) -> Any:
        return lambda event: (event.get("method") == "Page.lifecycleEvent"
                              and (event["params"]["name"], event["params"]["loaderId"]) == (name, loader))

    if not browser.wait(session, reached("load"), timeout):
        raise MigrationError(f"{shown_url(seen.url)} was not loaded within {timeout:g} s: raise timeout, or find what the page waits for")
    browser.wait(session, reached("networkIdle"), min(SETTLE, max(0.0, timeout - (time.monotonic() - began))))
    document = [event["params"]["response"] for event in browser.events if event.get("method") == "Network.responseReceived"
                and event.get("sessionId") == session and event["params"]["loaderId"] == loader and event["params"]["type"] == "Document"]
    if not document or document[0]["status"] != 200:
        status = document[0]["status"] if document else "nothing"
        raise MigrationError(f"{shown_url(seen.url)} answered {status}, expected 200: correct the page's path, or the site")
    seen.status = int(document[0]["status"])
    headers = {name.lower(): value for name, value in document[0]["headers"].items()}
    seen.robots_header = str(headers.get("x-robots-tag", "")).lower()


def _weigh(browser: Browser, session: str, seen: Seen) -> None:
    """Count requests, their failures and the bytes that came over the network, headers included.

    The icon is left out: the browser asks for it by itself and at no certain time.
    """
    named: dict[str, list[dict[str, Any]]] = {}
    for event in browser.events:
        if event.get("sessionId") == session:
            named.setdefault(event["method"], []).append(event["params"])
    sent = {one["requestId"] for one in named.get("Network.requestWillBeSent", [])
            if one["request"]["url"].startswith("http") and urllib.parse.urlsplit(one["request"]["url"]).path != "/favicon.ico"}
    ended, refused, answered = (
        [one for one in named.get(f"Network.{name}", []) if one["requestId"] in sent]
        for name in ("loadingFinished", "loadingFailed", "responseReceived")
    )
    seen.requests = len(sent)
    seen.bytes = int(sum(one["encodedDataLength"] for one in ended))
    seen.failed = (sum(1 for one in refused if not one.get("canceled"))
                   + sum(1 for one in answered if one["response"]["status"] >= 400))


def _remedy(error: str) -> str:
    if "CERT" in error:
        return "name the authority's PEM file in ca, or renew the certificate for this host name"
    if "NAME_NOT_RESOLVED" in error:
        return "correct the host name, or publish it in DNS"
    return "see that the site is started and can be reached from this host"
