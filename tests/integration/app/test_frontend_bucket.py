# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role frontend deploys into a bucket that users see: nothing changes for them before commit, and a bad release is taken back."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._manifest import read_manifest

from dev.testing.turns import in_turn
from tests.support.store import Store, endpoint
from tests.support.verbs import Verbs

FORWARD = [f"frontend {verb}" for verb in ("preflight", "backup", "freeze", "migrate", "verify", "commit")]
NEW, OLD, LIVE = "assets/app-4f2a91c0.js", "assets/app-11aa22bb.js", "assets/lazy-77cc88dd.js"


class Hosted(Verbs):
    """A mover, the old host with its live build, and a bucket that serves an older page; no host is a target."""

    def __init__(self, root: pathlib.Path, store: Store) -> None:
        super().__init__(root, 0)
        self.store = store
        for place, files in {"live": [LIVE, "index.html"], "build": [NEW, "index.html"], "served": [OLD, "index.html"]}.items():
            for name in files:
                (root / place / name).parent.mkdir(parents=True, exist_ok=True)
                (root / place / name).write_text(f"{place} {name}")
        self.rclone("copy", "--header-upload=Cache-Control: max-age=5", str(root / "served"), store.remote)
        self.was = self.held()

    def rclone(self, *words: str) -> str:
        return subprocess.run(["rclone", f"--config={self.store.config}", *words], check=True, capture_output=True, text=True).stdout

    def held(self) -> dict:
        """Content and cache header of each object."""
        return {one["Path"]: ((self.store.bucket / one["Path"]).read_text(), one["Metadata"].get("cache-control"))
                for one in json.loads(self.rclone("lsjson", "-RM", "--files-only", self.store.remote))}

    def inventory(self) -> dict:
        inventory = super().inventory()
        groups = inventory["all"]["children"]
        groups["frontend"]["hosts"], groups["target"]["hosts"], groups["backend"]["hosts"] = {"old": {}}, {}, {}
        return inventory

    def sees(self, name: str) -> list[str]:
        """A command that keeps what the bucket holds now, and fails the second time."""
        kept = self.root / name
        return ["sh", "-c", f"echo '=== 1 passed in 0.01s ==='; test ! -e '{kept}' && cp -r '{self.store.bucket}' '{kept}'"]

    def seen_by(self, name: str) -> dict[str, str]:
        """What :meth:`sees` kept."""
        return {str(path.relative_to(self.root / name)): path.read_text() for path in (self.root / name).rglob("*") if path.is_file()}

    def variables(self, release: str) -> dict:
        return {
            "migration_id": "hosted", "migration_transport": "local", "migration_run_id": "run",
            "migration_backup_dir": str(self.root / "backup"), "migration_work_dir": str(self.root / "work"),
            "migration_backup_copies": [{"path": str(self.root / "second")}],
            "frontend_source_path": str(self.root / "live"), "frontend_release_path": str(self.root / "build"),
            "frontend_release_name": release, "frontend_keep_assets": ["assets"], "frontend_bucket": self.store.options()[0],
            "frontend_bucket_public": True, "frontend_test_command": self.sees("at-verify"),
            "frontend_e2e_command": self.sees("at-commit"), "frontend_e2e_junit": "",
        }


@pytest.fixture(scope="module", name="hosted")
def fixture_hosted(tmp_path_factory):
    """The bucket before anything."""
    home = tmp_path_factory.mktemp("hosted")
    with endpoint(tmp_path_factory.mktemp("s3")) as store, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", store.path())
        yield Hosted(home, store.another(home))


@in_turn(1, of=2)  # at the others the scenario frontend moves a front end
def test_a_release_is_public_from_commit_on_and_when_it_fails_there_the_bucket_is_as_it_was(hosted):
    tried = hosted.run([*FORWARD, "frontend probe backup", "frontend probe commit", "frontend commit"], "one", ["frontend rollback"])
    assert tried.rc == 2 and "frontend end-to-end tests: exit status 1" in tried.output, tried.output[-6000:]
    served = {name: content for name, (content, _header) in hosted.was.items()}
    new = {NEW: f"build {NEW}", LIVE: f"live {LIVE}"}
    assert hosted.seen_by("at-verify") == {**served, **new}
    assert hosted.seen_by("at-commit") == {**served, **new, "index.html": "build index.html"}
    assert hosted.held() == hosted.was
    assert hosted.handed_over("frontend verify", "mover")["facts"]["tests"][0]["passed"] == 1
    assert hosted.handed_over("frontend rollback", "mover")["facts"]["changed"] is True
    backup = hosted.handed_over("frontend backup", "mover")["facts"]
    assert len({row["path"] for row in backup["proofs"]}) == 2
    assert len(backup["evidence"]) == 4  # of the live build and of the bucket, here and elsewhere
    for place in ("backup", "second"):
        assert [read_manifest(str(copy))["files"] for copy in (hosted.root / place / "hosted").glob("frontend-bucket_*")]
    assert hosted.store.secret not in tried.output


def test_what_cannot_be_done_with_a_bucket_is_found_in_preflight(hosted):
    looked = hosted.run(["frontend preflight"], "next", arguments=["--check"], frontend_path="/srv/site", frontend_keep_failed=True,
                        migration_backup_copies=hosted.store.options())
    assert looked.rc == 0, looked.output[-4000:]
    row = hosted.seen["frontend preflight", "mover"]
    assert {one["subject"] for one in row["findings"]} == {"frontend_path", "frontend_keep_failed", "frontend_bucket"}
    assert row["plan"][0]["to"] == hosted.store.remote
