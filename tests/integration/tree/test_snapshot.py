# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore points on a real file system."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying, system
from ansible_collections.dihya.migration.plugins.module_utils._tree import snapshot as engine
from ansible_collections.dihya.migration.plugins.module_utils._tree.snapshot import Request, snapshot

from tests.support.tmpfs import tmpfs

from .conftest import facts, make_files, never_missing


@pytest.fixture
def etc(tmp_path: pathlib.Path, hard_tree: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "etc"
    root.mkdir()
    shutil.move(hard_tree, root / "tree")
    (root / "file").write_text("before")
    (root / "file").chmod(0o640)
    (root / "link").symlink_to("file")
    return root


def paths(etc: pathlib.Path) -> list[str]:
    return [str(etc / name) for name in ("tree", "file", "link", "nothing")]


def do(etc: pathlib.Path, state: str, **options: Any) -> dict:
    return snapshot(Request(str(etc.parent / "snapshots"), "s1", state, paths(etc) if state == "present" else [], **options))


def spoil(etc: pathlib.Path) -> None:
    (etc / "tree/sub/big").write_bytes(b"spoiled")
    (etc / "tree/added").mkdir()
    (etc / "tree/added/x").write_text("x")
    (etc / "tree/-dash").unlink()
    (etc / "tree/plain").chmod(0o600)
    (etc / "file").unlink()
    (etc / "file").mkdir()
    (etc / "link").unlink()
    (etc / "nothing").write_text("now something")


def below(etc: pathlib.Path) -> dict:
    found = facts(etc)
    found.pop(b".")
    return found


@pytest.mark.parametrize("exchange", [True, False])
def test_restore_is_exact(etc: pathlib.Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    before = below(etc)
    assert do(etc, "present")["changed"]
    spoil(etc)
    if not exchange:
        monkeypatch.setattr(system, "exchange", lambda one, other: False)
    result = do(etc, "restored")
    assert result["restored"] == sorted(paths(etc)) and below(etc) == before
    again = do(etc, "restored")
    assert (again["changed"], again["restored"]) == (False, [])


def test_restoration_that_does_not_hold_is_no_success(etc: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    do(etc, "present")
    spoil(etc)
    real = engine.put_back

    def meddle(stored: bytes | None, path: bytes, *arguments: Any) -> None:
        real(stored, path, *arguments)
        if path.endswith(b"/file"):
            times = os.stat(etc / "file")
            (etc / "file").write_text("other!")  # as long and as old as what was restored: only its bytes tell
            os.utime(etc / "file", ns=(times.st_atime_ns, times.st_mtime_ns))
    monkeypatch.setattr(engine, "put_back", meddle)
    with pytest.raises(MigrationError, match=r"/file is not what the snapshot holds although restored"):
        do(etc, "restored")


def test_restoration_that_has_no_room_is_refused_before_anything_is_touched(tmp_path: pathlib.Path) -> None:
    place, store = tmp_path / "small", str(tmp_path / "snapshots")
    place.mkdir()
    with tmpfs(place, "size=20m"):
        (place / "film").write_bytes(bytes(8 << 20))
        snapshot(Request(store, "s", "present", [str(place / "film")]))
        (place / "film").write_bytes(b"other")
        with pytest.raises(MigrationError, match="bytes free, the copy needs"):
            snapshot(Request(store, "s", "restored"))
        subprocess.run(["mount", "-o", "remount,size=64m,ro", str(place)], check=True)
        with pytest.raises(MigrationError, match="Read-only file system"):
            snapshot(Request(store, "s", "restored"))
        assert (os.listdir(place), (place / "film").read_bytes()) == (["film"], b"other")


def test_restoration_that_fails_half_way_leaves_nothing_beside_the_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, store = tmp_path / "small", str(tmp_path / "snapshots")
    place.mkdir()
    with tmpfs(place, "size=20m"):
        (place / "films").mkdir()
        (place / "films/one").write_bytes(os.urandom(8 << 20))
        snapshot(Request(store, "s", "present", [str(place / "films")]))
        (place / "films/one").write_bytes(b"other")
        subprocess.run(["mount", "-o", "remount,size=4m", str(place)], check=True)
        monkeypatch.setattr(copying, "require_space", lambda directory, entries: None)  # somebody else took the room meanwhile
        with pytest.raises(MigrationError, match="No space left"):
            snapshot(Request(store, "s", "restored"))
        assert (os.listdir(place), (place / "films/one").read_bytes()) == (["films"], b"other")


@pytest.mark.parametrize("renames", [1, 2])
@pytest.mark.parametrize("again", [False, True])
def test_restoration_killed_without_an_exchange_of_names_is_brought_to_its_end_and_leaves_nothing(
        tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, renames: int, again: bool) -> None:
    place, store = tmp_path / "etc/site", str(tmp_path / "snapshots")
    place.mkdir(parents=True)
    (place / "page").write_text("before")
    snapshot(Request(store, "s", "present", [str(place)]))
    (place / "page").write_text("spoiled")
    monkeypatch.setattr(system, "exchange", lambda one, other: False)
    child = os.fork()
    if child == 0:
        real, left = os.rename, [renames]

        def rename(one: Any, other: Any) -> None:
            real(one, other)
            left[0] -= 1
            if not left[0]:
                os._exit(9)
        monkeypatch.setattr(os, "rename", rename)
        snapshot(Request(store, "s", "restored"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    old = next(path for path in place.parent.iterdir() if path.name.endswith(".old"))
    assert (old / "page").read_text() == "spoiled" and place.exists() == (renames == 2)
    if again:  # somebody makes the path anew before the rerun
        place.mkdir(exist_ok=True)
        (place / "page").write_text("made anew")
    assert snapshot(Request(store, "s", "restored"))["changed"] == (renames == 1 or again)
    assert (os.listdir(place.parent), (place / "page").read_text()) == (["site"], "before")


def test_what_was_there_stays_until_the_path_is_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, store = tmp_path / "etc/site", str(tmp_path / "snapshots")
    place.mkdir(parents=True)
    (place / "page").write_text("before")
    made = snapshot(Request(store, "s", "present", [str(place)]))
    old = place.parent / f".dihya-{json.loads(pathlib.Path(store, 's/manifest.json').read_text())['id']}-0.old"
    place.rename(old)  # as a kill between the two renames leaves it
    monkeypatch.setattr(copying, "require_space", lambda directory, entries: None)

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise MigrationError("no")
    with monkeypatch.context() as patch:
        patch.setattr(copying, "copy_tree", fail)
        with pytest.raises(MigrationError, match="no"):
            snapshot(Request(store, "s", "restored"))
    assert (old / "page").read_text() == "before" and made["changed"]


def test_making_it_again_never_replaces_it(etc: pathlib.Path) -> None:
    before = below(etc)
    do(etc, "present")
    spoil(etc)
    assert not do(etc, "present")["changed"]
    do(etc, "restored")
    assert below(etc) == before
    with pytest.raises(MigrationError, match="other paths"):
        snapshot(Request(str(etc.parent / "snapshots"), "s1", "present", [str(etc / "file")]))


def test_damaged_snapshot_is_refused_before_anything_is_touched(etc: pathlib.Path) -> None:
    do(etc, "present")
    spoil(etc)
    spoiled = below(etc)
    stored = next(path for path in (etc.parent / "snapshots/s1").rglob("big"))
    stored.write_bytes(b"!" + stored.read_bytes()[1:])
    with pytest.raises(MigrationError, match="damaged"):
        do(etc, "restored")
    assert below(etc) == spoiled


def test_check_mode_changes_nothing(etc: pathlib.Path) -> None:
    assert do(etc, "present", check_mode=True)["changed"] and not (etc.parent / "snapshots").exists()
    do(etc, "present")
    spoil(etc)
    spoiled = below(etc)
    result = do(etc, "restored", check_mode=True)
    assert result["changed"] and below(etc) == spoiled and "sub/big" in result["diff"]["before"]


def test_absent_removes_it(etc: pathlib.Path) -> None:
    do(etc, "present")
    assert do(etc, "absent")["changed"] and not do(etc, "absent")["changed"]
    assert os.listdir(etc.parent / "snapshots") == []
    with pytest.raises(MigrationError, match="no snapshot"):
        do(etc, "restored")


@pytest.mark.parametrize("wrong", [["relative"], ["/"], ["/a", "/a/b"], []])
def test_impossible_paths_are_refused(tmp_path: pathlib.Path, wrong: list[str]) -> None:
    with pytest.raises(MigrationError, match="paths"):
        snapshot(Request(str(tmp_path / "snapshots"), "s", "present", wrong))


def test_snapshots_cannot_lie_in_what_they_record(tmp_path: pathlib.Path) -> None:
    with pytest.raises(MigrationError, match="inside"):
        snapshot(Request(str(tmp_path / "x/snapshots"), "s", "present", [str(tmp_path / "x")]))


def test_reader_always_finds_the_path_while_it_is_restored(tmp_path: pathlib.Path) -> None:
    place, store = tmp_path / "etc", str(tmp_path / "snapshots")
    place.mkdir()
    (place / "file").write_text("kept")
    if not system.exchange(os.fsencode(place), os.fsencode(place)):
        pytest.skip("NOT TESTED: this file system cannot exchange two names")
    snapshot(Request(store, "s", "present", [str(place)]))
    with never_missing(place / "file", tmp_path / "stop"):
        for _turn in range(100):
            (place / "file").write_text("spoiled")
            assert snapshot(Request(store, "s", "restored"))["changed"]


def test_snapshots_are_listed_and_pruned_by_age_and_only_ours(etc: pathlib.Path) -> None:
    store = str(etc.parent / "snapshots")
    assert snapshot(Request(store, None, "listed"))["snapshots"] == []
    for name in ("c", "a", "b"):
        snapshot(Request(store, name, "present", [str(etc / "file")]))
    (etc.parent / "snapshots/mine").mkdir()
    shutil.copytree(etc.parent / "snapshots/b", etc.parent / "snapshots/.partial-snapshot-x")  # its maker was killed before it got its name
    found = snapshot(Request(store, None, "listed"))
    assert [one["name"] for one in found["snapshots"]] == ["c", "a", "b"] and found["snapshots"][0]["paths"] == [str(etc / "file")]
    planned = snapshot(Request(store, None, "pruned", keep=1, check_mode=True))
    assert planned["changed"] and planned["removed"] == ["c", "a"] and len(os.listdir(store)) == 5
    assert snapshot(Request(store, None, "pruned", keep=1))["removed"] == ["c", "a"]
    assert sorted(os.listdir(store)) == [".partial-snapshot-x", "b", "mine"]
    assert not snapshot(Request(store, None, "pruned", keep=1))["changed"]
    with pytest.raises(MigrationError, match="at least 1"):
        snapshot(Request(store, None, "pruned", keep=0))


def test_results_never_list_a_whole_tree(tmp_path: pathlib.Path) -> None:
    place, store = make_files(tmp_path / "many", 2_000), str(tmp_path / "snapshots")
    made = snapshot(Request(store, "s", "present", [str(place)]))
    shutil.rmtree(place)
    planned, restored = (snapshot(Request(store, "s", "restored", check_mode=check_mode)) for check_mode in (True, False))
    assert made["changed"] and restored["changed"] and len(list(place.rglob("f*"))) == 2_000
    for result in (made, planned, restored, snapshot(Request(store, None, "listed"))):
        assert len(json.dumps(result)) < 8_000
