# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every message is in every catalog, finished, and nothing untranslated reaches the page."""

from __future__ import annotations

import json
import pathlib
import re
import zipfile

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._mobile import judge
from ansible_collections.dihya.migration.plugins.module_utils._mobile.info import config_problems
from ansible_collections.dihya.migration.plugins.module_utils._mobile.repository import read_repository
from ansible_collections.dihya.migration.plugins.module_utils._mobile.translations import compare
from ansible_collections.dihya.migration.plugins.module_utils._pages.caching import judge as judge_caching
from ansible_collections.dihya.migration.plugins.plugin_utils.i18n import catalog as i18n
from ansible_collections.dihya.migration.plugins.plugin_utils.report.document import Foreign
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.phrases import Phrases
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from tests.unit.postgres_dump.test_preflight_findings import CASES, found_after
from tests.unit.report import journals
from tests.unit.report.test_report_pages import Page

PLUGINS = pathlib.Path(i18n.__file__).parents[2]
SOURCES = [PLUGINS / "plugin_utils", PLUGINS / "module_utils" / "_checklist"]
KEYWORDS = {"words": None, "self": None, "N_": None, "NP_": (1, 2), "plural": (1, 2)}


def used() -> set:
    found = set()
    for path in [path for directory in SOURCES for path in directory.rglob("*.py")]:
        with path.open("rb") as stream:
            found |= {message for _line, message, _comments, _context in extract("python", stream, keywords=KEYWORDS)}
    return found


def entries(language: str):
    with (pathlib.Path(i18n.DIRECTORY) / f"{language}.po").open("rb") as stream:
        return [message for message in read_po(stream, locale=language, abort_invalid=True) if message.id]


def test_french_and_english_are_there() -> None:
    assert {"en", "fr"} <= set(i18n.languages())


@pytest.mark.parametrize("language", i18n.languages())
def test_no_entry_is_missing_fuzzy_or_unused(language: str) -> None:
    messages = entries(language)
    assert {message.id for message in messages} == used()
    for message in messages:
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(forms), f"{message.id} is not translated"
        assert not message.fuzzy, f"{message.id} is fuzzy"
        names = set(re.findall(r"\{(\w*)\}", str(message.id)))
        assert all(set(re.findall(r"\{(\w*)\}", form)) == names for form in forms), f"{message.id} lost a placeholder"


def test_french_typography() -> None:
    """No break before double punctuation, and the apostrophe of print; the template's own colon is not a message."""
    for message in entries("fr"):
        for form in message.string if isinstance(message.string, tuple) else (message.string,):
            assert not re.search(r" [:;?!»%]|« |'", form), form


@pytest.mark.parametrize("name", journals.ALL)
def test_no_untranslated_string_reaches_the_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a catalog that marks every translation, all that is left unmarked must come from the journal."""
    asked: list[str] = []
    original = i18n.Words.__call__

    def recording(self: i18n.Words, message: str, **values: object) -> str:
        asked.append(message)
        return "⟦" + original(self, message, **values) + "⟧"

    monkeypatch.setattr(i18n.Words, "__call__", recording)
    journal = journals.ALL[name]()
    markdown = render(journal.events, journal.chain(), Options(journal_path="/state/journal.jsonl"))[1]["report.md"]
    words = i18n.Words("fr")
    assert {message for message in asked if not words.known(message)} == set()
    headings = re.findall(r"^(?:## |- )(.*)$", markdown, re.MULTILINE)
    assert [heading for heading in headings if "⟦" not in heading] == []
    heads = [line for line, after in zip(markdown.splitlines(), markdown.splitlines()[1:]) if after.startswith("| ---")]
    assert [cell for line in heads for cell in line.strip("| ").split(" | ") if "⟦" not in cell and cell != "SHA-256"] == []


def test_english_words_are_marked_as_english_in_a_french_page() -> None:
    journal = journals.rolled_back()
    html = render(journal.events, journal.chain(), Options())[1]["report.html"]
    assert '<span lang="en" dir="ltr">pytest failed: 1 of 43 tests</span>' in html
    assert 'lang="en"' not in Page(html).text


def test_numbers_are_grouped_as_in_the_language() -> None:
    assert i18n.Words("fr").number(1234567) == "1\u202f234\u202f567"
    assert i18n.Words("en").number(1234567) == "1,234,567"
    assert i18n.Words("fr").size(52_428_800) == "50\u00a0Mio"
    assert i18n.Words("en").duration(3725) == "1 h 2 min"


def test_our_own_sentences_are_said_again_in_the_readers_language() -> None:
    sentences = i18n.Sentences(i18n.Words("fr"), ("{stack} on {host}", "None"))
    assert sentences.translate("backend on new1") == "backend sur new1"
    assert sentences.translate("None") == "Aucun"
    assert sentences.translate("None at all") is None


OURS = {
    "backend tests: exit status 1, 1 tests failed. To go on: read /log/t.log on this host, correct the release and run again": (
        "backend tests : code de sortie 1, 1 test(s) en échec. Lire /log/t.log sur cette machine, corriger la version et relancer"
    ),
    "https://new/: the expected text is not in its body. check which site answers at this address": (
        "https://new/ : le texte attendu n’est pas dans la réponse. Vérifier quel site répond à cette adresse"
    ),
    "second copy of db: on the same file system as the first; second copy of web: on the same file system as the first": (
        "seconde copie de db : sur le même système de fichiers que la première ; "
        "seconde copie de web : sur le même système de fichiers que la première"
    ),
    "2 differences between source and target: database crm: table app.client differs in rows; role r is missing on the target": (
        "2 différence(s) entre source et cible : base crm : table app.client diffère (rows) ; le rôle r manque sur la cible"
    ),
    "db.old:5432 was written to after the freeze: the transaction number went from 7 to 9; sequence app.s of database crm was used": (
        "on a écrit sur db.old:5432 après le gel : le numéro de transaction est passé de 7 à 9 ; la séquence app.s de la base crm a servi"
    ),
    "no connection to database crm on db.old:5432: the password of user u was refused": (
        "pas de connexion à la base crm sur db.old:5432 : le mot de passe de l’utilisateur u a été refusé"
    ),
    "pg_restore of crm failed with exit status 1 at TABLE DATA x; what it printed is in /l": (
        "pg_restore de crm a échoué avec le code de sortie 1, à TABLE DATA x ; ses messages sont dans /l"
    ),
    "commands run as uid=0(root) on mover; u logged in to old:5432 and holds the right to read 9 relations; v logged in to new:5432 and "
    "created a role in a transaction that was rolled back": (
        "les commandes s’exécutent en tant que uid=0(root) sur mover ; u s’est connecté à old:5432 et a le droit de lire 9 relations ; "
        "v s’est connecté à new:5432 et y a créé un rôle dans une transaction annulée"
    ),
    "2 things must be corrected: mobile_apk: it is a debug build; mobile_fdroid_path: the signature of e.jar does not verify": (
        "2 point(s) à corriger : mobile_apk : c’est une version de débogage ; mobile_fdroid_path : la signature de e.jar n’est pas valide"
    ),
    "traffic: nothing to back up (there is nothing to copy); jobs: nothing to back up (the hosts of both sides have the jobs)": (
        "traffic : rien à sauvegarder (il n’y a rien à copier) ; "
        "jobs : rien à sauvegarder (les machines des deux côtés portent les tâches automatiques)"
    ),
    "org.b 1.8.0 (8), 7 checks passed": "org.b 1.8.0 (8), 7 vérification(s) réussie(s)",
    "1 databases with 9 tables in 5767102 bytes of backup: dumped": (
        "1 base(s) et 9 table(s) sauvegardées en 5 767 102 octets : copiées à l’instant"
    ),
}


@pytest.mark.parametrize("sentence", OURS)
def test_what_our_modules_say_is_said_in_french(sentence: str) -> None:
    said = Phrases(i18n.Words("fr")).text(sentence)
    assert "".join(said).replace("\u00a0", " ").replace("\u202f", " ") == OURS[sentence]
    assert not [piece for piece in said if isinstance(piece, Foreign)]


def test_what_is_not_ours_stays_english_beside_what_is() -> None:
    said = Phrases(i18n.Words("fr")).text("nothing answers there; ERR 42: strange thing")
    assert said == ("rien ne répond à cet endroit", "\u00a0; ", "ERR 42: strange thing")
    assert [isinstance(piece, Foreign) for piece in said] == [False, False, True]


def test_a_translated_failure_keeps_its_original_words() -> None:
    journal = journals.Writer()
    journal.begin()
    journal.step("backend", "verify", "new1", "failed", error={"message": "pg_dump failed with exit status 1"})
    for language, times in (("fr", 1), ("en", 0)):
        text = render(journal.events, journal.chain(), Options(language=language))[1]["report.md"]
        assert text.replace("\u00a0", " ").count("texte d’origine : pg_dump failed" if language == "fr" else "original text") == times


def test_every_finding_of_a_database_and_its_remedy_is_said_in_french() -> None:
    """All that the cases of preflight bring about, the server's own words apart."""
    say = Phrases(i18n.Words("fr"))
    found = [one for change, _text, _blocking in CASES for one in found_after(change)]
    said = {text: say.text(text) for one in found for text in (one["finding"], one["remedy"])}
    assert len(said) > 60
    assert [text for text, pieces in said.items() if any(isinstance(piece, Foreign) for piece in pieces)] == ["SQLSTATE 42501"]


def test_what_is_wrong_with_cache_headers_is_said_in_french() -> None:
    say = Phrases(i18n.Words("fr"))
    asset = {"url": "https://new/a.js", "status": 200, "html": False, "header": "no-cache", "right": False}
    now = {"page": {"url": "https://new/", "header": None, "right": False},
           "assets": [asset, {**asset, "url": "https://new/b.js", "status": 404}, {**asset, "url": "https://new/c.js", "html": True}]}
    refused, told = judge_caching(now, None, False)
    said = [say.text(sentence) for sentence in refused + told]
    assert len(said) == 4 and not [piece for pieces in said for piece in pieces if isinstance(piece, Foreign)]
    assert "(pas de Cache-Control)" in said[2][0] and say.name("cache headers") == "en-têtes de cache"


def test_what_is_wrong_with_a_package_or_its_repository_is_said_in_french(tmp_path: pathlib.Path) -> None:
    say = Phrases(i18n.Words("fr"))
    package = {"application": "org.b", "certificates": ["a" * 64], "debuggable": True, "version_code": 7, "permissions": ["CAMERA"],
               "sha256": "1"}
    published = {"certificates": ["b" * 64], "version_code": 8, "permissions": []}
    listed = {"versionCode": 7, "apkName": "gone.apk", "hash": "2"}
    (tmp_path / "index-v2.json").write_text(json.dumps({"packages": {}}))
    for jar, name, content in (("index-v1.jar", "index-v1.json", {"packages": {"org.b": [listed]}}),
                               ("entry.jar", "entry.json", {"index": {"name": "/index-v2.json", "sha256": "3"}})):
        with zipfile.ZipFile(tmp_path / jar, "w") as archive:
            archive.writestr(name, json.dumps(content))
    repository = {**read_repository(str(tmp_path), "org.b", False), "certificate": "", "versions": []}
    assert len(repository["problems"]) == 3
    lacking = compare("app_fr.arb", {"a": "A", "b": "B", "c": "{n}"}, {"b": "", "c": "C", "d": "D"})
    other = {"version_code": 7, "sha256": "2", "certificates": []}
    found = [
        *judge.identity("s", {**package, "certificates": []}, "org.a"), *judge.certificate("s", package, published),
        *judge.version("s", 7, published), *judge.planned("s", 7, ("1.8.0+9", 9)), *judge.permissions("s", package, published, []),
        *judge.listed("s", package, repository, ""),
        *judge.listed("s", package, {**repository, "certificate": "c", "versions": [other]}, "d"),
        *judge.kept("s", repository, [other]), *config_problems("archive_older: 3\n", "/f"),
        *({"finding": text, "remedy": "complete the translation"} for text in lacking),
    ]
    said = {text: say.text(text) for one in found for text in (one["finding"], one["remedy"])}
    assert len(found) == 24 and [text for text, pieces in said.items() if any(isinstance(piece, Foreign) for piece in pieces)] == []
