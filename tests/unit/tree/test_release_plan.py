# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is decided about releases, without a disk."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import release_plan as plan
from ansible_collections.dihya.migration.plugins.module_utils._tree.release_plan import Release, State


def state(names: str = "abc", current: str | None = None, previous: dict | None = None, failed: str = "", foreign: str = "") -> State:
    releases = {name: Release(name, f"2026-01-0{index + 1}", "d") for index, name in enumerate(names)}
    return State(releases, f"releases/{current}" if current else None, previous or {}, frozenset(failed), frozenset(foreign))


def test_activation_switches_and_records() -> None:
    found = plan.plan_activation(state(current="a"), "b")
    assert (found.switch, found.link, found.record) == (True, "releases/b", True)


def test_activating_the_current_release_changes_nothing() -> None:
    assert not plan.plan_activation(state(current="a"), "a").changes


@pytest.mark.parametrize("found, name", [(state(), "z"), (state(foreign="f"), "f"), (state(failed="b"), "b")])
def test_activation_refuses_what_is_missing_foreign_or_failed(found: State, name: str) -> None:
    with pytest.raises(MigrationError, match=name):
        plan.plan_activation(found, name)


def test_rollback_restores_the_recorded_link_and_removes_ours() -> None:
    found = plan.plan_rollback(state(current="b", previous={"b": "releases/a"}), "b", keep_failed=False)
    assert (found.switch, found.link, found.remove) == (True, "releases/a", ("b",))


def test_rollback_removes_the_link_when_there_was_none() -> None:
    found = plan.plan_rollback(state(current="b", previous={"b": None}), "b", keep_failed=True)
    assert (found.switch, found.link, found.mark_failed, found.remove) == (True, None, "b", ())


def test_rollback_brings_back_a_link_that_led_elsewhere() -> None:
    assert plan.plan_rollback(state(current="b", previous={"b": "/opt/old"}), "b", keep_failed=False).link == "/opt/old"


def test_rollback_without_a_record_is_refused() -> None:
    with pytest.raises(MigrationError, match="not recorded"):
        plan.plan_rollback(state(current="b"), "b", keep_failed=False)


def test_rollback_to_a_release_that_is_gone_is_refused() -> None:
    with pytest.raises(MigrationError, match="does not exist any more"):
        plan.plan_rollback(state("b", current="b", previous={"b": "releases/a"}), "b", keep_failed=False)


def test_rollback_again_changes_nothing() -> None:
    assert not plan.plan_rollback(state("a", current="a"), "b", keep_failed=False).changes


def test_rollback_of_the_release_before_the_current_one_leaves_it_alone() -> None:
    assert not plan.plan_rollback(state(current="b", previous={"b": "releases/a"}), "a", keep_failed=False).changes


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_current_release_and_the_one_before_are_never_removed(name: str) -> None:
    with pytest.raises(MigrationError):
        plan.plan_absence(state(current="b", previous={"b": "releases/a"}), name)


def test_what_is_not_ours_is_never_removed() -> None:
    with pytest.raises(MigrationError, match="not made by this module"):
        plan.plan_absence(state(foreign="f"), "f")


def test_pruning_goes_by_creation_and_spares_current_previous_and_failed() -> None:
    found = state("abcdef", current="c", previous={"c": "releases/a"}, failed="b")
    assert plan.plan_pruning(found, 2).remove == ("d", "e", "f")
    assert plan.plan_pruning(found, 4).remove == ("d",)
    assert plan.plan_pruning(found, 9).remove == ()


def test_keep_below_one_is_refused() -> None:
    with pytest.raises(MigrationError):
        plan.plan_pruning(state(), 0)


def test_shared_paths() -> None:
    assert plan.shared_links([".env", "var/log/"]) == {".env": ".env", "var/log": "var/log/"}
    assert plan.shared_links({"config/app.yml": "app.yml"}) == {"config/app.yml": "app.yml"}


@pytest.mark.parametrize("shared", [["../x"], ["/etc"], ["a//b"], [""], ["."], {"a": "../b"}, ["a", "a/b"]])
def test_shared_paths_that_lead_out_or_cover_each_other_are_refused(shared: list[str]) -> None:
    with pytest.raises(MigrationError, match="shared"):
        plan.shared_links(shared)
