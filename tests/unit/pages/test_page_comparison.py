# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became worse is refused, what was so before is reported, and budgets hold whatever the old site was."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts
from ansible_collections.dihya.migration.plugins.module_utils._pages import audit, lighthouse, scores
from ansible_collections.dihya.migration.plugins.module_utils._pages.compare import IMPACTS, Budgets, compare, refusals


def record(*violations, size: int = 1000, axe: str = "4.14.1") -> dict:
    rows = [{"rule": rule, "impact": impact, "page": "/", "language": "fr", "count": count, "tags": ["RGAA-1.1.1", "wcag111", "wcag1412"],
             "help": "", "nodes": []} for rule, impact, count in violations]
    return {"axe": axe, "browser": "Chrome", "criteria": 33, "pages": [{"page": "/", "language": "fr", "bytes": size, "requests": 5}],
            "violations": rows}


def refused(before, after, budgets=None, failing=IMPACTS) -> list[str]:
    return refusals(compare(before, after), list(failing), before, after, budgets or Budgets())


OLD = record(("image-alt", "critical", 2), ("label", "serious", 1))


def test_verdicts_say_what_became_of_each_rule() -> None:
    after = record(("image-alt", "critical", 3), ("region", "moderate", 1))
    assert [(row["rule"], row["verdict"], row["before"], row["after"]) for row in compare(OLD, after)] == [
        ("image-alt", "new", 2, 3), ("region", "new", 0, 1), ("label", "gone", 1, 0)]
    assert [row["verdict"] for row in compare(None, after)] == ["found", "found"]


def test_only_what_is_new_is_refused() -> None:
    assert refused(OLD, OLD) == [] and refused(OLD, record(("image-alt", "critical", 1))) == []
    assert refused(OLD, record(("image-alt", "critical", 3))) == ["/ in fr: image-alt (critical), 2 before and 3 now"]
    assert refused(OLD, record(("region", "moderate", 1)), failing=["critical", "serious"]) == []
    assert refused(None, record(("image-alt", "critical", 9))) == []


@pytest.mark.parametrize(("budgets", "sentence"), [
    (Budgets(violations=2), "3 violations, 2 are allowed"),
    (Budgets(bytes=999), "/ in fr: 1000 bytes, 999 are allowed"),
    (Budgets(requests=4), "/ in fr: 5 requests, 4 are allowed"),
])
def test_a_budget_counts_what_the_old_site_had_too(budgets, sentence) -> None:
    assert refused(OLD, OLD, budgets) == [sentence]


def test_growth_is_measured_against_the_old_site() -> None:
    assert refused(record(size=1000), record(size=1100), Budgets(growth=10)) == []
    assert refused(record(size=1000), record(size=1101), Budgets(growth=10)) == [
        "/ in fr: 1101 bytes, 1000 on the old site, 10 percent more are allowed"]
    assert refused(None, record(size=9999), Budgets(growth=10)) == []


def options(tmp_path, **given) -> dict:
    return {"dest": str(tmp_path / "after.json"), "impacts": list(IMPACTS), "budgets": {}, "languages": ["fr"], **given}


def test_results_list_the_worst_forty_and_the_journal_takes_them(tmp_path) -> None:
    many = record(*((f"rule-{number}", "minor", 1) for number in range(100)), ("image-alt", "critical", 900))
    result = audit._result(many, None, options(tmp_path), 1.0)
    assert len(result["violations"]) == 40 and result["violations"][0]["rule"] == "image-alt"
    quality = check_facts("frontend", "verify", result["journal"])["quality"]
    assert quality["more"] == 61 and quality["violations"][0]["criteria"] == "RGAA 1.1; WCAG 1.1.1, 1.4.12"
    assert len(json.loads((tmp_path / "after.json").read_text())["violations"]) == 101


def test_a_refusal_names_the_worst_and_keeps_the_record(tmp_path) -> None:
    worse = record(*((f"rule-{number}", "minor", 1) for number in range(9)))
    with pytest.raises(MigrationError) as error:
        audit._result(worse, record(), options(tmp_path), 1.0)
    assert "rule-0 (minor), 0 before and 1 now" in error.value.message and "and 4 more" in error.value.message
    assert error.value.facts["journal"]["tests"][0]["verdict"] == "failed"
    assert len(json.loads((tmp_path / "after.json").read_text())["refused"]) == 9


def test_two_versions_of_axe_are_not_compared(tmp_path) -> None:
    with pytest.raises(MigrationError, match="audit both with the same"):
        audit._result(record(), record(axe="4.10.0"), options(tmp_path), 1.0)


def test_a_page_is_visited_once_in_every_language() -> None:
    visits = audit.plan_visits("https://a.example/", ["/", "/{language}/x"], ["fr", "ar"])
    assert [(one.url, one.language) for one in visits] == [
        ("https://a.example/", "fr"), ("https://a.example/", "ar"), ("https://a.example/fr/x", "fr"), ("https://a.example/ar/x", "ar")]
    assert [one.language for one in audit.plan_visits("https://a.example", ["/"], [])] == [""]


@pytest.mark.parametrize(("url", "pages"), [("a.example", ["/"]), ("https://a.example", []), ("https://a.example", ["x"]),
                                            ("https://a.example", ["/{language}/"])])
def test_pages_that_cannot_be_visited_are_refused(url, pages) -> None:
    with pytest.raises(MigrationError):
        audit.plan_visits(url, pages, [])


def test_a_record_of_other_pages_is_no_baseline(tmp_path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(record()))
    assert audit.read_baseline(str(tmp_path / "old.json"), audit.plan_visits("https://a.example", ["/"], ["fr"]))
    with pytest.raises(MigrationError, match="without / in en"):
        audit.read_baseline(str(tmp_path / "old.json"), audit.plan_visits("https://a.example", ["/"], ["en"]))
    with pytest.raises(MigrationError, match="audit the old site first"):
        audit.read_baseline(str(tmp_path / "none.json"), [])


def test_a_score_may_drop_by_its_points_and_no_further() -> None:
    rows = scores.rows({"/": {"performance": 90.0, "seo": 80.0}}, {"/": {"performance": 85.0, "seo": 79.0}})
    assert scores.refusals(rows, {"performance": 5.0, "seo": 0.0}, {}) == ["/: seo dropped from 80 to 79, 0 points are allowed"]
    assert scores.refusals(rows, {}, {"performance": 86.0}) == ["/: performance is 85, at least 86 is wanted"]
    assert scores.refusals(scores.rows(None, {"/": {"seo": 1.0}}), {"seo": 0.0}, {}) == []


def test_a_drop_past_the_budget_fails_and_the_record_is_kept(tmp_path) -> None:
    def measured(seo: float) -> dict:
        return {"lighthouse": "13.0.0", "form_factor": "mobile", "scores": {"/": {"seo": seo}}}

    given = {"dest": str(tmp_path / "after.json"), "categories": ["seo"]}
    limits: tuple[scores.Scores, scores.Scores] = ({"seo": 5.0}, {})
    assert lighthouse._result(measured(75.0), measured(80.0), limits, given, 1.0)["journal"]["tests"][0]["verdict"] == "passed"
    with pytest.raises(MigrationError, match="seo dropped from 80 to 74") as error:
        lighthouse._result(measured(74.0), measured(80.0), limits, given, 1.0)
    assert error.value.facts["journal"]["tests"][0]["verdict"] == "failed"
    assert json.loads((tmp_path / "after.json").read_text())["refused"]


def test_scores_are_the_middle_of_the_runs() -> None:
    assert scores.middle([{"seo": 90.0}, {"seo": 10.0}, {"seo": 80.0}]) == {"seo": 80.0}
    assert scores.read_scores({"categories": {"seo": {"score": 0.915}}}, ["seo"]) == {"seo": 91.5}


@pytest.mark.parametrize("document", [
    {"categories": {"seo": {"score": None}}}, {"categories": {}},
    {"runtimeError": {"code": "NO_FCP"}, "categories": {"seo": {"score": 1}}}])
def test_a_missing_score_is_a_failure(document) -> None:
    with pytest.raises(MigrationError):
        scores.read_scores(document, ["seo"])


@pytest.mark.parametrize("given", [{"speed": 1}, {"seo": "much"}, {"seo": 101}, {"seo": -1}])
def test_points_are_of_known_categories(given) -> None:
    with pytest.raises(MigrationError):
        scores.points(given, "drop")
