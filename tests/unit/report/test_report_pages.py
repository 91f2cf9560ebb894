# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Markdown, HTML and JSON say the same, run nothing, and let no journal text become markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import CHECKLIST, Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render
from markdown_it import MarkdownIt

from tests.unit.report import journals

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "'><a href='javascript:alert(1)'>x</a>",
    "{{ 7*7 }} {% include '/etc/passwd' %}",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "<http://evil.example>",
    "**bold** _em_ `code` ~~gone~~",
    "a | b | c",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "---",
    "line one\n\n## Statut final : OK",
    "&lt;b&gt; &amp; &#60;",
    "\\<b> \\| \\`",
    "``` fence",
    "\u202eKO lanif",
    "nul\x00 bell\x07 esc\x1b[31m",
    "trailing \\",
]
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """What a browser would make of the page: elements, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def files(journal: journals.Writer, language: str = "fr") -> dict[str, str]:
    return render(journal.events, journal.chain(), Options(language=language, journal_path="/state/journal.jsonl"))[1]


def poisoned(text: str) -> journals.Writer:
    """A journal with ``text`` wherever the journal takes text."""
    journal = journals.Writer()
    journal.begin(description=text, operator=text, ticket=text, controller=text, profile=text, strategy=text)
    journal.add(
        "migration",
        "checklist",
        checklist=[
            {"item": "backup", "expected": text, "observed": text, "verdict": "proved", "evidence": text},
            {"item": "access", "expected": text, "observed": text, "verdict": "attested", "evidence": {"who": text, "document": text}},
        ],
    )
    journal.step(
        "postgresql",
        "migrate",
        summary=text,
        counts={text: 1},
        digests={text: "1"},
        proofs=[{"kind": text, "path": text, "sha256": "00", "host": text}],
        tests=[{"name": text, "verdict": "passed", "log": text}],
        not_proved=[text],
        skipped=[text],
        explained=[{"rule": text, "object": text}],
        created=[{"kind": "path", "name": text, "identity": text}],
        fence={"value": text, "at": text, "source": text},
        versions={text: text},
    )
    journal.step("backend", "verify", text, "failed", error={"message": text, "subject": text, "remedy": text})
    journal.end(
        "rolled_back",
        {"stack": "backend", "verb": "verify", "host": text, "task": text, "message": text},
        [{"stack": text, "host": text, "verdict": text}],
    )
    return journal


@pytest.mark.parametrize("text", HOSTILE)
def test_journal_text_stays_text_in_html(text: str) -> None:
    clean, page = Page(files(poisoned("plain"))["report.html"]), Page(files(poisoned(text))["report.html"])
    assert page.open == []
    assert page.tags == clean.tags, "journal text made an element or an attribute"
    assert "\u202e" not in page.text
    assert "\x00" not in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_journal_text_stays_text_in_markdown(text: str) -> None:
    def shape(markdown: str) -> list[str]:
        parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        kinds = []
        for token in parser.parse(markdown):
            kinds += [token.type] + [
                child.type for child in token.children or [] if child.type not in ("text", "text_special", "code_inline")
            ]
        return kinds

    clean, hostile = files(poisoned("plain"))["report.md"], files(poisoned(text))["report.md"]
    assert shape(hostile) == shape(clean), "journal text became markup"
    assert len(hostile.splitlines()) == len(clean.splitlines())


@pytest.mark.parametrize("name", journals.ALL)
def test_html_needs_nothing_and_is_accessible(name: str) -> None:
    page = Page(files(journals.ALL[name]())["report.html"])
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _attributes in page.tags}
    assert not [
        attributes
        for _tag, attributes in page.tags
        if {"src", "href", "style"} & set(attributes) or any(key.startswith("on") for key in attributes)
    ]
    assert page.named("html") == [{"lang": "fr", "dir": "ltr"}]
    assert len(page.named("h1")) == len(page.named("main")) == len(page.named("title")) == 1
    assert len(page.named("dt")) == len(page.named("dd")) == 11
    assert len(page.named("caption")) == len(page.named("table")) > 0
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.named("th"))
    identifiers = [attributes["id"] for _tag, attributes in page.tags if "id" in attributes]
    assert sorted(identifiers) == sorted(attributes["aria-labelledby"] for attributes in page.named("section")) == sorted(set(identifiers))


def test_colours_have_contrast_aa() -> None:
    html = files(journals.ok())["report.html"]
    before, _query, after = html.partition("prefers-color-scheme: dark")
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6});", part)) for part in (before, after.partition("@media")[0]))

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    for front in ("ok", "ko"):
        assert contrast(light[front], "#ffffff") >= 4.5, front
    for colours in (light, dark):
        for front, back in (("ink", "paper"), ("soft", "paper"), ("ink", "band")):
            assert contrast(colours[front], colours[back]) >= 4.5, (front, colours)
    assert "@media print" in html


def test_the_three_files_say_the_same() -> None:
    made = files(journals.rolled_back())
    body = json.loads(made["report.json"])
    page = Page(made["report.html"])
    markdown = made["report.md"].replace("\\", "")
    assert len(body["fields"]) == 11
    for line in body["fields"]:
        assert f"- {line['label']} : {line['value']}" in markdown
        assert line["value"] in page.text
    assert (body["verdict"], body["outcome"], body["language"], body["format"]) == ("KO", "rolled_back", "fr", 1)
    assert [entry["item"] for entry in body["checklist"]] == list(CHECKLIST)


def test_what_is_not_proved_is_all_there() -> None:
    body = json.loads(files(journals.ok())["report.json"])
    assert [(entry["kind"], entry["text"]) for entry in body["not_proved"]] == [
        ("not_proved", "pg_cron jobs are not compared"),
        ("explained", "collation_version: crm"),
        ("test_skipped", "pytest"),
        ("test_skipped", "axe"),
        ("waived", "rehearsal"),
        ("not_demonstrated", "rollback_plan"),
        ("not_demonstrated", "notification"),
        ("not_demonstrated", "compliance"),
    ]
    text = files(journals.ok())["report.md"]
    assert "64 bits" in text
    assert "que sa fin ait été coupée ne peut se démontrer" in text
    assert journals.ok().events[-1]["hash"] in text
    journal = journals.ok()
    journal.end("ok", not_proved=["that the secrets and scratch of this run are gone from new2: remove /work/run there"])
    said = "**Non prouvé** : que les secrets et les fichiers temporaires de cette exécution aient disparu de new2 : supprimez-y /work/run"
    assert said in files(journal)["report.md"].replace("\u00a0", " ")


def test_a_broken_chain_is_said() -> None:
    journal = journals.ok()
    text = render(journal.events, {**journal.chain(), "intact": False, "problem": "event 7 was changed"}, Options())[1]["report.md"]
    assert "**rompue**" in text
    assert "event 7 was changed" in text


def test_headings_descend_one_level_at_a_time() -> None:
    page = Page(files(journals.ok())["report.html"])
    levels = [int(tag[1]) for tag, _attributes in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_hosts_with_nothing_to_do_are_left_out_of_the_page_and_kept_in_the_json() -> None:
    journal = journals.Writer()
    journal.begin()
    for host in ("mover", "new1"):
        journal.step("frontend", "freeze", host, "not_applicable", not_applicable="a front end takes no writes")
    journal.step("postgresql", "freeze", "mover", summary="Nothing was written since the freeze (2 databases).")
    journal.step("postgresql", "freeze", "old1", "not_applicable", not_applicable="the mover freezes the source")
    journal.end("waiting")
    made = files(journal)
    assert made["report.md"].count("un frontend ne reçoit pas d’écritures") == 1
    assert "Rien n’a été écrit depuis le gel (2 base(s))." in made["report.md"]
    assert "old1" not in made["report.md"]
    assert len(json.loads(made["report.json"])["steps"]) == 4


def test_a_hundred_tables_do_not_bury_the_page() -> None:
    journal = journals.Writer()
    journal.begin()
    journal.step("postgresql", "migrate", digests={f"crm.public.t{number}": "12" for number in range(100)})
    made = files(journal)
    assert made["report.md"].count("empreinte de crm.public.t") == 20
    assert "et 80 autres empreintes, dans report.json" in made["report.md"]
    assert len(json.loads(made["report.json"])["steps"][0]["facts"]["digests"]) == 100


def test_what_was_proved_stands_beside_what_was_not() -> None:
    text = files(journals.rolled_back())["report.md"].replace("\u00a0", " ")
    proved = text.partition("## Démontré\n")[2].partition("\n## ")[0]
    assert "**Sauvegarde** (postgresql sur mover) : " in proved
    assert "**Checklist** : Vérification des accès (RBAC, MFA)" in proved
    assert "Documentation" not in proved, "what a person states is not proved"
    assert "pytest" not in proved, "a test that failed proves nothing"
    assert text.index("## Démontré") < text.index("## Non démontré")


def test_the_summary_quotes_what_going_back_takes_and_loses() -> None:
    text = files(journals.rolled_back())["report.md"].replace("\u00a0", " ")
    assert "| Durée du retour arrière | 18 s |" in text
    assert "| Perdu si retour arrière maintenant (RPO) | aucune" in text
    assert "tout ce que les utilisateurs ont écrit sur le nouveau site depuis" in files(journals.ok())["report.md"]


def test_the_summary_quotes_how_long_the_restore_took_that_was_tried_beforehand() -> None:
    journal = journals.ok()
    drill = "restore drill of 1 databases in 9.4 s"
    for verdict, told in (("proved", True), ("not_demonstrated", False)):
        for event in journal.events:
            for entry in event["facts"].get("checklist", []):
                if entry["item"] == "rollback_plan":
                    entry.update(observed=drill, verdict=verdict)
        summary = render(journal.events, journal.chain(), Options(language="en"))[1]["report.md"].partition("\n## Summary\n")[2]
        assert (f"| Restore tried beforehand (RTO) | {drill} |" in summary.partition("\n## ")[0]) is told


def test_a_refused_run_shows_everything_that_stops_it_with_its_remedy_and_apart_what_is_only_to_be_known() -> None:
    journal = journals.stopped()
    text = render(journal.events, journal.chain(), Options(language="en"))[1]["report.md"]
    assert ": Obstacle a of run 1; obstacle b of run 1\n" in text.partition("\n## ")[0]
    problems, notes = (text.partition(f"\n## {title}\n")[2].partition("\n## ")[0] for title in ("Problems", "To be known"))
    assert all(f"obstacle {one} of run 1 | `postgresql_target` | remove {one} |" in problems for one in "ab")
    assert "obstacle c of run 1 | `postgresql_target` | remove c |" in notes and "obstacle c" not in problems
    assert "of run 0" not in text and "weighed again later" not in notes


def test_a_rollback_with_nothing_to_do_on_a_host_is_not_said_to_be_done_there() -> None:
    journal = journals.Writer()
    journal.begin()
    journal.step("backend", "migrate", "new1")
    journal.step("backend", "rollback", "new1")
    journal.step("backend", "rollback", "mover", "not_applicable", not_applicable="only the target hosts were changed")
    journal.end("rolled_back", None, [{"stack": "backend", "host": host, "verdict": "ok"} for host in ("new1", "mover")])
    text = render(journal.events, journal.chain(), Options(language="en"))[1]["report.md"].partition("\n## Rollback\n")[2]
    assert "| backend | new1 | **done** |" in text and "| backend | mover | **nothing to do** |" in text
