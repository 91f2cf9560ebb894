# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tree_fence and tree_place on a real file system."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request as Copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import build_copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.fence import Request as Fence
from ansible_collections.dihya.migration.plugins.module_utils._tree.fence import tree_fence
from ansible_collections.dihya.migration.plugins.module_utils._tree.placing import Request as Place
from ansible_collections.dihya.migration.plugins.module_utils._tree.placing import tree_place

from tests.support.needs import require_root

from .conftest import facts


@pytest.fixture
def uploads(tmp_path: pathlib.Path) -> pathlib.Path:
    """A few uploaded files, one of them with a time long ago."""
    root = tmp_path / "uploads"
    (root / "b" / "empty").mkdir(parents=True)
    for name in ("a", "b/c"):
        (root / name).write_text(name)
        os.utime(root / name, ns=(10**18, 10**18))
    return root


def fence(root: pathlib.Path, state: str = "held", **options: Any) -> dict:
    return tree_fence(Fence(str(root), str(root.parent / "record" / "fence.json"), state, **options))


def same_size_and_time(root: pathlib.Path) -> None:
    (root / "a").write_text("X")
    os.utime(root / "a", ns=(10**18, 10**18))


CHANGES: dict[str, Callable[[pathlib.Path], object]] = {
    "same size and time": same_size_and_time,
    "rights": lambda root: (root / "a").chmod(0o640),
    "new": lambda root: (root / "b/empty/new").touch(),
    "gone": lambda root: (root / "b/c").unlink(),
    "renamed": lambda root: (root / "a").rename(root / "d"),
    "replaced": lambda root: os.replace(root / "b/c", root / "a"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_after_the_fence_is_seen_and_named(uploads: pathlib.Path, change: str) -> None:
    fence(uploads, "taken")
    fence(uploads, "sealed", sha256="00")
    (uploads / "a").read_text()
    held = fence(uploads)
    assert (held["changed"], held["files"], held["sha256"]) == (False, 2, "00")
    CHANGES[change](uploads)
    with pytest.raises(MigrationError, match=r"was written to after it was copied \([a-z.]"):
        fence(uploads)


def test_fence_waits_for_writers_and_refuses_a_tree_that_never_rests(uploads: pathlib.Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            (uploads / "a").write_text("more")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(MigrationError, match=r"is being written to \(a\)"):
            fence(uploads, "taken", settle=0.3)
        threading.Timer(0.3, stop.set).start()
        assert fence(uploads, "taken")["changed"]
    finally:
        stop.set()
        writer.join()


def test_fence_that_no_copy_belongs_to_proves_nothing(uploads: pathlib.Path) -> None:
    with pytest.raises(MigrationError, match="take the fence first"):
        fence(uploads)
    fence(uploads, "taken")
    with pytest.raises(MigrationError, match="was not copied whole"):
        fence(uploads)
    (uploads / "b/during").touch()
    with pytest.raises(MigrationError, match="b/during"):
        fence(uploads, "sealed", sha256="00")
    assert fence(uploads, "absent")["changed"] and not fence(uploads, "absent")["changed"]


class Site:
    """A copy beside a place, as the role makes it."""

    def __init__(self, root: pathlib.Path, source: pathlib.Path) -> None:
        self.source, self.path, self.stage = source, root / "shared" / "uploads", root / "shared" / ".stage"
        self.record = root / "record" / "placed.json"

    def copy(self) -> dict:
        return build_copy(Copy(str(self.source), str(self.stage), "uploads", incremental=True))

    def place(self, copied: dict | None = None, **options: Any) -> dict:
        named = {"copy": copied["path"], "sha256": copied["sha256"], "stage": str(self.stage)} if copied else {}
        return tree_place(Place(str(self.path), str(self.record), **{**named, **options}))


@pytest.fixture
def site(tmp_path: pathlib.Path, hard_tree: pathlib.Path) -> Site:
    """A site that takes the tree with every difficult name."""
    return Site(tmp_path / "site", hard_tree)


def test_tree_is_put_in_place_exactly_and_stays(site: Site) -> None:
    site.copy()
    (site.source / "plain").write_bytes(b"changed since the first pass")
    second = site.copy()
    planned = site.place(second, check_mode=True)
    assert (planned["changed"], planned["placed"]) == (True, False) and not site.path.exists()
    assert site.place(second)["changed"]
    assert facts(site.path) == facts(site.source) and not site.stage.exists()
    again = site.place(sha256=second["sha256"])
    assert (again["changed"], again["placed"]) == (False, True)
    assert (site.path / "sub/big").stat().st_nlink == 1  # nothing else writes to the files in place


def test_what_is_not_ours_is_replaced_only_when_told(site: Site) -> None:
    site.path.mkdir(parents=True)
    (site.path / "theirs").write_text("x")
    first = site.copy()
    with pytest.raises(MigrationError, match="is not empty"):
        site.place(first)
    assert [path.name for path in site.path.iterdir()] == ["theirs"]
    site.place(first, overwrite=True)
    (site.source / "later").touch()
    site.place(site.copy())  # ours: a later pass may replace it
    assert facts(site.path) == facts(site.source)


def test_damaged_or_other_copy_is_refused(site: Site) -> None:
    copied = site.copy()
    with pytest.raises(MigrationError, match="is not the copy with the digest wanted"):
        site.place({**copied, "sha256": "00"})
    assert not site.path.exists()
    (pathlib.Path(copied["path"]) / "tree" / "sub" / "big").write_bytes(b"rotten")
    with pytest.raises(MigrationError, match=r"is not what was copied \(sub/big\)"):
        site.place(copied)


def test_place_is_kept_whatever_users_add_and_missed_when_it_is_another(site: Site) -> None:
    with pytest.raises(MigrationError, match="nothing says"):
        site.place(state="kept")
    copied = site.copy()
    site.place(copied)
    (site.path / "new").touch()
    assert site.place(state="kept")["sha256"] == copied["sha256"]
    site.path.rename(site.path.parent / "moved")
    site.path.mkdir()
    with pytest.raises(MigrationError, match="no longer the directory"):
        site.place(state="kept")
    site.copy()
    assert site.place(state="absent", stage=str(site.stage))["changed"]
    assert not site.stage.exists() and not site.record.exists() and site.path.exists()


def test_tree_belongs_to_the_user_named(site: Site) -> None:
    require_root()
    site.place(site.copy(), owner="daemon", group="daemon")
    assert {path.lstat().st_uid for path in [site.path, *site.path.rglob("*")]} == {1}
    assert (site.path / "plain").stat().st_mode & 0o7777 == 0o4751
