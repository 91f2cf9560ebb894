# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases on a real file system."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app.inspect import inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import system
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request as Copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import build_copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.release import Request, release

from tests.support.durable import watched
from tests.support.needs import require_root
from tests.support.tmpfs import tmpfs

from .conftest import facts, make_files, never_missing


@pytest.fixture
def app(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "app"


def build(tmp_path: pathlib.Path, name: str) -> pathlib.Path:
    source = tmp_path / f"build-{name}"
    (source / "assets").mkdir(parents=True)
    (source / "index.html").write_text(name)
    (source / "assets/app.js").write_text(name * 100)
    return source


def do(app: pathlib.Path, state: str, name: str | None = None, **options: Any) -> dict:
    return release(Request(str(app), state, name, **options))


def stage(app: pathlib.Path, name: str, **options: Any) -> dict:
    return do(app, "present", name, src=str(build(app.parent, name)), **options)


def served(app: pathlib.Path) -> str | None:
    return (app / "current/index.html").read_text() if os.path.lexists(app / "current") else None


def test_the_life_of_releases(app: pathlib.Path) -> None:
    first = stage(app, "1")
    assert first["changed"] and served(app) is None and first["current"] is None
    assert first["journal"]["created"][0]["identity"] == "{device}:{inode}".format(**first["identity"])
    assert do(app, "activated", "1")["previous"] is None and served(app) == "1"
    stage(app, "2")
    done = do(app, "activated", "2")
    assert (done["current"], done["previous"], served(app)) == ("2", "1", "2")
    again, look = do(app, "activated", "2"), Look("readable", "src", str(app.parent / "build-2"), [], 0, None, None, {}, digest=True)
    assert not again["changed"] and not inspect([look]) and again["sha256"] == look.facts["sha256"]
    back = do(app, "rolled_back", "2")
    assert (back["current"], back["removed"], served(app)) == ("1", ["2"], "1")
    assert not (app / "releases/2").exists() and not do(app, "rolled_back", "2")["changed"]
    assert do(app, "rolled_back", "1")["current"] is None
    assert served(app) is None and sorted(os.listdir(app)) == [".releases.json", "releases"]
    assert os.listdir(app / "releases") == []


def test_results_never_list_a_whole_tree(app: pathlib.Path) -> None:
    source = make_files(app.parent / "many", 2_000)
    for check_mode in (True, False):
        made = do(app, "present", "many", src=str(source), check_mode=check_mode)
        assert made["changed"] and len(json.dumps(made)) < 8_000
    assert made["files"] == 2_000
    assert len(json.dumps(do(app, "activated", "many"))) < 8_000 and len(json.dumps(do(app, "rolled_back", "many"))) < 8_000


def test_one_task_stages_and_activates(app: pathlib.Path) -> None:
    source = str(build(app.parent, "1"))
    planned = do(app, "activated", "1", src=source, check_mode=True)
    assert planned["changed"] and planned["current"] is None and not app.exists()
    done = do(app, "activated", "1", src=source)
    assert (done["current"], served(app), done["files"]) == ("1", "1", 2)
    assert done["journal"]["created"] and done["journal"]["counts"]["files"] == 2
    assert not do(app, "activated", "1", src=source)["changed"]
    assert do(app, "rolled_back", "1")["current"] is None and served(app) is None


def test_staging_again_changes_nothing_and_another_tree_is_refused(app: pathlib.Path) -> None:
    stage(app, "1")
    again = do(app, "present", "1", src=str(app.parent / "build-1"))
    assert not again["changed"] and again["files"] == 2
    (app / "releases/1/.venv").mkdir()  # what a role builds inside a release is not part of the tree that was put in
    assert not do(app, "present", "1", src=str(app.parent / "build-1"))["changed"]
    (app.parent / "build-1/index.html").write_text("x")
    with pytest.raises(MigrationError, match="another tree"):
        do(app, "present", "1", src=str(app.parent / "build-1"))


def test_release_is_the_tree_exactly(app: pathlib.Path, hard_tree: pathlib.Path) -> None:
    do(app, "present", "1", src=str(hard_tree))
    found = facts(app / "releases/1")
    own = {name: found.pop(name) for name in (b".release.json", b".release-manifest.json")}
    assert {mode for mode, *_rest in own.values()} == {"0o100600"}
    expected = facts(hard_tree)
    found.pop(b"."), expected.pop(b".")
    assert found == expected


def test_shared_paths_are_links_that_survive_a_move(app: pathlib.Path) -> None:
    (app / "shared/config").mkdir(parents=True)
    (app / "shared/config/app.env").write_text("secret")
    stage(app, "1", shared={"conf/.env": "config/app.env", "uploads": "uploads/"})
    assert (app / "releases/1/conf/.env").read_text() == "secret" and (app / "releases/1/uploads").is_dir()
    app.rename(app.parent / "moved")
    assert (app.parent / "moved/releases/1/conf/.env").read_text() == "secret"


def test_shared_directory_that_a_release_made_goes_with_the_last_one_that_leads_there_when_it_is_empty(app: pathlib.Path) -> None:
    (app / "shared/mine").mkdir(parents=True)
    for name in ("1", "2"):
        stage(app, name, shared=["uploads/", "cache/", "mine/"])
    do(app, "absent", "1")
    assert sorted(os.listdir(app / "shared")) == ["cache", "mine", "uploads"]  # made by 1, led to by 2
    stage(app, "3", shared=["other/", "full/"])
    (app / "shared/full/a").write_text("somebody's")
    do(app, "absent", "3")
    assert sorted(os.listdir(app / "shared")) == ["cache", "full", "mine", "uploads"]


@pytest.mark.parametrize("shared, said", [
    ([".env"], "lacks .env"), (["index.html"], "itself"), (["index.html/x/"], "itself"), (["../x"], "relative"),
])
def test_impossible_shared_paths_are_refused_before_anything_is_written(app: pathlib.Path, shared: list[str], said: str) -> None:
    with pytest.raises(MigrationError, match=said):
        stage(app, "1", shared=shared)
    assert not app.exists()


def test_failed_release_is_kept_marked_and_never_activated_again(app: pathlib.Path) -> None:
    stage(app, "1"), do(app, "activated", "1"), stage(app, "2"), do(app, "activated", "2")
    assert do(app, "rolled_back", "2", keep_failed=True)["removed"] == []
    assert (app / "releases/2").exists() and served(app) == "1"
    with pytest.raises(MigrationError, match="failed before"):
        do(app, "activated", "2")
    stage(app, "3"), stage(app, "4")
    assert do(app, "pruned", keep=1)["removed"] == ["3", "4"]
    assert sorted(os.listdir(app / "releases")) == ["1", "2"]
    assert do(app, "absent", "2")["changed"] and not (app / "releases/2").exists()


def test_rollback_brings_back_a_link_that_was_not_ours(app: pathlib.Path) -> None:
    app.mkdir()
    (app.parent / "old").mkdir()
    (app / "current").symlink_to(app.parent / "old")
    stage(app, "1")
    assert do(app, "activated", "1")["previous"] == str(app.parent / "old")
    do(app, "rolled_back", "1")
    assert os.readlink(app / "current") == str(app.parent / "old")


def test_what_we_did_not_make_is_neither_removed_nor_activated(app: pathlib.Path) -> None:
    stage(app, "1")
    (app / "releases/mine").mkdir()
    for state in ("absent", "activated", "present"):
        with pytest.raises(MigrationError):
            do(app, state, "mine", src=str(app.parent / "build-1"))
    assert not do(app, "rolled_back", "mine")["changed"]
    assert do(app, "pruned", keep=1)["removed"] == [] and (app / "releases/mine").exists()


def test_current_that_is_a_directory_is_refused(app: pathlib.Path) -> None:
    stage(app, "1")
    (app / "current").mkdir()
    with pytest.raises(MigrationError, match="is not a link"):
        do(app, "activated", "1")


@pytest.mark.parametrize("name", ["a/b", "..", "../x", "", ".hidden", "a..b", "-x", "x\ny"])
def test_bad_names_are_refused(app: pathlib.Path, name: str) -> None:
    with pytest.raises(MigrationError, match="name must be"):
        stage_source = app.parent
        do(app, "present", name, src=str(stage_source))


@pytest.mark.parametrize("make, said", [(lambda p: None, "missing"), (lambda p: p.mkdir(), "was it built")])
def test_source_without_a_build_is_refused(app: pathlib.Path, make: Callable[[pathlib.Path], Any], said: str) -> None:
    make(app.parent / "dist")
    with pytest.raises(MigrationError, match=said):
        do(app, "present", "1", src=str(app.parent / "dist"))
    assert not app.exists()


def test_check_mode_changes_nothing(app: pathlib.Path) -> None:
    assert stage(app, "1", check_mode=True)["changed"] and not app.exists()
    do(app, "present", "1", src=str(app.parent / "build-1"))
    done = do(app, "activated", "1", check_mode=True)
    assert done["changed"] and served(app) is None and "releases/1" in done["diff"]["after"]
    do(app, "activated", "1")
    assert do(app, "rolled_back", "1", check_mode=True)["removed"] == ["1"] and served(app) == "1"


def test_abandoned_staging_is_cleaned_and_a_living_one_is_not(app: pathlib.Path) -> None:
    from ansible_collections.dihya.migration.plugins.module_utils._tree.system import Stage
    (app / "releases/.partial-release-dead").mkdir(parents=True)
    living = Stage(os.fsencode(app / "releases"), b"release")
    stage(app, "1")
    assert sorted(os.listdir(app / "releases")) == [os.fsdecode(os.path.basename(living.path)), "1"]
    living.close()


def test_two_activations_at_once_leave_one_whole_and_a_true_record(app: pathlib.Path) -> None:
    for name in "123":
        stage(app, name)
    do(app, "activated", "1")
    threads = [threading.Thread(target=do, args=(app, "activated", name)) for name in "2323"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = served(app)
    assert now in ("2", "3")
    other = {"2": "3", "3": "2"}[now]
    assert do(app, "rolled_back", now)["current"] == other == served(app)


def test_switch_does_not_depend_on_size(app: pathlib.Path) -> None:
    for name, number in (("small", 2), ("large", 1000)):
        source = app.parent / name
        source.mkdir()
        for index in range(number):
            (source / f"f{index}").write_text("x")
        do(app, "present", name, src=str(source))
    seen: dict[str, list[float]] = {"small": [], "large": []}
    for _turn in range(10):
        for name, times in seen.items():
            times.append(do(app, "activated", name)["switch_duration"])
    # Never an absolute time here: the same work for hundreds of times as many files.
    assert min(seen["large"]) < 5 * min(seen["small"]) + 0.001


def test_assets_of_the_page_before_stay_for_one_generation(app: pathlib.Path) -> None:
    for name in "123":
        source = build(app.parent, name)
        (source / "assets/app.js").rename(source / f"assets/app-{name}.js")
        (source / "assets/deep").mkdir()
        (source / f"assets/deep/part-{name}.js").write_text(name)
        (source / f"page-{name}.html").write_text(name)
        result = do(app, "activated", name, src=str(source), keep_assets=["assets/"])
        assert not do(app, "present", name, src=str(source), keep_assets=["assets/"])["changed"]
    assert result["inherited"] == 2 and result["files"] == 4
    new = app / "current"
    assert sorted(path.name for path in new.rglob("*.js")) == ["app-2.js", "app-3.js", "part-2.js", "part-3.js"]
    assert not (new / "page-2.html").exists() and (new / "assets/app-2.js").read_text() == "2" * 100
    do(app, "rolled_back", "3")
    assert (new / "assets/app-2.js").exists()


def test_assets_of_a_live_build_elsewhere_are_kept_from_the_copy_of_it(app: pathlib.Path) -> None:
    live = build(app.parent, "live")
    (live / "assets/app.js").rename(live / "assets/app-live.js")
    (live / "assets/lazy.js").write_text("lazy")
    copy = pathlib.Path(build_copy(Copy(str(live), str(app.parent / "backup")))["path"])
    result = do(app, "activated", "1", src=str(build(app.parent, "1")), keep_assets=["assets"], assets_from=str(copy))
    new = app / "current/assets"
    assert result["inherited"] == result["journal"]["counts"]["inherited"] == 2 and (new / "lazy.js").read_text() == "lazy"
    assert not os.path.samefile(new / "lazy.js", copy / "tree/assets/lazy.js")  # nothing that happens to the one happens to the other
    (copy / "tree/assets/lazy.js").write_text("damaged")
    result = do(app, "activated", "2", src=str(build(app.parent, "2")), keep_assets=["assets"], assets_from=str(copy))
    # Those that the active release kept are one generation too old, but a page of the live build may still ask for them.
    assert "assets of the live build were changed and are not kept: assets/lazy.js" in result["warnings"]
    assert sorted(os.listdir(new)) == ["app-live.js", "app.js"]


def test_asset_that_somebody_edited_is_not_kept(app: pathlib.Path) -> None:
    do(app, "activated", "1", src=str(build(app.parent, "1")))
    (app / "releases/1/assets/app.js").write_text("edited")
    (build(app.parent, "2") / "assets/app.js").unlink()
    result = do(app, "activated", "2", src=str(app.parent / "build-2"), keep_assets=["assets"])
    assert "app.js" in result["warnings"][0] and not (app / "current/assets/app.js").exists()
    with pytest.raises(MigrationError, match="keep_assets"):
        do(app, "present", "3", src=str(app.parent / "build-2"), keep_assets=["../x"])


def test_disk_full_is_said_and_leaves_nothing(app: pathlib.Path) -> None:
    app.mkdir()
    source = build(app.parent, "1")
    (source / "film").write_bytes(bytes(8 << 20))
    with tmpfs(app, "size=20m"):
        with pytest.raises(MigrationError, match="bytes free, the copy needs"):
            do(app, "present", "1", src=str(source))
        assert os.listdir(app / "releases") == []


def test_switch_is_durable_when_it_is_told(app: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(app, "1")
    seen = watched(monkeypatch)
    do(app, "activated", "1")
    assert seen[-2:] == [("name", str(app / "current")), ("fsync", str(app))]
    do(app, "rolled_back", "1", keep_failed=True)
    assert seen[seen.index(("gone", str(app / "current"))) + 1] == ("fsync", str(app))
    assert ("name", str(app / ".releases.json")) in seen[:seen.index(("gone", str(app / "current")))]


def test_staged_release_is_durable_when_it_is_told(app: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    stage(app, "1")
    assert seen[-2:] == [("name", str(app / "releases/1")), ("fsync", str(app / "releases"))]


def test_read_only_place_is_refused_and_named(app: pathlib.Path) -> None:
    app.mkdir()
    source = build(app.parent, "1")
    with tmpfs(app, "ro"), pytest.raises(MigrationError, match="cannot be written to: Read-only file system"):
        do(app, "present", "1", src=str(source))


def test_owner_can_be_chosen(app: pathlib.Path) -> None:
    require_root()
    stage(app, "1", owner="nobody", group="daemon")
    status = os.stat(app / "releases/1/assets/app.js")
    assert (status.st_uid, status.st_gid) == (65534, 1) and os.stat(app / "releases/1").st_uid == 65534
    assert stat.S_IMODE(os.stat(app / "releases/1").st_mode) == stat.S_IMODE(os.stat(app.parent / "build-1").st_mode)


def test_shared_directory_belongs_to_who_writes_there(app: pathlib.Path) -> None:
    require_root()
    stage(app, "1", shared=["uploads/"], shared_owner="nobody")
    assert os.stat(app / "shared/uploads").st_uid == 65534 and os.stat(app / "releases/1").st_uid == 0


def test_a_release_of_another_migration_is_refused_and_left_alone_by_a_rollback(app: pathlib.Path) -> None:
    stage(app, "1")
    do(app, "activated", "1")
    stage(app, "2", made_for="march")
    do(app, "activated", "2", made_for="march")
    (app.parent / "build-2").rename(app.parent / "same")
    for state, source in (("present", str(app.parent / "same")), ("activated", None)):
        for name, told in (("1", "1"), ("2", "2")):
            with pytest.raises(MigrationError, match=f"a release {told} is there already"):
                do(app, state, name, src=source, made_for="november")
    back = do(app, "rolled_back", "2", made_for="november")
    assert not back["changed"] and back["ours"] is False and served(app) == "2"
    back = do(app, "rolled_back", "2", made_for="march")
    assert back["changed"] and back["ours"] is True and served(app) == "1"


def test_preflight_finds_a_name_that_stands_for_a_release_of_another_migration(app: pathlib.Path) -> None:
    stage(app, "1", made_for="march")
    (app / "releases/by-hand").mkdir()
    for name, made_for, found in (("1", "march", 0), ("1", "november", 1), ("by-hand", "march", 1), ("2", "march", 0)):
        look = Look("name", "frontend_release_name", name, [], 0, None, None, {}, releases=str(app), made_for=made_for)
        assert len(inspect([look])) == found, (name, made_for)


def test_what_is_pruned_is_out_of_sight_before_another_may_activate_it(app: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "123":
        stage(app, name)
        do(app, "activated", name)
    held: list[bool] = []
    real = system.retired

    def looked(path: bytes, label: bytes) -> system.Stage:
        held.append(system.try_lock(os.fsencode(app)) is None)
        return real(path, label)
    monkeypatch.setattr(system, "retired", looked)
    assert do(app, "pruned", keep=1)["removed"] == ["1"] and held == [True]


def test_a_rollback_removes_what_a_killed_staging_left(app: pathlib.Path) -> None:
    stage(app, "1")
    (app / "releases/.partial-release-dead/deep").mkdir(parents=True)
    do(app, "rolled_back", "2")
    assert os.listdir(app / "releases") == ["1"]


def test_reader_always_finds_a_release_while_it_is_switched(app: pathlib.Path) -> None:
    for name in "12":
        stage(app, name)
    do(app, "activated", "1")
    with never_missing(app / "current/index.html", app.parent / "stop"):
        for turn in range(200):
            assert do(app, "activated", "21"[turn % 2])["changed"]
