# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server lets browsers keep of a single-page application, judged by its headers. Pure: headers and text in, verdicts out.

A record is what ``cache_headers`` keeps of one site: ``{"page": {url, header, right}, "assets": [{url, status, html, header, right}]}``.
"""

from __future__ import annotations

import html.parser
import re
import urllib.parse
from typing import Any

MOST_ASSETS = 20
PAGE_REMEDY = "let the server send Cache-Control: no-cache with it"
ASSETS_REMEDY = "let the server send Cache-Control: max-age=31536000, immutable with them"
_HASHED = re.compile(r"[.-]([A-Za-z0-9_-]{8,})(?:\.min)?\.[A-Za-z][A-Za-z0-9]{1,5}\Z")
_DIRECTIVE = re.compile(r'\s*([^\s=,"]+)\s*(?:=\s*"?([^",]*)"?)?\s*(?:,|\Z)')


def directives(header: str | None) -> dict[str, str]:
    """Directives of a ``Cache-Control`` header with their values, empty for those without."""
    return {name.lower(): (value or "").strip() for name, value in _DIRECTIVE.findall(header or "")}


def page_is_right(header: str | None) -> bool:
    """Whether nobody may show the page again without asking the server: or a release is not seen until the copy is too old."""
    said = directives(header)
    if "no-store" in said or "no-cache" in said:
        return True
    return said.get("max-age") == "0" and all(_seconds(said.get(name, "0")) == 0 for name in ("s-maxage", "stale-while-revalidate"))


def asset_is_right(header: str | None, seconds: int) -> bool:
    """Whether a browser may keep a file, whose name changes with its content, for ``seconds`` or for good."""
    said = directives(header)
    if "no-store" in said or "no-cache" in said:
        return False
    return "immutable" in said or _seconds(said.get("max-age", "0")) >= seconds


def assets_of(page: str, url: str) -> list[str]:
    """Addresses of the files with a digest in their names that the text of the page at ``url`` loads from its own server, at most 20."""
    links = _Links()
    links.feed(page)
    base = urllib.parse.urljoin(url, links.base)
    own = urllib.parse.urlsplit(url)[:2]
    found = (urllib.parse.urljoin(base, link).partition("#")[0] for link in links.found)
    wanted = dict.fromkeys(one for one in found if urllib.parse.urlsplit(one)[:2] == own and has_digest(urllib.parse.urlsplit(one).path))
    return list(wanted)[:MOST_ASSETS]


def has_digest(path: str) -> bool:
    """Whether a file is named as bundlers name what they make: a digest before the ending, which no ordinary word looks like."""
    found = _HASHED.search(path.rpartition("/")[2])
    word = found.group(1)[-8:] if found else ""
    return any(letter.isdigit() for letter in word) or (word != word.lower() and word != word.capitalize())


def judge(now: dict[str, Any], before: dict[str, Any] | None, required: bool) -> tuple[list[str], list[str]]:
    """``(refused, told)``, one sentence each: what the old site sent rightly must be right; other wrong headers are only told.

    A file that the page loads and the server does not have is refused whatever the old site did.
    """
    absent = {one["url"]: "with a page" if one["status"] == 200 else one["status"]
              for one in now["assets"] if one["status"] != 200 or one["html"]}
    refused = [f"{url}: it answered {what}, and the page loads it" for url, what in absent.items()]
    told: list[str] = []
    page, wrong = now["page"], [one for one in now["assets"] if one["url"] not in absent and not one["right"]]
    if not page["right"]:
        text = f"{page['url']}: browsers may show the page again without asking ({shown(page['header'])}): {PAGE_REMEDY}"
        (refused if required or (before and before["page"]["right"]) else told).append(text)
    if wrong:
        number = f"{len(wrong)} of {len(now['assets'])}"
        why = shown(wrong[0]["header"])
        text = f"{page['url']}: browsers keep {number} files with a digest in their names too briefly ({why}): {ASSETS_REMEDY}"
        old = before["assets"] if before else []
        (refused if required or (old and all(one["right"] for one in old)) else told).append(text)
    return refused, told


def shown(header: str | None) -> str:
    """A header in a sentence."""
    return f"Cache-Control: {header[:80]}" if header else "no Cache-Control"


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() else 0


class _Links(html.parser.HTMLParser):
    """Collects what a page loads, and its ``base``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Scripts, style sheets, what is loaded ahead, and pictures."""
        given = dict(attrs)
        link = given.get("href") if tag in ("link", "base") else given.get("src") if tag in ("script", "img") else None
        if link and tag == "base":
            self.base = self.base or link
        elif link:
            self.found.append(link)
