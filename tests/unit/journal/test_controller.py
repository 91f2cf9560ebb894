# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Digests of inputs change with the inputs, not with secrets, and partial runs are recognised."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.plugin_utils import controller


class Vars(dict):
    """Host variables of which some are undefined."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if value is Ellipsis:
            raise KeyError("undefined")
        return value


def digest(host: str = "mover", stack: str = "pg", verb: str = "migrate", facts: dict[str, Any] | None = None, **variables: Any) -> str:
    class HostVars(dict):
        _variable_manager = SimpleNamespace(_nonpersistent_fact_cache={host: facts or {}}, extra_vars={})
    return controller.inputs_sha256({"hostvars": HostVars({host: Vars(variables, **(facts or {}))})}, host, stack, verb)


BASE = {"pg_jobs": 4, "pg_source": {"host": "old", "password": "p1", "ports": [1, 2]}, "web_x": 1, "pg_undefined": ...}


def test_the_digest_is_stable_and_of_the_stack_only() -> None:
    assert digest(**BASE) == digest(**BASE)
    assert digest(**BASE) == digest(**{**BASE, "web_x": 2})


@pytest.mark.parametrize("change", [{"pg_jobs": 5}, {"pg_source": {"host": "new", "password": "p1", "ports": [1, 2]}}, {"pg_new": None}])
def test_another_input_is_another_digest(change: dict[str, Any]) -> None:
    assert digest(**BASE) != digest(**{**BASE, **change})


@pytest.mark.parametrize("change", [
    {"pg_source": {"host": "old", "password": "p2", "ports": [1, 2]}}, {"pg_password": "x"}, {"pg_api_token": "x"},
    {"pg_source": {"host": "old", "sshKey": "x", "ports": [1, 2]}},
])
def test_secrets_do_not_count(change: dict[str, Any]) -> None:
    assert digest(**BASE) == digest(**{**BASE, **change})


def test_a_backup_is_made_again_when_it_has_another_second_place_and_no_other_verb_is() -> None:
    places: list[list[dict[str, str]]] = [
        [], [{"path": "/second"}], [{"path": "/third"}], [{"remote": "s3:b", "config": "/c"}], [{"remote": "s3:b", "config": "/d"}]]
    digests = [digest(verb="backup", **BASE, migration_backup_copies=copies) for copies in places]
    assert len(set(digests)) == 5 and digests[0] == digest(verb="backup", **BASE)
    assert {digest(**BASE, migration_backup_copies=copies) for copies in places} == {digest(**BASE)}


def test_what_tasks_registered_does_not_count() -> None:
    assert digest(**BASE) == digest(facts={"pg_result": {"duration": 1.2}}, **BASE)


@pytest.mark.parametrize(("variables", "words"), [
    ({"ansible_limit": "mover"}, "--limit"),
    ({"ansible_run_tags": ["freeze"]}, "--tags"),
    ({"ansible_run_tags": ("all", "never")}, "--tags"),
    ({"ansible_skip_tags": ["always"]}, "--skip-tags"),
    ({"ansible_run_tags": ["all"], "ansible_skip_tags": []}, ""),
    ({}, ""),
])
def test_partial_runs_are_recognised(variables: dict[str, Any], words: str) -> None:
    found = controller.partial_run(variables)
    assert (words in found) if words else found == ""


@pytest.mark.parametrize(("variables", "environment", "job"), [
    ({}, {}, ""),
    ({"awx_job_id": 12}, {}, "awx 12"),
    ({"tower_job_id": 13}, {}, "awx 13"),
    ({}, {"JOB_ID": "14", "AWX_HOST": "x"}, "awx 14"),
    ({}, {"JOB_ID": "15"}, "15"),
    ({"semaphore_vars": {"task_details": {"id": 16}}}, {}, "semaphore 16"),
])
def test_the_job_is_named(variables: dict[str, Any], environment: dict[str, str], job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOB_ID", "AWX_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert controller.job_id(variables) == job


def test_this_process_is_alive_and_a_finished_one_is_dead() -> None:
    mine = dict(controller.holder({}), run_id="r1")
    assert mine["pid"] == os.getpid() and controller.alive(mine) is True and controller.dead_runs([mine]) == []
    assert controller.dead_runs([dict(mine, start=1)]) == ["r1"] and controller.alive(dict(mine, start=1)) is False
    elsewhere = dict(mine, boot="other", machine_id="other")
    assert controller.alive(elsewhere) is None and controller.dead_runs([elsewhere]) == []
