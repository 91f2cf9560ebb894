# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""build_copy with ``reuse_by: change_time``: quick where the kernel can tell that nothing changed, and never wrong where it cannot."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.action.build_copy import ActionModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import change_times, content
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request, build_copy
from ansible_collections.dihya.migration.plugins.plugin_utils.long_action import LongAction


@pytest.fixture
def source(hard_tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The difficult tree, as if it had been at rest for a while."""
    monkeypatch.setattr(change_times, "RECENT", -10**12)
    return hard_tree


def copy(source: pathlib.Path, dest: pathlib.Path, **options: Any) -> dict:
    return build_copy(Request(str(source), str(dest), "tree", **{"reuse_by": "change_time", **options}))


def in_place(path: pathlib.Path, data: bytes) -> None:
    """Other bytes, of the same length, and everything that can be set as it was."""
    times = os.stat(path)
    with open(path, "r+b") as stream:
        stream.write(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES: dict[str, Callable[[pathlib.Path], object]] = {
    "a byte, its time set back": lambda root: in_place(root / "sub/big", b"x"),
    "a mode": lambda root: os.chmod(root / "sub/big", 0o640),
    "a new file": lambda root: (root / "empty/new").write_bytes(b""),
    "a file gone": lambda root: os.unlink(root / "-dash"),
    "a link's target": lambda root: (os.unlink(root / "loop"), os.symlink("poop", root / "loop")),
    "an attribute": lambda root: os.setxattr(root / "plain", "user.note", b"other"),
    "a file replaced by its twin": lambda root: ((root / "twin").write_bytes((root / "-dash").read_bytes()),
                                                 os.replace(root / "twin", root / "-dash")),
}


def test_an_unchanged_tree_is_known_without_reading_a_file(
        source: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = copy(source, tmp_path / "backup")
    monkeypatch.setattr(content, "chunks", None)  # whoever reads a file fails
    again = copy(source, tmp_path / "backup")
    assert (again["changed"], again["path"], again["sha256"]) == (False, made["path"], made["sha256"])
    assert "by the change times" in again["msg"] and "verdict" not in again["journal"]["evidence"][0]
    with pytest.raises(TypeError):
        copy(source, tmp_path / "backup", reuse_by="content")


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_seen(source: pathlib.Path, tmp_path: pathlib.Path, change: str) -> None:
    made = copy(source, tmp_path / "backup")
    CHANGES[change](source)
    again = copy(source, tmp_path / "backup")
    assert "by the change times" not in again["msg"]
    assert again["changed"] and again["path"] != made["path"]


def test_what_changed_just_before_it_was_copied_is_read_again(hard_tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    made = copy(hard_tree, tmp_path / "backup")
    again = copy(hard_tree, tmp_path / "backup")
    assert (again["path"], again["changed"]) == (made["path"], False) and "by the change times" not in again["msg"]


@pytest.mark.parametrize("harm", [lambda tree: os.unlink(tree / "sub/deep/zero"), lambda tree: os.truncate(tree / "sub/big", 5)])
def test_a_copy_that_lost_something_is_not_kept(source: pathlib.Path, tmp_path: pathlib.Path, harm: Callable[[pathlib.Path], None]) -> None:
    made = copy(source, tmp_path / "backup")
    harm(pathlib.Path(made["path"]) / "tree")
    again = copy(source, tmp_path / "backup")
    assert again["changed"] and again["path"] != made["path"] and "is damaged" in again["warnings"][0]


def test_a_copy_without_the_files_that_moved_is_never_taken_for_whole(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy(source, tmp_path / "backup", tolerate_changes=True)
    assert "by the change times" not in copy(source, tmp_path / "backup")["msg"]


def test_other_patterns_or_readers_are_no_unchanged_copy(
        source: pathlib.Path, tmp_path: pathlib.Path, identities: list[tuple[str, str]]) -> None:
    sealed = {"patterns": ["plain"], "recipients": [identities[0][1]], "recipients_files": []}
    (source / "sub/hard").unlink()
    clear = copy(source, tmp_path / "backup")
    first = copy(source, tmp_path / "backup", encrypt=sealed)
    again = copy(source, tmp_path / "backup", encrypt=sealed)
    assert first["path"] != clear["path"] and again["path"] == first["path"] and "by the change times" in again["msg"]
    for change in ({"patterns": ["-dash"]}, {"recipients": [identities[1][1]]}):
        assert copy(source, tmp_path / "backup", encrypt={**sealed, **change})["changed"]


def test_a_tree_of_another_host_is_refused(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(MigrationError, match="needs a local src"):
        copy(source, tmp_path / "backup", source_host={"host": "old"})


def test_a_look_keeps_what_is_unchanged_and_else_copies_nothing(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert "the change times do not tell" in copy(source, tmp_path / "backup", only_look=True)["msg"]
    assert not (tmp_path / "backup").exists()
    made = copy(source, tmp_path / "backup")
    seen = copy(source, tmp_path / "backup", only_look=True)
    assert (seen["path"], seen["reused"], seen["changed"]) == (made["path"], True, False) and seen["manifest"] == made["manifest"]
    (source / "plain").chmod(0o600)
    seen = copy(source, tmp_path / "backup", only_look=True)
    assert not seen["reused"] and seen["changed"] and os.listdir(tmp_path / "backup") == [os.path.basename(made["path"])]
    with pytest.raises(MigrationError, match="only_look needs"):
        copy(source, tmp_path / "backup", only_look=True, copies=[str(tmp_path / "second")])


@pytest.mark.parametrize(("seen", "works", "options"), [
    ({"reused": True}, False, {}), ({"failed": True}, False, {}), ({"reused": False}, True, {}),
    ({"reused": True}, True, {"copies": ["/second"]})])
def test_no_worker_is_started_for_what_a_look_tells(
        monkeypatch: pytest.MonkeyPatch, seen: dict[str, Any], works: bool, options: dict[str, Any]) -> None:
    worked = {"msg": "by a worker"}
    monkeypatch.setattr(ActionModule, "_run_plainly", lambda self, args, variables: seen if args["only_look"] else {})
    monkeypatch.setattr(LongAction, "_run_watched", lambda self, args, variables: worked)
    outcome = ActionModule._run_watched(object.__new__(ActionModule), {"reuse_by": "change_time", **options}, {})
    assert outcome == (worked if works else seen)
