# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site in a bucket, by a real S3 endpoint and the real rclone: put, proved, and taken back exactly."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._bucket import objects, release
from ansible_collections.dihya.migration.plugins.module_utils._bucket.record import Request
from ansible_collections.dihya.migration.plugins.module_utils._bucket.store import OLDEST, Store
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._transport.bucket import Bucket

from tests.support.store import Store as S3

SCRIPT, OLD_SCRIPT = "assets/app-4f2a91c0.js", "assets/app-11aa22bb.js"
WORKER = """
import json, sys
from ansible_collections.dihya.migration.plugins.module_utils._bucket import release
from ansible_collections.dihya.migration.plugins.module_utils._bucket.record import Request
print("ready", flush=True)
release.bucket_release(Request(**json.loads(sys.argv[1])))
"""


def write(root: pathlib.Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


class Website:
    """A build here and a site in a bucket."""

    def __init__(self, root: pathlib.Path, store: S3) -> None:
        self.root, self.store = root, store
        self.build = root / "build"
        write(self.build, {"index.html": "<p>new", SCRIPT: "new script", "sw.js": "worker", "a b é.txt": "words"})

    def serve(self, **files: str) -> dict[str, Any]:
        """Fill the bucket as another tool does: with headers of its own; what it holds then."""
        headers = [f"--header-upload={one}" for one in ("Cache-Control: max-age=60", "Content-Type: text/x-old", "x-amz-meta-by: hand")]
        with tempfile.TemporaryDirectory() as directory:
            write(pathlib.Path(directory), files)
            subprocess.run(["rclone", f"--config={self.store.config}", *headers, "copy", "--no-check-dest", directory, self.store.remote],
                           check=True)
        return self.held()

    def held(self) -> dict[str, Any]:
        """What the bucket holds, by rclone alone: bytes and headers."""
        told = subprocess.run(["rclone", f"--config={self.store.config}", "lsjson", "-R", "-M", "--files-only", self.store.remote],
                              capture_output=True, check=True).stdout
        return {one["Path"]: ((self.store.bucket / one["Path"]).read_text(),
                              {name: value for name, value in one["Metadata"].items() if name not in ("btime", "mtime", "tier")})
                for one in json.loads(told)}

    def options(self, state: str, **given: Any) -> dict[str, Any]:
        return {"bucket": self.store.options()[0], "name": "two", "state": state, "record_file": str(self.root / "work/bucket.json"),
                "dest": str(self.root / "backup"), "src": str(self.build), "assets": ["assets"], **given}

    def do(self, state: str, **given: Any) -> dict[str, Any]:
        return release.bucket_release(Request(**self.options(state, **given)))


@pytest.fixture
def site(tmp_path: pathlib.Path, s3: S3) -> Website:
    """A build that is not in its bucket yet."""
    return Website(tmp_path, s3)


def test_a_new_site_is_put_with_its_headers_and_what_others_do_to_it_is_seen(site: Website) -> None:
    looked = site.do("probed")
    assert looked["findings"] == [] and os.listdir(site.store.bucket) == []  # the trial is gone
    assert looked["journal"]["identities"] == [f"bucket {site.store.name} at 127.0.0.1:{site.store.port}"]
    site.do("saved")
    done = site.do("present")
    held = site.held()
    assert {key: content for key, (content, _headers) in held.items()} == {
        str(path.relative_to(site.build)): path.read_text() for path in site.build.rglob("*") if path.is_file()}
    assert held[SCRIPT][1] == {"content-type": "text/javascript; charset=utf-8", "cache-control": objects.FOR_GOOD}
    assert held["index.html"][1] == {"content-type": "text/html; charset=utf-8", "cache-control": "no-cache"}
    assert (done["changed"], done["put"], done["files"]) == (True, 4, 4)
    again = [site.do(state) for state in ("saved", "activated")]
    assert [one["changed"] for one in again] == [False] * 2 and again[1]["sha256"] == done["sha256"]
    assert site.do("probed", check_mode=True)["findings"] == []  # what is there is ours
    site.serve(**{SCRIPT: "new script"})  # the same bytes, sent by hand
    assert site.do("activated")["put"] == 1 and site.held() == held
    site.serve(upload="of somebody")
    with pytest.raises(MigrationError, match=r"changed since it was saved \(upload\)"):
        site.do("activated")
    back = site.do("rolled_back")
    assert set(site.held()) == {"upload"} and "upload" in back["journal"]["not_proved"][0]


def test_a_public_bucket_shows_nothing_new_before_it_is_activated_and_comes_back_exactly(site: Website) -> None:
    was = site.serve(**{"index.html": "<p>old", OLD_SCRIPT: "old script", "old.html": "old page", "a b é.txt": "words"})
    (site.root / "backup").mkdir()
    assert "it is not said whether users see them" in site.do("probed")["findings"][0]["finding"]
    saved = site.do("saved")
    assert saved["files"] == 4 and saved["journal"]["proofs"]
    given = {"public": True, "remove_others": True}
    site.do("present", **given)
    held = site.held()
    assert held == {**was, SCRIPT: held[SCRIPT]} and SCRIPT not in was
    assert site.do("present", **given)["changed"] is False
    planned = site.do("activated", check_mode=True, **given)
    done = site.do("activated", **given)
    assert (done["put"], done["removed"]) == (planned["put"], planned["removed"]) == (3, 1)
    held = site.held()
    assert set(held) == {"index.html", OLD_SCRIPT, SCRIPT, "sw.js", "a b é.txt"} and held["index.html"][0] == "<p>new"
    assert held[OLD_SCRIPT] == was[OLD_SCRIPT]
    back = site.do("rolled_back")
    assert back["changed"] and site.held() == was
    assert site.do("rolled_back")["changed"] is False


def test_pages_are_not_put_when_what_they_load_did_not_arrive(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {**site.store.options()[0], "remote": f"{site.store.remote}/www/page"}
    site.do("saved", bucket=place)
    real = Store.put

    def rot(self: Store, *arguments: Any) -> None:
        real(self, *arguments)
        (site.store.bucket / "www/page" / SCRIPT).write_text("NEW SCRIPT")
    monkeypatch.setattr(Store, "put", rot)
    with pytest.raises(MigrationError, match="does not hold what was sent to it"):
        site.do("activated", bucket=place)
    monkeypatch.setattr(Store, "put", real)
    assert not (site.store.bucket / "www/page/index.html").exists() and len(site.held()) == 2
    site.do("rolled_back", bucket=place)
    assert site.held() == {}


def test_a_killed_upload_shows_no_page_goes_on_and_comes_back_from_a_sound_copy_alone(site: Website) -> None:
    was = site.serve(**{"index.html": "<p>old"})
    copy = pathlib.Path(site.do("saved")["path"]) / "tree/index.html"
    write(site.build, {f"assets/part{number}-4f2a91c{number % 10}.js": "x" * 500_000 for number in range(50)})
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    with subprocess.Popen([sys.executable, "-c", WORKER, json.dumps(site.options("activated"))], env=environment,
                          stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 20
        while not list(site.store.bucket.glob("assets/*")) and time.monotonic() < until:
            time.sleep(0.002)
        process.kill()
    assert (site.store.bucket / "index.html").read_text() == "<p>old"
    assert site.do("rolled_back", check_mode=True)["removed"] > 0  # it is known whose they are
    site.do("activated")
    held = site.held()
    assert len(held) == 54 and held["index.html"][0] == "<p>new"
    copy.write_text("<p>OLD")
    with pytest.raises(MigrationError, match="is damaged"):
        site.do("rolled_back")
    assert (site.store.bucket / "index.html").read_text() == "<p>new"
    copy.write_text("<p>old")
    site.do("rolled_back")
    assert site.held() == was


def test_everything_that_stands_against_it_is_found_at_once_and_no_secret_is_told(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    site.serve(**{"index.html": "<p>old"})
    place = site.store.options()[0]
    found = site.do("probed", apart_from=[f"{place['remote']}/backups"], assets=[], check_mode=True)
    assert [one["blocking"] for one in found["findings"]] == [True, True, False] and found["journal"]["not_proved"]
    monkeypatch.setattr(Bucket, "version", lambda self: (1, 53))
    assert f"{OLDEST[0]}.{OLDEST[1]}" in site.do("probed")["findings"][0]["remedy"]
    monkeypatch.undo()
    monkeypatch.setenv("PATH", site.store.path())
    monkeypatch.setattr(Store, "try_it", lambda self: "cache-control")
    assert "does not keep these headers" in site.do("probed", public=True)["findings"][0]["finding"]
    for wrong in ({"remote": "store:nothing-there"}, {"remote": "elsewhere:x"}, {"config": "/nowhere"}):
        told = site.do("probed", bucket={**place, **wrong})["findings"]
        assert len(told) == 1 and site.store.secret not in json.dumps(told)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "rclone was not found" in site.do("probed")["findings"][0]["finding"]


@pytest.mark.parametrize("spoil, said", [
    (lambda build: (build / "link").symlink_to("index.html"), "the build has links"),
    (lambda build: (build / "new\nline").write_text("x"), "no object can have"),
])
def test_a_build_that_a_bucket_cannot_hold_is_refused(site: Website, spoil: Any, said: str) -> None:
    site.do("saved")
    spoil(site.build)
    with pytest.raises(MigrationError, match=said):
        site.do("present")
    assert site.held() == {}
