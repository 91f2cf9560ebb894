# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kill -9 at random moments of copy, activation and restoration.

CHAOS=full: 60 kills at work each, else a sample; CHAOS_SEED repeats one. Every test prints its figures.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._tree import backup, release, snapshot, system

from tests.support.store import endpoint

AT_WORK: list[bool] = []
"""Whether each kill of the test found its process at work."""
TIMES = 60 if os.environ.get("CHAOS") == "full" else 6
SEED = int(os.environ.get("CHAOS_SEED", "20261128"))
WORKER = """
import sys, json
from ansible_collections.dihya.migration.plugins.module_utils._tree import backup, release, snapshot
print("ready", flush=True)
work = json.loads(sys.argv[1])
for module, function, options in work:
    module = globals()[module]
    getattr(module, function)(module.Request(**options))
print("done", flush=True)
"""


@pytest.fixture(name="figures", autouse=True)
def fixture_figures(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Prints the figures of each test."""
    AT_WORK.clear()
    yield
    with capsys.disabled():
        sys.stdout.write(f"\n{request.node.name}: {sum(AT_WORK)} kills at work of {len(AT_WORK)}, seed {SEED}\n")


def make_tree(root: pathlib.Path, word: str, number: int = 200) -> pathlib.Path:
    for index in range(number):
        directory = root / f"d{index % 20}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{index}").write_text(word * 500)
    (root / "index.html").write_text(word)
    return root


def whole(root: pathlib.Path) -> dict[str, str]:
    """What every file of a tree holds, but for what a release says of itself."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".release"))
    return {str(path.relative_to(root)): path.read_text() for path in files}


def killed(moment: float, work: list) -> float | None:
    """Run the work in a process of its own and kill it after so many seconds; the seconds it took when it was too quick."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    argv = [sys.executable, "-c", WORKER, json.dumps(work)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        started = time.monotonic()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            AT_WORK.append(True)
            return None
        AT_WORK.append(False)
        assert process.returncode == 0
        return time.monotonic() - started


def moments(work: list, times: int = TIMES, prepare: Callable[[], object] = lambda: None) -> Iterator[float]:
    """Random moments over the whole of what the work takes when it is left alone, until so many kills found it at work.

    What is to be done is made by ``prepare`` before each.
    """
    took = min(alone(work, prepare) for _run in range(3))  # one that was held up tells moments at which another is over
    source = random.Random(SEED)
    while sum(AT_WORK) < times:
        assert len(AT_WORK) < 20 * times, "the work is too quick to be killed"
        prepare()
        yield source.uniform(0, took * 1.05)


def alone(work: list, prepare: Callable[[], object]) -> float:
    """Seconds that the work takes when nobody kills it."""
    prepare()
    took = killed(60, work)
    assert took is not None and not AT_WORK.pop()
    return took


def without_orphans(base: pathlib.Path) -> None:
    """Wait for children of the killed process, which end by themselves between two files; a dying one has locks longer than a name."""
    for _turn in range(600):
        living = [p for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and str(base).encode() in command_line(p)]
        locks = [system.try_lock(os.fsencode(stage)) for stage in base.rglob(".partial-*") if stage.is_dir()]
        for lock in locks:
            if lock is not None:
                os.close(lock)
        if not living and None not in locks:
            return
        time.sleep(0.05)
    pytest.fail("a worker outlived its parent")


def command_line(process: pathlib.Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_killed_copy_leaves_no_half_copy_and_a_rerun_completes(tmp_path: pathlib.Path) -> None:
    source, dest = make_tree(tmp_path / "site", "x"), tmp_path / "backup"
    options: dict[str, Any] = {"src": str(source), "dest": str(dest), "reuse": False, "keep": 3}
    for moment in moments([["backup", "build_copy", options]]):
        killed(moment, [["backup", "build_copy", options]])
        without_orphans(tmp_path)
        for name in os.listdir(dest):
            if not name.startswith("."):
                assert _manifest.damaged_files(str(dest / name), _manifest.read_manifest(str(dest / name), "tree")["files"]) == []
        assert backup.build_copy(backup.Request(**options))["changed"]
        assert not [name for name in os.listdir(dest) if name.startswith(".")]


def test_killed_upload_leaves_nothing_that_looks_complete_and_a_rerun_completes(tmp_path: pathlib.Path,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_tree(tmp_path / "site", "x")
    (source / "film").write_bytes(os.urandom(20 << 20))  # three parts
    with endpoint(tmp_path) as server:
        monkeypatch.setenv("PATH", server.path())
        store = server.another(tmp_path)
        options: dict[str, Any] = {"src": str(source), "name": "site", "buckets": store.options(), "reuse": False, "keep": 2}
        for number, moment in enumerate(moments([["backup", "build_copy", options]], max(3, TIMES - 3))):
            killed(moment, [["backup", "build_copy", options]])
            without_orphans(tmp_path / "site")
            complete = [path.parent.name for path in store.bucket.rglob("manifest.json")]
            for name in complete[-1:]:
                back = store.fetch(name, tmp_path / f"back{number}")
                assert _manifest.damaged_files(str(back), _manifest.read_manifest(str(back), "tree")["files"]) == []
            made = backup.build_copy(backup.Request(**options))
            assert made["buckets"][0]["changed"] and made["warnings"] == []
            assert all((path / "manifest.json").exists() for path in store.bucket.iterdir() if os.listdir(path))


def test_killed_activation_leaves_the_old_or_the_new_release_whole(tmp_path: pathlib.Path) -> None:
    app = tmp_path / "app"
    for word in ("old", "new"):
        make_tree(tmp_path / word, word, 20)
        release.release(release.Request(str(app), "present", word, src=str(tmp_path / word)))
    release.release(release.Request(str(app), "activated", "old"))
    forth = {"path": str(app), "state": "activated", "name": "new"}
    work = [["release", "release", forth], ["release", "release", dict(forth, name="old")]] * 10
    for moment in moments(work):
        killed(moment, work)
        link = os.readlink(app / "current")
        word = link.removeprefix("releases/")
        assert word in ("old", "new") and whole(app / "current") == whole(tmp_path / word)
        other = {"old": "new", "new": "old"}[word]
        assert release.release(release.Request(str(app), "activated", other))["previous"] == word
        assert sorted(os.listdir(app)) == [".releases.json", "current", "releases"]


def test_killed_staging_is_never_a_release_and_a_rerun_completes(tmp_path: pathlib.Path) -> None:
    app = tmp_path / "app"
    source = make_tree(tmp_path / "new", "new")
    stage: dict[str, Any] = {"path": str(app), "state": "present", "name": "new", "src": str(source)}
    for moment in moments([["release", "release", stage]], prepare=lambda: release.release(release.Request(str(app), "absent", "new"))):
        killed(moment, [["release", "release", stage]])
        without_orphans(tmp_path)
        marker = app / "releases/new/.release.json"
        assert (app / "releases/new").exists() == marker.exists()
        result = release.release(release.Request(**stage))
        assert result["files"] == 201 and sorted(os.listdir(app / "releases")) == ["new"]


def test_killed_restoration_leaves_the_old_or_the_new_path_whole(tmp_path: pathlib.Path) -> None:
    place, store = tmp_path / "etc/app", str(tmp_path / "snapshots")
    make_tree(place, "kept")
    snapshot.snapshot(snapshot.Request(store, "s", "present", [str(place)]))
    spare = make_tree(tmp_path / "spoiled", "spoiled", 100)
    restore = [["snapshot", "snapshot", {"dir": store, "name": "s", "state": "restored"}]]

    def spoil() -> None:
        subprocess.run(["rm", "-rf", str(place)], check=True)
        subprocess.run(["cp", "-a", str(spare), str(place)], check=True)
    for moment in moments(restore, prepare=spoil):
        killed(moment, restore)
        without_orphans(tmp_path)
        words = {path.read_text()[:4] for path in place.rglob("*") if path.is_file()}
        number = sum(path.is_file() for path in place.rglob("*"))
        assert (words, number) in (({"kept"}, 201), ({"spoi"}, 101))
        snapshot.snapshot(snapshot.Request(store, "s", "restored"))
        assert not snapshot.snapshot(snapshot.Request(store, "s", "restored"))["changed"]
        assert os.listdir(place.parent) == ["app"]
