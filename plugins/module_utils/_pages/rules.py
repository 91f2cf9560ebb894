# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a page, judged from what a visit saw. Pure.

Accessibility: the rules of axe-core, which names the criteria of RGAA 4.1 and WCAG itself, in the tags of each rule
(``RGAA-1.1.1``, ``wcag111``; source: the rules' metadata of the axe-core that is given, Deque Systems). Two rules are our own,
because axe-core does not know in which language a page was asked for; their criteria are in ``OWN_TAGS``, from the RGAA 4.1.2
(direction interministérielle du numérique). RGAA 4.1 has 106 criteria.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ansible_collections.dihya.migration.plugins.module_utils._pages.visit import Seen

CRITERIA = 106
OWN_TAGS = {
    "language-asked": ("RGAA-8.4.1", "wcag311"),
    "direction": ("RGAA-8.10.1", "wcag132"),
}
SEO_RULES = ("seo-title", "seo-description", "seo-canonical", "seo-robots", "seo-hreflang", "seo-robots-txt", "seo-sitemap")
IMPACTS = {
    "language-asked": "serious", "direction": "serious", "failed-requests": "serious", "seo-title": "serious", "seo-robots": "critical",
    "seo-robots-txt": "minor",
}
"""Of our own rules; those not named here are ``moderate``."""
RIGHT_TO_LEFT = frozenset(("ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"))
SAME_LANGUAGE = {"tzm": {"tzm", "zgh", "ber"}, "zgh": {"tzm", "zgh", "ber"}}
"""Codes under which sites write Central Atlas and standard Moroccan Tamazight."""
CRITERION = re.compile(r"RGAA-(\d+\.\d+)\.\d+\Z")
SITEMAP_LOCATIONS = 50_000
"""What the protocol allows for one sitemap."""


@dataclass(frozen=True)
class Violation:
    """A rule that a page breaks; ``page`` is empty for the whole site. ``count`` is how often, ``nodes`` where (the first ones)."""

    rule: str
    impact: str
    page: str
    language: str
    count: int
    tags: tuple[str, ...] = ()
    help: str = ""
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """What a site says of itself beside its pages: texts, None when it does not answer with 200."""

    url: str
    robots_txt: str | None
    sitemap: str | None


def judge_page(seen: Seen, languages: list[str], seo: list[str]) -> list[Violation]:
    """Everything that is wrong with a page; ``seo`` are the rules of :data:`SEO_RULES` that are judged."""
    found = [
        Violation(one["rule"], one["impact"], seen.page, seen.language, one["count"],
                  tuple(tag for tag in one["tags"] if CRITERION.match(tag) or re.match(r"wcag\d{3,4}\Z", tag)), one["help"],
                  tuple(one["nodes"]))
        for one in seen.violations
    ]
    own = {**_language(seen), **({"failed-requests": seen.failed} if seen.failed else {})}
    own.update({rule: count for rule, count in _seo(seen, languages).items() if rule in seo})
    return found + [_own(rule, count, seen.page, seen.language) for rule, count in own.items() if count]


def judge_site(site: Site, urls: list[str], seo: list[str]) -> list[Violation]:
    """What is wrong with a site's robots.txt and sitemap; ``urls`` are the pages that a sitemap should list."""
    own = {
        "seo-robots": int(shuts_out(site.robots_txt or "")),
        "seo-robots-txt": int(site.robots_txt is None),
        "seo-sitemap": _unlisted(site.sitemap, urls),
    }
    return [_own(rule, count, "", "") for rule, count in own.items() if count and rule in seo]


def covered(tags: list[list[str]]) -> int:
    """How many criteria of the RGAA rules with these ``tags`` look at, each at least in part."""
    return len({match.group(1) for rule in tags for tag in rule for match in [CRITERION.match(tag)] if match})


def same_language(asked: str, declared: str) -> bool:
    """Whether a page that declares ``declared`` is one for ``asked`` (``fr`` is met by ``fr-CA``)."""
    wanted = primary(asked)
    return primary(declared) in SAME_LANGUAGE.get(wanted, {wanted})


def primary(language: str) -> str:
    """The language of a tag without script and region."""
    return re.split(r"[-_]", language.strip().lower())[0]


def shuts_out(robots_txt: str) -> bool:
    """Whether a robots.txt forbids the whole site to every robot."""
    agents: list[str] = []
    reading_agents = False
    for line in robots_txt.splitlines():
        name, _colon, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        if name.lower() == "user-agent":
            agents = [*agents, value] if reading_agents else [value]
            reading_agents = True
        elif name:
            reading_agents = False
            if name.lower() == "disallow" and value in ("/", "/*") and "*" in agents:
                return True
    return False


def locations(sitemap: str) -> set[str] | None:
    """The paths that a sitemap or an index of sitemaps lists, None when it is neither. A document type is refused: it could grow."""
    if "<!DOCTYPE" in sitemap[:1000] or "<!ENTITY" in sitemap:
        return None
    try:
        root = ElementTree.fromstring(sitemap)
    except ElementTree.ParseError:
        return None
    if root.tag.rpartition("}")[2] not in ("urlset", "sitemapindex"):
        return None
    texts = (one.text or "" for one in root.iter() if one.tag.rpartition("}")[2] == "loc")
    return {urllib.parse.urlsplit(text.strip()).path or "/" for text, _number in zip(texts, range(SITEMAP_LOCATIONS))}


def _own(rule: str, count: int, page: str, language: str) -> Violation:
    return Violation(rule, IMPACTS.get(rule, "moderate"), page, language, count, OWN_TAGS.get(rule, ()))


def _language(seen: Seen) -> dict[str, int]:
    if not seen.language:
        return {}
    wanted = "rtl" if primary(seen.language) in RIGHT_TO_LEFT else "ltr"
    return {
        "language-asked": int(not same_language(seen.language, seen.head["language"])),
        "direction": int(seen.head["direction"] != wanted),
    }


def _seo(seen: Seen, languages: list[str]) -> dict[str, int]:
    head = seen.head
    canonical = head["canonical"]
    absolute = len(canonical) == 1 and urllib.parse.urlsplit(canonical[0]).scheme in ("http", "https")
    hidden = any(word in directive for directive in (*head["robots"], seen.robots_header) for word in ("noindex", "none"))
    named = {language for language, _address in head["alternates"]}
    # Pages of several languages under one address have no alternates to name.
    missing = [one for one in languages if not any(same_language(one, name) for name in named)] if "{language}" in seen.page else []
    return {
        "seo-title": int(not head["title"]),
        "seo-description": int(len([text for text in head["description"] if text]) != 1),
        "seo-canonical": int(not absolute),
        "seo-robots": int(hidden),
        "seo-hreflang": len(missing),
    }


def _unlisted(sitemap: str | None, urls: list[str]) -> int:
    """How many of ``urls`` a sitemap lacks; one that cannot be read lacks all. An index of sitemaps is not followed."""
    listed = locations(sitemap) if sitemap is not None else None
    if listed is None:
        return max(1, len(urls))
    if "sitemapindex" in str(sitemap)[:2000]:
        return 0
    return sum(1 for url in urls if (urllib.parse.urlsplit(url).path or "/") not in listed)


def as_document(one: Violation) -> dict[str, Any]:
    """A violation in JSON types, as a record keeps it."""
    return {"rule": one.rule, "impact": one.impact, "page": one.page, "language": one.language, "count": one.count,
            "tags": list(one.tags), "help": one.help, "nodes": list(one.nodes)}
