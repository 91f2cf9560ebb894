# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Markdown begins with the guide's template to the letter, and says the truth about every outcome."""

from __future__ import annotations

import zoneinfo

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render

from tests.unit.report import journals

PARIS = zoneinfo.ZoneInfo("Europe/Paris")
LABELS = {
    "fr": [
        "Date/Heure",
        "Stack concernée",
        "Description",
        "Étapes réalisées",
        "Tests passés",
        "Problèmes rencontrés",
        "Rollback effectué",
        "Statut final",
        "Responsable",
        "Preuves",
        "Commentaire",
    ],
    "en": [
        "Date/Time",
        "Stack concerned",
        "Description",
        "Steps done",
        "Tests passed",
        "Problems met",
        "Rollback done",
        "Final status",
        "Person in charge",
        "Proofs",
        "Comment",
    ],
}


def lines(name: str, language: str = "fr") -> dict[str, str]:
    journal = journals.ALL[name]()
    text = render(journal.events, journal.chain(), Options(language=language, timezone=PARIS, journal_path="/state/journal.jsonl"))[1][
        "report.md"
    ]
    colon = " : " if language == "fr" else ": "
    found = dict(line[2:].split(colon, 1) for line in text.splitlines()[:11])
    assert list(found) == LABELS[language]
    assert text.splitlines()[11] == ""
    return found


def test_the_template_is_the_guides_to_the_letter() -> None:
    assert lines("ok") == {
        "Date/Heure": "2026-11-28 22:00",
        "Stack concernée": "Frontend / Backend / DB",
        "Description": "Déménagement du CRM vers le cloud souverain, ticket OPS-412",
        "Étapes réalisées": "Vérifications préalables, sauvegarde, gel des écritures, migration, vérification, bascule",
        "Tests passés": "pytest OK (42 réussis, 1 non exécuté), npm test OK (1 réussi), axe non exécuté",
        "Problèmes rencontrés": "Aucun",
        "Rollback effectué": "Non",
        "Statut final": "OK",
        "Responsable": "@devops-lead",
        "Preuves": "/state/journal.jsonl, /backup/crm-2026/postgresql_2026-11-28_2101/manifest.json, "
        "/backup/crm-2026/backend_2026-11-28_2101/manifest.json, /backup/crm-2026/frontend_2026-11-28_2101/manifest.json",
        "Commentaire": "La migration est terminée. Les utilisateurs lisent et écrivent sur le nouveau site. "
        "Les écritures ont été arrêtées pendant 1 min 58 s. 8 points ne sont pas démontrés, voir plus bas.",
    }


def test_english_has_the_same_eleven_lines() -> None:
    found = lines("rolled_back", "en")
    assert (found["Rollback done"], found["Final status"]) == ("Yes", "KO")
    assert found["Problems met"].startswith("Verification of backend on new1 failed")


@pytest.mark.parametrize(
    ("name", "rollback", "status"),
    [
        ("ok", "Non", "OK"),
        ("rolled_back", "Oui", "KO"),
        (
            "rollback_incomplete",
            "Oui, en partie (reste à faire\u00a0: frontend sur new1, backend sur new2)",
            "KO (annulé en partie seulement)",
        ),
        ("failed_after_commit", "Non", "KO (après la bascule)"),
        ("interrupted", "Non", "KO (interruption)"),
        ("waiting", "Non", "KO (pas encore terminé\u00a0: en attente de bascule)"),
        ("refused", "Non", "KO (refus avant tout changement)"),
        ("stopped", "Non", "KO (refus avant tout changement)"),
        ("two_attempts", "Non", "OK"),
        ("backup_only", "Non", "OK"),
    ],
)
def test_only_a_finished_migration_is_ok(name: str, rollback: str, status: str) -> None:
    found = lines(name)
    assert (found["Rollback effectué"], found["Statut final"]) == (rollback, status)


@pytest.mark.parametrize("name", ["rolled_back", "rollback_incomplete", "failed_after_commit", "interrupted", "refused"])
def test_a_ko_names_its_cause(name: str) -> None:
    cause = {
        "rolled_back": "pytest failed: 1 of 43 tests",
        "rollback_incomplete": "the release of before is gone",
        "failed_after_commit": "the health check of the new site failed",
        "interrupted": "migration",
        "refused": "not empty",
    }[name]
    assert cause in lines(name)["Problèmes rencontrés"]


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("ok", "lisent et écrivent sur le nouveau site"),
        ("rolled_back", "lisent et écrivent sur l’ancien site"),
        ("interrupted", "leurs écritures sont refusées"),
        ("waiting", "leurs écritures sont refusées"),
        ("failed_after_commit", "lisent et écrivent sur le nouveau site"),
        ("refused", "lisent et écrivent sur l’ancien site"),
    ],
)
def test_the_comment_says_where_users_are(name: str, where: str) -> None:
    assert where in lines(name)["Commentaire"]


def test_a_failure_after_the_switch_over_says_what_is_not_rolled_back_and_why() -> None:
    journal = journals.failed_after_commit()
    text = render(journal.events, journal.chain(), Options())[1]["report.md"]
    assert "les données n’ont pas été restaurées, car revenir en arrière perdrait ce que les utilisateurs ont écrit" in text
    assert "migration_restore_data: true" in text.replace("\\_", "_")


def test_a_backup_alone_claims_no_migration() -> None:
    assert "aucune bascule" in lines("backup_only")["Commentaire"]


def test_the_last_attempt_is_reported_and_the_first_on_request() -> None:
    journal = journals.two_attempts()
    first = render(journal.events, journal.chain(), Options(attempt=1))[0]
    last = render(journal.events, journal.chain(), Options())[0]
    assert (first.attempt, first.outcome, last.attempt, last.outcome) == (1, "rolled_back", 2, "ok")
    assert [run["outcome"] for run in last.runs] == ["interrupted", "ok"]


def test_no_attempt_no_report() -> None:
    journal = journals.ok()
    with pytest.raises(MigrationError, match="no event yet"):
        render([], {}, Options())
    with pytest.raises(MigrationError, match="no attempt 7"):
        render(journal.events, {}, Options(attempt=7))
    with pytest.raises(MigrationError, match="choose one of en, fr"):
        render(journal.events, {}, Options(language="xx"))
