# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""build_copy into a bucket, by a real S3 endpoint and the real rclone."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._app.inspect import inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import machine
from ansible_collections.dihya.migration.plugins.module_utils._transport import bucket
from ansible_collections.dihya.migration.plugins.module_utils._tree import bucket_copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request, build_copy

from tests.support.move import Move, Sites
from tests.support.store import Store

from .conftest import facts


def copy(source: pathlib.Path, store: Store, **options: Any) -> dict[str, Any]:
    return build_copy(Request(str(source), **{"name": "site", "buckets": store.options(), **options}))


def sent(result: dict[str, Any]) -> str:
    """The name of the copy in the bucket."""
    return result["buckets"][0]["path"].rpartition("/")[2]


def unfinished(store: Store) -> set[str]:
    """The copies of which the store holds parts of an upload that has not ended."""
    told = subprocess.run(["rclone", f"--config={store.config}", "backend", "list-multipart-uploads", store.remote], check=True,
                          capture_output=True, text=True)
    return {upload["Key"].partition("/")[0] for upload in json.loads(told.stdout)[store.name]}


@pytest.fixture
def site(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small tree."""
    root = tmp_path / "site"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("page")
    (root / "assets/app.js").write_text("script" * 1000)
    return root


def test_what_comes_back_from_the_bucket_is_the_source_exactly(hard_tree: pathlib.Path, tmp_path: pathlib.Path, s3: Store) -> None:
    result = copy(hard_tree, s3, dest=str(tmp_path / "backup"))
    back = s3.fetch(sent(result), tmp_path / "back")
    assert facts(back / "tree") == facts(hard_tree)
    manifest = _manifest.read_manifest(str(back), "tree")
    assert _manifest.damaged_files(str(back), manifest["files"]) == [] and manifest["digest"] == result["sha256"]
    assert [result["journal"]["evidence"][1][name] for name in ("verdict", "elsewhere")] == ["proved", True]
    assert sorted(os.listdir(s3.bucket / sent(result))) == ["manifest.json", "tree.tar"]


def test_source_goes_to_the_bucket_without_a_copy_here(hard_tree: pathlib.Path, tmp_path: pathlib.Path, s3: Store) -> None:
    result = copy(hard_tree, s3)
    assert facts(s3.fetch(sent(result), tmp_path / "back") / "tree") == facts(hard_tree)
    again = copy(hard_tree, s3)
    assert (again["changed"], sent(again), again["sha256"]) == (False, sent(result), result["sha256"])
    (hard_tree / "plain").chmod(0o600)
    assert "differs from the newest copy there: plain" in copy(hard_tree, s3)["buckets"][0]["msg"]


def test_unchanged_copy_stays_and_a_damaged_one_is_found_by_reading_it(site: pathlib.Path, tmp_path: pathlib.Path, s3: Store) -> None:
    first = copy(site, s3, dest=str(tmp_path / "backup"))
    assert copy(site, s3, dest=str(tmp_path / "backup"))["changed"] is False
    stored = s3.bucket / sent(first) / "tree.tar"
    data = bytearray(stored.read_bytes())
    data[3000] ^= 1
    stored.write_bytes(data)
    again = copy(site, s3, dest=str(tmp_path / "backup"))
    assert again["changed"] and sent(again) != sent(first) and "damaged" in again["warnings"][0]


def test_large_archive_goes_in_parts(site: pathlib.Path, tmp_path: pathlib.Path, s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "PART", 5 << 20)
    (site / "film").write_bytes(os.urandom(12 << 20))
    result = copy(site, s3)
    assert facts(s3.fetch(sent(result), tmp_path / "back") / "tree") == facts(site)


def test_bucket_that_keeps_other_bytes_than_it_got_is_refused(site: pathlib.Path, s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bucket.Bucket.digest

    def rot(self: bucket.Bucket, path: str, tick: Any) -> tuple[int, str]:
        stored = s3.bucket / path
        stored.write_bytes(stored.read_bytes().replace(b"script", b"scribe", 1))
        return real(self, path, tick)
    monkeypatch.setattr(bucket.Bucket, "digest", rot)
    with pytest.raises(MigrationError, match="not what was sent"):
        copy(site, s3)
    assert list(s3.bucket.rglob("manifest.json")) == []


@pytest.mark.parametrize("name", ["index.html", "late"])
def test_source_that_changes_while_it_is_sent_is_refused(site: pathlib.Path, s3: Store, monkeypatch: pytest.MonkeyPatch,
                                                         name: str) -> None:
    real = bucket.Bucket.write

    def meddle(self: bucket.Bucket, path: str, data: bytes) -> None:
        real(self, path, data)
        (site / name).write_text("other")
    monkeypatch.setattr(bucket.Bucket, "write", meddle)
    with pytest.raises(MigrationError, match="changed while it was copied"):
        copy(site, s3)
    assert list(s3.bucket.rglob("manifest.json")) == []


def test_keep_counts_in_the_bucket_and_spares_what_is_not_ours(site: pathlib.Path, s3: Store) -> None:
    (s3.bucket / "site_2001-01-01_0000").mkdir()
    (s3.bucket / "site_2001-01-01_0000/note").write_text("mine")
    names = [sent(copy(site, s3, reuse=False, keep=2)) for _number in range(3)]
    assert sorted(os.listdir(s3.bucket)) == sorted(["site_2001-01-01_0000", *names[1:]])


def test_credentials_are_never_seen_in_arguments_or_environment(site: pathlib.Path, s3: Store, recorder: Any,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_S3_SECRET_ACCESS_KEY", s3.secret)
    monkeypatch.setenv("PATH", recorder.path("rclone"))
    result = copy(site, s3)
    calls = recorder.calls("rclone")
    assert len(calls) > 5
    seen = json.dumps([[call.argv, call.environ] for call in calls]) + json.dumps(result)
    assert s3.secret not in seen and base64.b64encode(s3.secret.encode()).decode() not in seen


def test_everything_wrong_with_the_buckets_is_said_at_once_before_anything_is_written(site: pathlib.Path, tmp_path: pathlib.Path,
                                                                                       s3: Store) -> None:
    public = tmp_path / "public.conf"
    public.write_text(s3.config.read_text())
    public.chmod(0o644)
    buckets = [{"remote": f":s3,secret_access_key={s3.secret}:x", "config": str(s3.config)}, {"remote": "store:x", "config": str(public)},
               {"remote": "store:x", "config": "/nowhere"}, {"remote": "other:x", "config": str(s3.config)}]
    with pytest.raises(MigrationError) as refused:
        copy(site, s3, dest=str(tmp_path / "backup"), buckets=buckets)
    assert len(refused.value.facts["findings"]) == 4 and s3.secret not in refused.value.message
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("spoil, said", [
    (lambda store: store.config.write_text(store.config.read_text().replace(store.secret, "wrong")), "does not accept these credentials"),
    (lambda store: store.bucket.rmdir(), "no such bucket"),
    (lambda store: store.config.write_text(store.config.read_text().replace(f":{store.port}", ":9")), "nothing listens there"),
])
def test_bucket_out_of_reach_is_said_in_words(
        site: pathlib.Path, s3: Store, monkeypatch: pytest.MonkeyPatch, spoil: Any, said: str) -> None:
    real = bucket.Bucket._argv
    monkeypatch.setattr(bucket.Bucket, "_argv", lambda self, words: [*real(self, words), "--retries=1", "--low-level-retries=1"])  # at once
    spoil(s3)
    with pytest.raises(MigrationError, match=said) as refused:
        copy(site, s3)
    assert s3.secret not in refused.value.message


def test_check_mode_asks_and_sends_nothing(site: pathlib.Path, tmp_path: pathlib.Path, s3: Store) -> None:
    assert copy(site, s3, check_mode=True)["changed"] and os.listdir(s3.bucket) == []
    assert copy(site, s3, dest=str(tmp_path / "backup"), check_mode=True)["changed"] and os.listdir(s3.bucket) == []


def test_what_killed_uploads_left_is_removed_when_it_is_ours_and_left_when_it_may_be_somebody_elses(
        site: pathlib.Path, s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "PART", 5 << 20)
    ours, theirs, alike = (f"site_2001-01-01_0000{suffix}" for suffix in ("", "-1", "-2"))
    (place,) = bucket.Bucket.from_options(s3.options())
    for name in (ours, alike):
        with pytest.raises(KeyboardInterrupt), place.sending(f"{name}/tree.tar", 6 << 20) as stream:
            stream.write(bytes(6 << 20))
            while name not in unfinished(s3):
                time.sleep(0.1)
            raise KeyboardInterrupt
    for name, maker in ((ours, machine()), (theirs, "elsewhere")):
        place.write(f"{name}/upload.json", json.dumps({"machine": maker, "pid": 1, "start": 1, "boot": "x"}).encode())
    (said,) = copy(site, s3)["warnings"]
    assert unfinished(s3) == {alike} and not (s3.bucket / ours / "upload.json").exists()
    assert (s3.bucket / theirs / "upload.json").exists() and f"{theirs} is unfinished" in said


def test_two_that_send_a_copy_of_one_name_in_one_minute_get_a_place_each(
        site: pathlib.Path, tmp_path: pathlib.Path, s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = shutil.copytree(site, tmp_path / "other")
    (other / "index.html").write_text("another page")
    real, both, begun = bucket_copy._claim, threading.Barrier(2), threading.local()

    def together(place: bucket.Bucket, name: str) -> str:
        if not hasattr(begun, "once"):
            begun.once = both.wait(30)
        return real(place, name)
    monkeypatch.setattr(bucket_copy, "_claim", together)
    monkeypatch.setattr(bucket_copy, "PAUSE", 0.5)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        names = [sent(result) for result in pool.map(lambda tree: copy(tree, s3), (site, other))]
    assert len(set(names)) == 2
    for tree, name in zip((site, other), names):
        assert facts(s3.fetch(name, tmp_path / name) / "tree") == facts(tree)
        assert sorted(os.listdir(s3.bucket / name)) == ["manifest.json", "tree.tar"]


def test_module_sends_as_an_ordinary_task(site: pathlib.Path, s3: Store, playbook: Any, tmp_path: pathlib.Path) -> None:
    book = tmp_path / "book.yml"
    task = {"name": "Send", "dihya.migration.build_copy": {"src": str(site), "name": "site", "buckets": s3.options()}}
    book.write_text(repr([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]))
    done = playbook.run(book, {"all": {"hosts": {"localhost": {"ansible_python_interpreter": sys.executable}}}})
    assert done.rc == 0, done.output
    assert len(list(s3.bucket.rglob("manifest.json"))) == 1


def test_backup_of_databases_lies_in_the_bucket_too(sites: Sites, s3: Store, tmp_path: pathlib.Path) -> None:
    move = Move(sites, tmp_path, "bucketed").fill()
    move.variables["postgresql_drill"] = False
    (place,) = s3.options()
    try:
        move.variables["migration_backup_copies"] = [{**place, "remote": "store:no-such-bucket"}, {"path": f"{s3.config}/second"}]
        refused = move.run("backup")
        assert refused.rc != 0 and not move.backup.exists()
        assert "the place store:no-such-bucket cannot be used: there is no such bucket" in refused.output
        assert f"{s3.config} is no directory" in refused.output
        move.variables["migration_backup_copies"] = [place]
        done = move.run("backup")
        assert done.rc == 0, done.output[-3000:]
    finally:
        sites.clear()
    names = [path.parent.name for path in (s3.bucket / move.id).glob("postgresql_*/manifest.json")]
    assert len(names) == 1
    event = next(event for event in move.events() if (event["stack"], event["verb"], event["status"]) == ("postgresql", "backup", "ok"))
    assert [one["verdict"] for one in event["facts"]["evidence"]] == ["proved", "proved", "not_demonstrated"]  # without a drill


def test_a_place_that_cannot_be_used_is_found_before_anything_is_copied(s3: Store) -> None:
    (place,) = s3.options()
    missing = {**place, "remote": place["remote"].partition(":")[0] + ":no-such-bucket"}
    told = inspect([Look("bucket", "migration_backup_copies", value, [], 0, None, None, {})
                    for value in (place, missing, {**place, "config": "/nonexistent"})])
    assert [row["finding"].partition(" cannot be used: ")[2] for row in told] == [
        "there is no such bucket or path", "config /nonexistent: No such file or directory"]
