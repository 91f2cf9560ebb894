# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Uploaded files travel with the role backend: in two passes, proved equal, watched until the commit, taken back exactly."""

from __future__ import annotations

import pathlib
import shutil
import sys

import pytest

from dev.testing.turns import in_turn
from tests.support.proxies import unused_ports
from tests.support.site import SITE, empty_database
from tests.support.verbs import CANARY, Verbs

VENV = pathlib.Path(sys.executable).parent.parent
BEFORE, AFTER = ["backend preflight", "backend backup"], [
    "backend probe backup", "backend migrate", "backend migrate", "backend verify", "backend commit"]


def tree(root: pathlib.Path) -> dict[str, bytes | None]:
    """Every name below ``root``, with the bytes of its files."""
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


class Media(Verbs):
    """A Flask application whose users upload pictures and avatars, on one machine that is mover, old and new site."""

    def __init__(self, root: pathlib.Path, port: int) -> None:
        super().__init__(root, port)
        shutil.copytree(SITE, root / "api")
        self.uploads, self.avatars = root / "live" / "uploads", root / "live" / "avatars"
        self.target, self.second = root / "new" / "api" / "shared" / "uploads", root / "disk" / "avatars"
        for name, text in (("a.jpg", "first"), ("b/c.jpg", "second"), ("b/gone.jpg", "third")):
            (self.uploads / name).parent.mkdir(parents=True, exist_ok=True)
            (self.uploads / name).write_text(text)
        self.avatars.mkdir()
        (self.avatars / "me.png").write_text("avatar")
        self.second.mkdir(parents=True)
        empty_database(root / "app.db")

    def variables(self, release: str) -> dict:
        return {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run",
            "migration_backup_dir": str(self.root / "backup"), "migration_work_dir": str(self.root / "work"),
            "migration_backup_copies": [{"path": str(self.root / "second")}],
            "backend_source_path": str(self.root / "api"), "backend_release_path": str(self.root / "api"),
            "backend_release_name": release, "backend_path": str(self.root / "new" / "api"), "backend_venv": str(VENV),
            "backend_environment": {"DATABASE_URL": f"sqlite:///{self.root}/app.db", "SECRET": CANARY}, "backend_migrate": False,
            "backend_command": ["gunicorn", "--bind", f"127.0.0.1:{self.port}", "app:app"], "backend_port": self.port,
            "backend_health_timeout": 20, "backend_shared": ["uploads/"],
            "backend_media_paths": [{"path": str(self.uploads)}, {"path": f"{self.avatars}/", "target": str(self.second)}],
        }

    def left_behind(self) -> list[str]:
        """What lies beside the places of media, and records of them."""
        places = [*self.target.parent.glob(".dihya-*"), *self.second.parent.glob(".dihya-*"), *(self.root / "work").glob("media/*")]
        return [path.name for path in [*places, *(self.root / "work").glob("snapshots/backend-media-*")]]


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """The application after a whole migration, during which users went on uploading until the freeze."""
    world = Media(tmp_path_factory.mktemp("media"), *unused_ports(1))
    world.before = world.run(BEFORE)
    world.early = tree(world.target) if world.target.exists() else {}
    if world.before.rc == 0:
        (world.uploads / "b" / "new.jpg").write_text("uploaded between the passes")
        (world.uploads / "a.jpg").write_text("FIRST")
        (world.uploads / "b" / "gone.jpg").unlink()
        world.after = world.run(AFTER)
    yield world
    world.stop("api")


def test_what_was_uploaded_between_the_passes_arrives_and_all_is_proved_equal(moved):
    assert moved.before.rc == 0, moved.before.output[-4000:]
    assert moved.early == {}  # nothing is public before the freeze
    first = moved.handed_over("backend backup", "mover")["facts"]
    assert first["counts"]["uploads"] == 4 and "uploaded files: 4 files, 22 bytes copied while users go on" in first["summary"]
    assert len(list((moved.root / "second" / "shop").glob("media-*"))) == 2
    assert moved.after.rc == 0, moved.after.output[-4000:]
    assert tree(moved.target) == tree(moved.uploads) and tree(moved.second) == tree(moved.avatars)
    passes = [[row["facts"] for row in moved.rows if (row["step"], row["host"]) == ("backend migrate", host)]
              for host in ("mover", "new", "old")]
    (mover, new, old), again = zip(*passes)
    assert not any(facts["changed"] for facts in again)
    assert [mover["counts"][f"uploads_{name}"] for name in ("added", "changed", "removed")] == [1, 1, 1]
    assert list(mover["digests"].values()) == [new["digests"][str(place)] for place in (moved.target, moved.second)]
    assert "are in place, read again from the disk and equal to those of the source" in new["summary"]
    assert "nothing was written while they were copied" in old["summary"]
    assert "nothing was written since they were copied" in moved.handed_over("backend commit", "old")["facts"]["summary"]
    assert not [name for name in moved.left_behind() if name.startswith(".dihya")]


@in_turn(0, of=2)
def test_upload_after_the_second_pass_stops_the_commit_and_everything_comes_back(moved):
    back = moved.run(["backend rollback"])
    assert back.rc == 0 and moved.left_behind() == [], back.output[-3000:]
    assert not moved.target.exists() and list(moved.second.iterdir()) == []
    (moved.second / "kept.png").write_text("was there before")
    ready = moved.run(["backend backup", "backend migrate", "backend verify"], backend_media_overwrite=True)
    assert ready.rc == 0 and tree(moved.second) == tree(moved.avatars), ready.output[-4000:]
    (moved.uploads / "b" / "late.jpg").write_text("the freeze has a hole")
    stopped = moved.run(["backend commit"], then=["backend rollback"], backend_media_overwrite=True)
    assert stopped.rc == 2 and "ended by Prove that nothing was uploaded since it was copied" in stopped.output, stopped.output[-4000:]
    assert "was written to after it was copied (b, b/late.jpg)" in stopped.output
    assert not moved.target.exists() and tree(moved.second) == {"kept.png": b"was there before"}
    assert moved.left_behind() == []


def test_preflight_finds_everything_that_would_stop_uploaded_files(tmp_path):
    fresh = Media(tmp_path, *unused_ports(1))
    fresh.target.mkdir(parents=True)
    (fresh.target / "theirs").write_text("not ours")
    looked = fresh.run(["backend preflight"], arguments=["--check"], backend_strategy="rolling", backend_media_paths=[
        {"path": str(fresh.uploads)}, {"path": "/no/such", "target": str(fresh.root / "nowhere" / "x")},
        {"path": str(fresh.uploads / "b"), "target": str(fresh.root / "new" / "api" / "releases" / "one")}])
    assert looked.rc == 0, looked.output[-4000:]
    found = {(row["subject"], row["finding"]) for seen in fresh.seen.values() for row in seen["findings"]}
    nowhere = fresh.root / "nowhere"
    assert found >= {
        ("backend_strategy", "the live release uses its uploaded files while they would be replaced"),
        ("backend_media_paths[0].target", f"{fresh.target} holds something already"),
        ("backend_media_paths[1].path", "/no/such is no directory on this host"),
        ("backend_media_paths[1].target", f"{nowhere} is no directory that this user may write"),
        ("backend_media_paths[2].path", f"it lies inside {fresh.uploads}, which is moved as well"),
        ("backend_media_paths[2].target", "it lies inside a release, which never changes"),
    }
