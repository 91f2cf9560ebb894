# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Only facts of the schema enter the journal, and a refusal never repeats what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal import facts

EVERYTHING = {
    "summary": "Dumped 3 databases", "duration": 1.5, "changed": True, "not_applicable": "no database", "counts": {"rows": 3},
    "digests": {"public.t": "00ffAA", "sum": "-123"}, "plan_seconds": 4.0, "not_proved": ["x"], "skipped": ["y"],
    "proofs": [{"kind": "manifest", "path": "/b/manifest.json", "sha256": "ab", "host": "mover"}],
    "tests": [{"name": "pytest", "verdict": "passed", "passed": 3, "failed": 0, "skipped": 1, "log": "/l"}],
    "explained": [{"rule": "collation", "object": "public.t"}], "created": [{"kind": "database", "name": "crm", "identity": 16384}],
    "fence": {"value": "0/16B3748", "at": "2026-11-23T10:00:00Z", "source": "pg_current_wal_lsn"},
    "evidence": [{"item": "backup", "observed": "2 copies", "sha256": "ab", "until": "2026-12-01", "verdict": "proved",
                  "elsewhere": True}],
    "versions": {"postgresql": "18.1"}, "error": {"message": "m", "subject": "s", "remedy": "r"},
}


def test_every_fact_of_the_contract_is_journaled_as_given() -> None:
    assert facts.check_facts("postgresql", "backup", EVERYTHING) == EVERYTHING


CANARY = "canary-2d71"
REFUSED: dict[str, dict[str, Any]] = {
    "unknown key": {"stdout": CANARY},
    "unknown key below": {"error": {"message": "m", "stderr": CANARY}},
    "long text": {"summary": CANARY * 30},
    "long text in a list": {"not_proved": ["x" * 301]},
    "text as a number": {"duration": CANARY},
    "number as a text": {"summary": 3},
    "fraction as a count": {"counts": {"rows": 1.5}},
    "true as a count": {"counts": {"rows": True}},
    "infinite duration": {"duration": float("inf")},
    "text as a flag": {"changed": CANARY},
    "digest that is none": {"digests": {"t": CANARY + "g"}},
    "mapping as a list": {"proofs": {"kind": "x", "path": CANARY}},
    "list as a mapping": {"counts": [CANARY]},
    "proof without path": {"proofs": [{"kind": "manifest"}]},
    "unknown kind of created thing": {"created": [{"kind": CANARY, "name": "x"}]},
    "unknown verdict": {"tests": [{"name": "x", "verdict": CANARY}]},
    "name of a count is no text": {"counts": {3: 3}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(MigrationError) as caught:
        facts.check_facts("postgresql", "backup", REFUSED[name])
    assert CANARY not in caught.value.message
    assert caught.value.message.startswith("the journal refuses")


def test_what_templating_made_a_text_becomes_what_it_was() -> None:
    given = {"changed": "True", "counts": {"rows": "12"}, "duration": "1.5", "digests": {"t": 123}}
    expected = {"changed": True, "counts": {"rows": 12}, "duration": 1.5, "digests": {"t": "123"}}
    assert facts.check_facts("backend", "migrate", given) == expected


def test_none_counts_as_absent() -> None:
    given = {"summary": None, "error": {"message": "m", "remedy": None}}
    assert facts.check_facts("backend", "migrate", given) == {"error": {"message": "m"}}


@pytest.mark.parametrize("evidence", ["seen", {"path": "/e", "sha256": "ab", "until": "2026-12-01"}])
def test_checklist_items_have_a_verdict_and_evidence(evidence: Any) -> None:
    given = {"checklist": [{"item": "backup", "expected": "x", "observed": "y", "verdict": "proved", "evidence": evidence}]}
    assert facts.check_facts("migration", "checklist", given) == given
    with pytest.raises(MigrationError):
        facts.check_facts("migration", "checklist", {"checklist": [{"item": "backup", "verdict": "fine"}]})
    with pytest.raises(MigrationError):
        facts.check_facts("postgresql", "backup", given)
