# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""build_copy on a real file system."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import Lease
from ansible_collections.dihya.migration.plugins.module_utils._tree import content, copying, naming
from ansible_collections.dihya.migration.plugins.module_utils._tree.system import sync_filesystem

from tests.support.durable import watched
from tests.support.needs import require_root
from tests.support.nobody import as_nobody, open_directory
from tests.support.tmpfs import disk, tmpfs

from .conftest import copy, facts, make_files

FULL = os.environ.get("CHAOS") == "full"


def test_copy_is_the_source_exactly(hard_tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = facts(hard_tree)
    result = copy(hard_tree, tmp_path / "backup")
    assert facts(pathlib.Path(result["path"]) / "tree") == before == facts(hard_tree)
    assert (result["changed"], result["files"]) == (True, 13)


def test_second_copies_are_the_first_exactly_and_are_kept_when_nothing_changed(hard_tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    elsewhere = [str(tmp_path / "elsewhere"), str(tmp_path / "and there")]
    made = copy(hard_tree, tmp_path / "backup", name="tree", copies=elsewhere)
    assert [os.path.dirname(other["path"]) for other in made["copies"]] == elsewhere
    assert all(facts(pathlib.Path(other["path"]) / "tree") == facts(hard_tree) for other in made["copies"])
    assert [one.get("verdict") for one in made["journal"]["evidence"]] == ["proved", None, None]  # the same disk proves nothing
    again = copy(hard_tree, tmp_path / "backup", name="tree", copies=elsewhere)
    assert not again["changed"] and [other["path"] for other in again["copies"]] == [other["path"] for other in made["copies"]]
    assert copy(hard_tree, tmp_path / "planned", name="tree", copies=elsewhere, check_mode=True)["copies"] == []


def test_manifest_serves_the_common_check_and_finds_a_flipped_bit(hard_tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    result = copy(hard_tree, tmp_path / "backup")
    manifest = _manifest.read_manifest(result["path"], "tree")
    assert len(manifest["files"]) == result["files"]
    assert _manifest.damaged_files(result["path"], manifest["files"]) == []
    big = pathlib.Path(result["path"]) / "tree/sub/big"
    data = bytearray(big.read_bytes())
    data[1_000_000] ^= 1
    times = os.stat(big)
    big.write_bytes(data)
    os.utime(big, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert _manifest.damaged_files(result["path"], manifest["files"]) == ["tree/sub/big"]
    again = copy(hard_tree, tmp_path / "backup")
    assert again["changed"] and not again["reused"] and again["path"] != result["path"]
    assert "damaged" in again["warnings"][0] and "sub/big" in again["warnings"][0]


def test_names_in_the_manifest_can_be_restored(hard_tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    result = copy(hard_tree, tmp_path / "backup")
    manifest = json.loads((pathlib.Path(result["path"]) / "manifest.json").read_text("ascii"))
    names = {os.fsencode(entry["path"]) for entry in manifest["files"] + manifest["others"]}
    assert names == {b"tree" if name == b"." else b"tree/" + name for name in facts(hard_tree)}


def test_unchanged_source_keeps_the_copy(hard_tree: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "STAMP", "2026-11-28_0000")  # all in one minute
    first = copy(hard_tree, tmp_path / "backup")
    again = copy(hard_tree, tmp_path / "backup")
    assert (again["changed"], again["reused"], again["path"], again["sha256"]) == (False, True, first["path"], first["sha256"])
    assert len(os.listdir(tmp_path / "backup")) == 1
    assert copy(hard_tree, tmp_path / "backup", reuse=False)["path"] == first["path"] + "-2"


@pytest.mark.parametrize("change", ["content", "mode", "added", "removed", "target", "time"])
def test_any_change_makes_a_new_copy(hard_tree: pathlib.Path, tmp_path: pathlib.Path, change: str) -> None:
    copy(hard_tree, tmp_path / "backup")
    big = hard_tree / "sub/big"
    times = os.stat(big)
    if change == "content":
        big.write_bytes(bytes(times.st_size))
        os.utime(big, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "mode":
        big.chmod(0o640)
    elif change == "added":
        (hard_tree / "empty/new").touch()
    elif change == "removed":
        (hard_tree / "-dash").unlink()
    elif change == "target":
        (hard_tree / "dangling").unlink()
        (hard_tree / "dangling").symlink_to("elsewhere")
    else:
        os.utime(big, ns=(1, 1))
    result = copy(hard_tree, tmp_path / "backup")
    assert result["changed"] and "differs" in result["msg"]


def test_keep_removes_the_oldest_but_nothing_that_is_not_ours(tmp_path: pathlib.Path) -> None:
    source, dest = make_files(tmp_path / "s", 3), tmp_path / "backup"
    (dest / "s_2001-01-01_0000").mkdir(parents=True)
    paths = [copy(source, dest, reuse=False, keep=2)["path"] for _number in range(4)]
    assert sorted(os.listdir(dest)) == sorted(["s_2001-01-01_0000", *(os.path.basename(path) for path in paths[2:])])
    assert copy(source, dest, keep=1)["removed"] == [paths[2]]
    assert os.path.isdir(paths[3])


def test_many_files_and_excludes(tmp_path: pathlib.Path) -> None:
    source = make_files(tmp_path / "s", 5000)
    (source / "node_modules/x").mkdir(parents=True)
    (source / "node_modules/x/y").write_text("no")
    (source / "d1/a.log").write_text("no")
    result = copy(source, tmp_path / "backup", exclude=["node_modules", "*.log", "/d0/"])
    assert result["files"] == 4900
    assert len(json.dumps(result)) < 8000
    tree = pathlib.Path(result["path"]) / "tree"
    assert not (tree / "node_modules").exists() and not (tree / "d0").exists() and (tree / "d10").exists()


def test_what_cannot_be_copied_is_named_all_at_once(tmp_path: pathlib.Path) -> None:
    source = make_files(tmp_path / "s", 1)
    os.mkfifo(source / "pipe")
    os.mkfifo(source / "pipe2")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "sock"))
        with pytest.raises(MigrationError, match="fifo: pipe, pipe2; socket: sock"):
            copy(source, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("make, said", [
    (lambda p: None, "missing"), (lambda p: p.write_text("x"), "no directory"), (lambda p: (p / "a/b").mkdir(parents=True), "no file"),
])
def test_bad_source_is_refused_before_anything_is_written(tmp_path: pathlib.Path, make: Callable[[pathlib.Path], Any], said: str) -> None:
    make(tmp_path / "s")
    with pytest.raises(MigrationError, match=said):
        copy(tmp_path / "s", tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_empty_source_can_be_accepted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "s").mkdir()
    assert copy(tmp_path / "s", tmp_path / "backup", allow_empty=True)["files"] == 0


def test_copy_into_its_own_source_is_refused(tmp_path: pathlib.Path) -> None:
    source = make_files(tmp_path / "s", 1)
    with pytest.raises(MigrationError, match="inside the source"):
        copy(source, source / "d0/backup")


def test_check_mode_writes_nothing(tmp_path: pathlib.Path) -> None:
    source = make_files(tmp_path / "s", 3)
    result = copy(source, tmp_path / "backup", check_mode=True)
    assert result["changed"] and not (tmp_path / "backup").exists()
    assert "3 files" in result["diff"]["after"]
    copy(source, tmp_path / "backup")
    assert copy(source, tmp_path / "backup", check_mode=True)["changed"] is False


@pytest.mark.parametrize("change", ["before_sync", "same_times", "added", "removed"])
def test_source_that_changes_meanwhile_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    source = make_files(tmp_path / "s", 3)
    victim = source / "d1/f1"
    real = copying.make_directories

    def meddle(*arguments: Any) -> None:
        real(*arguments)
        if change == "before_sync":
            victim.write_bytes(b"other")
        elif change == "added":
            (source / "d2/late").touch()
        elif change == "removed":
            victim.unlink()
    monkeypatch.setattr(copying, "make_directories", meddle)
    if change == "same_times":
        # A write through a memory map, or twice in one clock tick, can leave all times as they were: only the bytes tell.
        monkeypatch.setattr(copying, "finish", lambda *_a: victim.write_bytes(victim.read_bytes().swapcase().replace(b"1", b"7")))
        monkeypatch.setattr(content, "same_moment", lambda *_a: True)
    with pytest.raises(MigrationError, match="changed while it was copied"):
        copy(source, tmp_path / "backup")
    assert os.listdir(tmp_path / "backup") == []


def test_first_pass_over_a_tree_in_use_leaves_out_what_changes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_files(tmp_path / "s", 5)
    os.link(source / "d1/f1", source / "also")
    real = copying.make_directories

    def meddle(*arguments: Any) -> None:
        real(*arguments)
        (source / "d1/f1").write_bytes(b"while it is copied")
        (source / "d2/f2").unlink()
        (source / "d3/late").touch()
    monkeypatch.setattr(copying, "make_directories", meddle)
    leave_out = copying.leave_out

    def meddle_once_more(*arguments: Any) -> object:
        (source / "d4/f4").write_bytes(b"once it was copied")
        return leave_out(*arguments)
    monkeypatch.setattr(copying, "leave_out", meddle_once_more)
    first = copy(source, tmp_path / "backup", tolerate_changes=True)
    monkeypatch.undo()
    assert (first["left_out"], first["files"]) == (4, 2)
    tree = pathlib.Path(first["path"]) / "tree"
    assert sorted(path.name for path in tree.rglob("f*")) == ["f0", "f3"] and not (tree / "also").exists()
    second = copy(source, tmp_path / "backup", incremental=True)
    assert facts(pathlib.Path(second["path"]) / "tree") == facts(source)
    assert second["since_before"] == {"added": 4, "changed": 0, "removed": 0}


def test_write_that_went_wrong_is_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_files(tmp_path / "s", 3)
    real = copying.sync

    def rot(target: bytes) -> None:
        with open(os.path.join(target, b"d1/f1"), "r+b") as stream:
            stream.write(b"X")
        real(target)
    monkeypatch.setattr(copying, "sync", rot)
    with pytest.raises(MigrationError, match=r"not what was read \(d1/f1\)"):
        copy(source, tmp_path / "backup")
    assert os.listdir(tmp_path / "backup") == []


def test_copy_is_durable_when_it_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_files(tmp_path / "s", 3)
    seen = watched(monkeypatch)
    real = copying.sync_filesystem
    monkeypatch.setattr(copying, "sync_filesystem", lambda path: (real(path), seen.append(("sync", os.fsdecode(path)))))
    made = copy(source, tmp_path / "backup")
    calls = [call for call, _path in seen]
    # The tree, then its manifest, then the names that make a copy of both.
    assert calls == ["sync", "fsync", "name", "fsync", "name", "fsync"]
    assert os.path.basename(seen[2][1]) == "manifest.json" and seen[3][1] == os.path.dirname(seen[2][1])
    assert seen[-2:] == [("name", made["path"]), ("fsync", str(tmp_path / "backup"))]


def test_copy_shares_its_blocks_with_the_source_where_it_can(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with disk(place, "btrfs", size=256 << 20):
        source = make_files(place / "s", 3)
        (source / "film").write_bytes(os.urandom(8 << 20))
        sync_filesystem(os.fsencode(place))
        before = shutil.disk_usage(place).used
        made = copy(source, place / "backup")
        assert shutil.disk_usage(place).used - before < 4 << 20
        assert facts(pathlib.Path(made["path"]) / "tree") == facts(source)
        with open(source / "film", "r+b") as stream:
            stream.write(b"changed after it was copied")
        assert not copy(source, place / "backup")["reused"]


def test_bytes_are_written_where_blocks_cannot_be_shared_and_only_there(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ioctl is a stand-in, so that the choice is tested also where no file system here shares blocks."""
    source = make_files(tmp_path / "s", 3)
    asked: list[int] = []

    def refuse(_target: int, request: int, _source: int) -> None:
        asked.append(request)
        raise OSError(errno.EOPNOTSUPP, "no")

    def share(target: int, _request: int, source: int) -> None:
        os.sendfile(target, source, 0, 1 << 20)
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    assert facts(pathlib.Path(copy(source, tmp_path / "written")["path"]) / "tree") == facts(source)
    assert asked == [content.FICLONE] * 3
    monkeypatch.setattr(fcntl, "ioctl", share)
    monkeypatch.setattr(os, "write", lambda *_arguments: pytest.fail("written although shared"))
    assert facts(pathlib.Path(copy(source, tmp_path / "shared")["path"]) / "tree") == facts(source)
    monkeypatch.setattr(fcntl, "ioctl", lambda *_arguments: None)  # says that it shared, and did not
    with pytest.raises(MigrationError, match="what was written is not what was read"):
        copy(source, tmp_path / "lied")


def test_decay_that_the_cache_hides_is_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk decays beneath a file whose pages, still good, are in the cache: only who drops them sees it."""
    source, place = make_files(tmp_path / "s", 3, 4_000), tmp_path / "disk"
    mark = b"what the disk is going to lose"
    (source / "d1/f1").write_bytes(mark * 200)
    place.mkdir()
    with disk(place) as image:
        def decay() -> None:
            found = [match.start() for match in re.finditer(mark * 200, image.read_bytes())]
            assert found
            with open(image, "r+b") as stream:
                for offset in found:  # of removed copies, too
                    stream.seek(offset)
                    stream.write(b"W")
        kept = copy(source, place / "kept")
        written = pathlib.Path(kept["path"]) / "tree/d1/f1"
        assert written.read_bytes() == mark * 200
        decay()
        assert written.read_bytes() == mark * 200  # by the cache all is well
        assert "is damaged and was not reused: d1/f1" in copy(source, place / "kept")["warnings"][0]
        real = copying.sync
        monkeypatch.setattr(copying, "sync", lambda target: (real(target), decay()))
        shutil.rmtree(place / "kept")
        with pytest.raises(MigrationError, match=r"not what was read \(d1/f1\)"):
            copy(source, place / "new")


def test_disk_full_is_said_and_leaves_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, small = make_files(tmp_path / "s", 40, 200_000), tmp_path / "small"
    small.mkdir()
    with tmpfs(small, "size=4m"):
        with pytest.raises(MigrationError, match="bytes free, the copy needs"):
            copy(source, small / "backup")
        monkeypatch.setattr(copying, "require_space", lambda *_arguments: None)
        with pytest.raises(MigrationError, match="could not be written: No space left"):
            copy(source, small / "backup")
        assert os.listdir(small / "backup") == []


@pytest.fixture
def other_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory on a file system of its own."""
    place = tmp_path / "other"
    place.mkdir()
    with tmpfs(place, "size=64m"):
        yield place


def test_target_on_another_file_system_gets_the_same_copy_and_second_copies_there_are_evidence(
        hard_tree: pathlib.Path, tmp_path: pathlib.Path, other_disk: pathlib.Path) -> None:
    made = copy(hard_tree, tmp_path / "backup", name="tree", copies=[str(other_disk / "second")])
    assert [(one.get("verdict"), one.get("elsewhere")) for one in made["journal"]["evidence"]] == [("proved", None), ("proved", True)]
    (hard_tree / "-dash").write_bytes(b"other")
    again = copy(hard_tree, tmp_path / "backup", name="tree", copies=[str(other_disk / "second")], incremental=True)
    for path in (again["path"], again["copies"][0]["path"]):
        tree = facts(pathlib.Path(path) / "tree")
        assert {name: fact[:4] for name, fact in tree.items()} == {name: fact[:4] for name, fact in facts(hard_tree).items()}


def test_read_only_target_is_refused_and_named(tmp_path: pathlib.Path, other_disk: pathlib.Path) -> None:
    source = make_files(tmp_path / "s", 2)
    subprocess.run(["mount", "-o", "remount,ro", str(other_disk)], check=True)
    with pytest.raises(MigrationError, match="cannot be written to: Read-only file system"):
        copy(source, other_disk)
    with pytest.raises(MigrationError, match="Read-only file system"):
        copy(source, other_disk / "deep/backup")


def test_devices_are_named_with_the_rest(tmp_path: pathlib.Path) -> None:
    require_root()
    source = make_files(tmp_path / "s", 1)
    os.mknod(source / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 200))
    os.mknod(source / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mkfifo(source / "pipe")
    with pytest.raises(MigrationError, match="block device: disk; character device: null; fifo: pipe"):
        copy(source, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number, size", [(100_000, 0), (1, 5_000_000_000)] if FULL else [(3_000, 0), (1, 200_000_000)])
def test_very_many_files_and_a_very_large_one(tmp_path: pathlib.Path, number: int, size: int) -> None:
    source = make_files(tmp_path / "s", number)
    if size:
        with open(source / "film", "wb") as stream:  # sparse here, written out in the copy
            stream.truncate(size)
            stream.seek(size // 2 + 1)
            stream.write(b"in the middle")
    made = copy(source, tmp_path / "backup")
    assert made["files"] == number + bool(size) and made["bytes"] > size
    assert copy(source, tmp_path / "backup")["reused"] and len(json.dumps(made)) < 10_000


def test_lease_and_progress(tmp_path: pathlib.Path) -> None:
    source, lease = make_files(tmp_path / "s", 3), str(tmp_path / "lease")
    options = {"lease_file": lease, "run_id": "r2", "progress_file": str(tmp_path / "progress")}
    with Lease(lease, "r1", "build_copy"), pytest.raises(MigrationError, match="run r1 still works"):
        copy(source, tmp_path / "backup", **options)
    assert copy(source, tmp_path / "backup", **options)["changed"]
    assert json.loads((tmp_path / "progress").read_text())["step"] == "verify"


def unreadable(root: pathlib.Path, kind: str) -> pathlib.Path:
    """A tree of which nobody, who is not root, cannot read one file or directory."""
    make_files(root, 2)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    (root / {"file": "d1/f1", "directory": "d1"}[kind]).chmod(0)
    return root


@pytest.mark.parametrize("kind, named", [("file", "d1/f1"), ("directory", "d1")])
def test_unreadable_files_are_named(kind: str, named: str) -> None:
    with open_directory() as place:
        source = unreadable(place / "s", kind)
        refused = as_nobody(lambda: copy(source, place / "backup"))
        assert isinstance(refused, MigrationError) and f"unreadable: {named}" in refused.message
        assert not (place / "backup").exists()
        (source / named).chmod(0o755)  # so that it can be removed
