# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What waits for the turn of another commit is counted and listed, and is never a failure; what this machine lacks is one if asked."""

from __future__ import annotations

import pytest

from dev.testing import collection, containers, tiers, turns
from dev.testing.steps import SKIPPED, Runner


@pytest.fixture(name="environment", autouse=True)
def fixture_environment(monkeypatch):
    """A run of which nothing is chosen, where skips are failures."""
    for name in ("TURNS", "POSTGRES_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_NO_SKIP", "1")
    return monkeypatch


def waiting(tier: tiers.Tier, runner: Runner) -> list[tuple[str, str]]:
    """Name and reason of each step of ``tier`` that only says that it waits."""
    steps = [step for lane in tier.lanes for step in lane if step.argv[0] == "sh"]
    counts = [runner.run(step) for step in steps]
    assert [(count.skipped, count.ran) for count in counts] == [(1, 0)] * len(steps)
    return [skip for count in counts for skip in count.skips]


def test_forms_of_a_test_that_wait_are_skipped_with_the_reason_and_all_run_on_demand(tmp_path, environment):
    forms = [("liquibase", 1), ("flyway", 2)]
    first, other = turns.parameters(forms, tmp_path)
    assert (first.values, list(first.marks), other.values) == (*forms[:1], [], *forms[1:])
    assert [(mark.name, mark.kwargs) for mark in other.marks] == [("skip", {"reason": "not this commit's turn, TURNS=all runs it"})]
    assert [turns.in_turn(number, of=2, root=tmp_path).args for number in range(2)] == [(False,), (True,)]
    environment.setenv("TURNS", "all")
    assert [list(form.marks) for form in turns.parameters(forms, tmp_path)] == [[], []]
    assert [turns.in_turn(number, of=2, root=tmp_path).args for number in range(2)] == [(False,), (False,)]


def test_lanes_and_files_that_wait_are_skipped_steps_and_none_waits_on_demand(tmp_path, environment):
    for scenario in ("backend", "frontend", "mobile"):
        (tmp_path / "molecule" / scenario).mkdir(parents=True)
        (tmp_path / "molecule" / scenario / "molecule.yml").touch()

    def names() -> list[str]:
        made = (tiers.molecule, tiers.integration, tiers.browser)
        return [name for tier in made for name, reason in waiting(tier(tmp_path), Runner(tmp_path)) if reason == turns.WAITS]

    assert names() == ["molecule-mobile", "integration-postgresql-15", "integration-postgresql-18", "browser-test_failing_demo",
                       "browser-test_demo_tells_no_password"]
    environment.setenv("TURNS", "all")
    assert names() == []


def test_a_source_that_was_chosen_is_no_turn(tmp_path, environment):
    environment.setenv("POSTGRES_SOURCE", "15")
    assert waiting(tiers.integration(tmp_path), Runner(tmp_path)) == [
        (f"integration-postgresql-{major}", "POSTGRES_SOURCE chose another one") for major in ("16", "18")]


@pytest.mark.parametrize(("given", "status"), [("1", 1), ("", SKIPPED)])
def test_a_machine_without_containers_or_without_a_way_to_judge_the_collection_skips_or_fails(environment, capsys, given, status):
    environment.setenv("TEST_NO_SKIP", given)
    environment.setattr(containers, "obstacle", lambda _environment: "not installed here: podman")
    environment.setattr(containers.sys, "argv", ["containers", "test", "default"])
    environment.setattr(collection, "build", lambda: 0)
    environment.setattr(collection, "get_pip", lambda: False)
    environment.setattr(collection.shutil, "copytree", lambda *_arguments, **_options: None)
    assert (containers.main(), collection.sanity()) == (status, status)
    podman, pip = capsys.readouterr().out.splitlines()
    assert podman == "not installed here: podman" and pip.startswith("ansible-test cannot set itself up: ")
