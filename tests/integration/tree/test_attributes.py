# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ACLs, other extended attributes, owners and times: they come along, are part of the proof, and what does not come along is told."""

from __future__ import annotations

import os
import pathlib
import shutil
import struct
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying, document, placing
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request, build_copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.release import Request as Release
from ansible_collections.dihya.migration.plugins.module_utils._tree.release import release
from ansible_collections.dihya.migration.plugins.module_utils._tree.snapshot import Request as Snapshot
from ansible_collections.dihya.migration.plugins.module_utils._tree.snapshot import snapshot

from tests.support.needs import cannot_run, require_root
from tests.support.nobody import NOBODY, as_nobody, open_directory
from tests.support.tmpfs import disk, tmpfs

from .conftest import Grant

ACCESS, DEFAULT, CAPABILITY = "system.posix_acl_access", "system.posix_acl_default", "security.capability"
NET_BIND = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)


def acl(rights: int, user: int = 33) -> bytes:
    """The kernel's form of u::rwx, u:USER:RIGHTS, g::r-x, m::rwx, o::---; 33 is www-data on Debian."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in [
        (1, 7, 0xFFFFFFFF), (2, rights, user), (4, 5, 0xFFFFFFFF), (0x10, 7, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)])


def attributes(root: pathlib.Path) -> dict[str, dict[str, bytes]]:
    """The extended attributes of everything that has some, by the means of the operating system alone."""
    found = {str(path.relative_to(root)): {name: os.getxattr(path, name) for name in os.listxattr(path)}
             for path in [root, *root.rglob("*")] if not path.is_symlink()}
    return {name: values for name, values in found.items() if values}


@pytest.fixture
def uploads(tmp_path: pathlib.Path) -> pathlib.Path:
    """Uploads that the web server may read and write by ACL, also those to come."""
    root = tmp_path / "uploads"
    (root / "2026").mkdir(parents=True)
    (root / "2026/photo").write_bytes(b"photo")
    (root / "plain").write_bytes(b"plain")
    (root / "link").symlink_to("plain")
    os.link(root / "2026/photo", root / "same")
    try:
        os.setxattr(root / "2026", DEFAULT, acl(7))
        os.setxattr(root / "2026/photo", ACCESS, acl(6))
    except OSError as error:
        cannot_run(f"this file system has no ACLs: {error.strerror}")
    return root


def copied(source: pathlib.Path, tmp_path: pathlib.Path, grant: Grant | None, **options: Any) -> dict:
    host = grant(source) if grant is not None else None
    return build_copy(Request(str(source), str(tmp_path / "backup"), source_host=host, **options))


@pytest.fixture(params=["local", "pulled"])
def way(request: pytest.FixtureRequest) -> Grant | None:
    """How copies are made: None, or what gives access over SSH."""
    return request.getfixturevalue("grant") if request.param == "pulled" else None


def test_acls_come_along_and_stand_in_the_manifest(uploads: pathlib.Path, tmp_path: pathlib.Path, way: Grant | None) -> None:
    before = attributes(uploads)
    assert before == {"2026": {DEFAULT: acl(7)}, "2026/photo": {ACCESS: acl(6)}, "same": {ACCESS: acl(6)}}
    first = copied(uploads, tmp_path, way)
    assert attributes(pathlib.Path(first["path"]) / "tree") == before
    known = document.parse(_manifest.read_manifest(first["path"], document.KIND), first["path"])
    assert {entry.path.decode(): entry.xattrs for entry in known if entry.xattrs} == before
    assert "not_proved" not in first["journal"] and first["warnings"] == []
    assert copied(uploads, tmp_path, way)["reused"]
    os.setxattr(uploads / "2026", DEFAULT, acl(5))
    second = copied(uploads, tmp_path, way)
    assert second["changed"] and "2026" in second["msg"] and attributes(pathlib.Path(second["path"]) / "tree") == attributes(uploads)
    os.setxattr(uploads / "2026/photo", ACCESS, acl(5))
    third = copied(uploads, tmp_path, way)
    assert third["changed"] and "2026/photo" in third["msg"] and attributes(pathlib.Path(third["path"]) / "tree") == attributes(uploads)


CHANGES: dict[str, Callable[[pathlib.Path], None]] = {
    "2026/photo": lambda tree: os.setxattr(tree / "2026/photo", ACCESS, acl(5)),
    "2026": lambda tree: os.removexattr(tree / "2026", DEFAULT),
    "plain": lambda tree: os.utime(tree / "plain", ns=(1, 1)),
    "link": lambda tree: os.utime(tree / "link", ns=(1, 1), follow_symlinks=False),
    "same": lambda tree: os.chown(tree / "same", 1, 1),
}


@pytest.mark.parametrize("wrong", CHANGES)
def test_owner_time_and_attributes_are_part_of_the_proof(uploads: pathlib.Path, tmp_path: pathlib.Path, wrong: str) -> None:
    if wrong == "same":
        require_root()
    first = copied(uploads, tmp_path, None)
    CHANGES[wrong](pathlib.Path(first["path"]) / "tree")
    again = copied(uploads, tmp_path, None)
    assert again["changed"] and any("damaged" in said and wrong.replace("same", "2026/photo") in said for said in again["warnings"])


@pytest.mark.parametrize("wrong", ["2026", "plain"])
def test_copy_that_lacks_one_of_them_is_never_published(uploads: pathlib.Path, tmp_path: pathlib.Path, way: Grant | None, wrong: str,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    real = copying.sync

    def meddle(target: bytes) -> None:
        CHANGES[wrong](pathlib.Path(os.fsdecode(target)))
        real(target)
    monkeypatch.setattr(copying, "sync", meddle)
    with pytest.raises(MigrationError, match="what was written is not what was read"):
        copied(uploads, tmp_path, way)
    assert os.listdir(tmp_path / "backup") == []


def test_what_a_file_system_cannot_hold_is_counted_and_told(uploads: pathlib.Path, tmp_path: pathlib.Path, way: Grant | None,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "require_bytes", lambda *_arguments: None)  # it has no size
    (tmp_path / "backup").mkdir()
    with tmpfs(tmp_path / "backup", "mode=700", "ramfs"):
        made = copied(uploads, tmp_path, way)
        told = ["that the copy of uploads has the same system.posix_acl_access (2 times refused by its file system or to its user): "
                "2026/photo, same",
                "that the copy of uploads has the same system.posix_acl_default (1 times refused by its file system or to its user): 2026"]
        assert made["journal"]["not_proved"] == told and made["warnings"] == [f"not proved: {one}" for one in told]
        known = document.parse(_manifest.read_manifest(made["path"], document.KIND), made["path"])
        assert {entry.path: entry.xattrs for entry in known}[b"2026"] == {DEFAULT: acl(7)}
        again = copied(uploads, tmp_path, way)
        assert again["reused"] and again["journal"]["not_proved"] == told
    staged = release(Release(str(tmp_path / "app"), "present", "1", src=str(uploads)))
    assert staged["warnings"] == [] and attributes(tmp_path / "app/releases/1") == attributes(uploads)


def test_time_that_a_file_system_counts_in_seconds_is_told(uploads: pathlib.Path, tmp_path: pathlib.Path) -> None:
    os.utime(uploads / "plain", ns=(1, 1_700_000_000_123_456_789))
    (tmp_path / "backup").mkdir()
    with disk(tmp_path / "backup", "ext4", "-I", "128"):
        made = copied(uploads, tmp_path, None)
        assert any("same mtime" in one and "plain" in one for one in made["journal"]["not_proved"])
        assert copied(uploads, tmp_path, None)["reused"]
        with pytest.raises(MigrationError, match="cannot hold owners and times exactly"):
            snapshot(Snapshot(str(tmp_path / "backup/snapshots"), "s", "present", [str(uploads)]))


def test_owners_that_only_root_can_give_are_told() -> None:
    require_root()
    with open_directory() as place:
        source = place / "site"
        source.mkdir()
        (source / "of-root").write_text("x")
        (source / "own").write_text("x")
        os.chown(source, NOBODY, NOBODY)
        os.chown(source / "own", NOBODY, NOBODY)
        made = as_nobody(lambda: build_copy(Request(str(source), str(place / "backup"))))
        assert made["journal"]["not_proved"] == [
            "that the copy of site has the same owner (1 times refused by its file system or to its user): of-root"]
        # Root finds it as it was made.
        assert build_copy(Request(str(source), str(place / "backup")))["reused"]


def test_copy_takes_neither_acl_nor_group_from_the_directory_it_lies_in(uploads: pathlib.Path, tmp_path: pathlib.Path) -> None:
    store = tmp_path / "backup"
    store.mkdir()
    os.setxattr(store, DEFAULT, acl(7, 1))
    if os.geteuid() == 0:
        os.chown(store, 0, 1)
        store.chmod(0o2750)
    made = pathlib.Path(copied(uploads, tmp_path, None)["path"]) / "tree"
    assert attributes(made) == attributes(uploads)
    assert [path.stat().st_gid for path in sorted(made.rglob("*"))] == [path.stat().st_gid for path in sorted(uploads.rglob("*"))]


def test_capability_outlives_the_change_of_owner_in_its_place(tmp_path: pathlib.Path) -> None:
    require_root()
    source = tmp_path / "files"
    source.mkdir()
    (source / "server").write_bytes(b"program")
    os.setxattr(source / "server", CAPABILITY, NET_BIND)
    made = build_copy(Request(str(source), str(tmp_path / "stage"), "files"))
    placing.tree_place(placing.Request(str(tmp_path / "place"), str(tmp_path / "record/place.json"), sha256=made["sha256"],
                                       copy=made["path"], stage=str(tmp_path / "stage"), owner="nobody"))
    assert os.getxattr(tmp_path / "place/server", CAPABILITY) == NET_BIND and (tmp_path / "place/server").stat().st_uid == NOBODY


ALONE: dict[str, Callable[[pathlib.Path], None]] = {
    "ACL of a file": CHANGES["2026/photo"], "ACL of a directory": CHANGES["2026"],
    "ACL that was added": lambda tree: os.setxattr(tree / "plain", ACCESS, acl(7, 65533)),
    "attribute": lambda tree: os.setxattr(tree / "plain", "user.note", b"2"),
    "capability": lambda tree: os.setxattr(tree / "plain", CAPABILITY, NET_BIND),
}


@pytest.mark.parametrize("what", ALONE)
def test_restore_is_exact_when_an_attribute_alone_changed(uploads: pathlib.Path, tmp_path: pathlib.Path, what: str) -> None:
    if what == "capability":
        require_root()
    os.setxattr(uploads / "plain", "user.note", b"1")
    before = attributes(uploads)
    snapshot(Snapshot(str(tmp_path / "snapshots"), "s", "present", [str(uploads)]))
    ALONE[what](uploads)
    assert attributes(uploads) != before
    assert snapshot(Snapshot(str(tmp_path / "snapshots"), "s", "restored"))["restored"] == [str(uploads)]
    assert attributes(uploads) == before
    assert not snapshot(Snapshot(str(tmp_path / "snapshots"), "s", "restored"))["changed"]


def test_restore_is_exact_although_the_store_holds_no_attributes_and_the_place_hands_some_on(
        uploads: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = attributes(uploads)
    store, one = tmp_path / "snapshots", tmp_path / "single"
    one.write_text("of its own")
    store.mkdir()
    monkeypatch.setattr(copying, "require_bytes", lambda *_arguments: None)
    with tmpfs(store, "mode=700", "ramfs"):
        snapshot(Snapshot(str(store), "s", "present", [str(uploads), str(one)]))
        shutil.rmtree(uploads)
        one.write_text("spoiled")
        os.setxattr(tmp_path, DEFAULT, acl(7, 1))
        assert len(snapshot(Snapshot(str(store), "s", "restored"))["restored"]) == 2
        assert attributes(uploads) == before and os.listxattr(one) == []
