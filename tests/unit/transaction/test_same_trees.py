# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A new site that would be put into the tree of the old one is found by what the tree is, whatever it is called."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.filter.same_trees import same_trees
from ansible_collections.dihya.migration.plugins.module_utils._app import inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look

GROUPS = {"source": ["old"], "target": ["new", "other"], "site": ["old", "new", "other"]}


def looked(check: str, subject: str, path: pathlib.Path) -> dict[str, Any]:
    """The variables of a host that looked at ``path``."""
    look = Look(check, subject, str(path), [], 0, None, None, {})
    assert inspect.inspect([look]) == []
    return {"migration_seen": {subject: look.facts}}


@pytest.fixture(name="tree")
def fixture_tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A live tree, with a link to it and one to its directory."""
    tree = tmp_path / "site" / "releases" / "1"
    tree.mkdir(parents=True)
    (tree / "index.html").touch()
    (tmp_path / "site" / "current").symlink_to("releases/1")
    (tmp_path / "link").symlink_to(tree)
    (tmp_path / "by_another_way").symlink_to(tmp_path / "site")
    return tree


@pytest.mark.parametrize("place", ["link", "site/releases/1", "site", "by_another_way"])
def test_the_tree_and_a_directory_whose_current_leads_to_it_are_found(tree: pathlib.Path, tmp_path: pathlib.Path, place: str) -> None:
    hosts = {"old": looked("readable", "live", tree), "new": looked("writable", "path", tmp_path / place),
             "other": looked("writable", "path", tmp_path / "apart")}
    (found,) = same_trees(GROUPS, hosts)
    assert (found["subject"], found["finding"]) == ("path (new)", "it is where live of old leads, the tree that is left")
    assert found["blocking"] and found["remedy"]


def test_a_directory_of_its_own_on_the_same_machine_is_none(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "new").mkdir()
    hosts = {"old": looked("readable", "live", tree), "new": looked("writable", "path", tmp_path / "new"), "other": {}}
    assert same_trees(GROUPS, hosts) == []


def test_the_same_numbers_under_another_kernel_are_another_tree(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = looked("readable", "live", tree)
    monkeypatch.setattr(inspect, "boot_id", lambda: "of a copy of this machine")
    assert same_trees(GROUPS, {"old": old, "new": looked("writable", "path", tree), "other": {}}) == []


def test_what_both_sides_write_to_is_no_tree_that_is_left(tmp_path: pathlib.Path) -> None:
    work = looked("writable", "migration_work_dir", tmp_path)
    assert same_trees(GROUPS, {"old": work, "new": work, "other": work}) == []
