# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role backend with containers: a real Flask application moves from image to image, pinned by digest, and comes back."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from demo.postgres_server import free_port
from tests.support.images import CONFIGURATION, FLASK, application_image, podman, python_image, remove_application
from tests.support.needs import require_podman
from tests.support.playbook import Outcome
from tests.support.site import SITE
from tests.support.verbs import CANARY, Verbs

# Each result must still hold when the next verb is through, and a second time of each verb changes nothing.
FORWARD = [f"backend {verb}" for verb in ("preflight", "backup", "migrate", "verify", "commit", "migrate", "probe backup", "probe commit")]


class Contained(Verbs):
    """One machine that is mover and new site; release ``two`` serves, and fails its tests."""

    first: Outcome

    def inventory(self) -> dict:
        """No old site: an image has no tree to back up."""
        found = super().inventory()
        found["all"]["children"] = {name: {"hosts": {host: content for host, content in group["hosts"].items() if host != "old"}}
                                    for name, group in found["all"]["children"].items()}
        return found

    def __init__(self, root: pathlib.Path, port: int, base: str) -> None:
        super().__init__(root, port)
        self.images = {}
        for release in ("one", "two"):
            tree = root / release
            shutil.copytree(SITE, tree, ignore=shutil.ignore_patterns("__pycache__"))
            (tree / "app.py").write_text((SITE / "app.py").read_text().replace('"one"', f'"{release}"'))
            if release == "two":
                (tree / "tests" / "test_bad.py").write_text("def test_bad(): assert False\n")
            command = ["gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"]
            self.images[release] = application_image(self.tag(release), base, tree, command)
        # The first one comes from an archive, the second one is on the host already.
        self.archive = root / "archive" / "one.tar"
        self.archive.parent.mkdir()
        podman("save", "--quiet", f"--output={self.archive}", self.tag("one"))
        podman("rmi", self.tag("one"))

    def tag(self, release: str) -> str:
        return f"localhost/dihya-test-{self.port}:{release}"

    def variables(self, release: str) -> dict:
        return {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run",
            "migration_work_dir": str(self.root / "work"), "migration_backup_dir": str(self.root / "backup"),
            "backend_runtime": "container", "backend_container_form": "podman", "backend_release_name": release,
            "backend_image": f"localhost/dihya-test-{self.port}@sha256:{self.images[release]}",
            "backend_image_archive": str(self.archive) if release == "one" else "",
            "backend_path": str(self.root / "new" / f"api{self.port}"), "backend_container_volumes": [f"{self.root}:{self.root}"],
            "backend_environment": {"DATABASE_URL": f"sqlite:///{self.root}/app.db", "SECRET": f'{CANARY} "é"\n$HOME %n', "EMPTY": ""},
            "backend_port": self.port, "backend_health_timeout": 30, "backend_build_environment": {"CONTAINERS_CONF": CONFIGURATION},
        }

    def container(self, release: str) -> str:
        return f"api{self.port}-{release}"

    def inspect(self, release: str) -> dict:
        return json.loads(podman("container", "inspect", self.container(release)))[0]

    def remove(self) -> None:
        remove_application(f"api{self.port}", self.images)


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """The application after a whole migration of release ``one``."""
    require_podman()
    root = tmp_path_factory.mktemp("containers")
    made = Contained(root, free_port(), python_image(root / "image", FLASK))
    try:
        made.first = made.run(FORWARD)
        yield made
    finally:
        made.remove()


def secrets(moved) -> set[str]:
    return {name for name in podman("secret", "ls", "--format={{.Name}}").split() if name.startswith(f"api{moved.port}-")}


def test_an_image_from_an_archive_is_proved_before_it_is_needed_then_served(moved):
    assert moved.first.rc == 0, moved.first.output[-4000:]
    assert moved.health() == {"release": "one", "visits": 0}
    for host in ("mover", "new"):
        assert moved.handed_over("backend preflight", host)["findings"] == []
    fetched = moved.handed_over("backend backup", "new")["facts"]
    assert fetched["changed"] is True and fetched["versions"]["image"] == f"sha256:{moved.images['one']}"
    migrated, again = (row["facts"] for row in moved.rows if row["step"] == "backend migrate" and row["host"] == "new")
    assert migrated["changed"] is True and again["changed"] is False
    assert migrated["versions"]["schema_before"] == "none" and migrated["versions"]["schema_after"] == "a1"
    assert moved.inspect("one")["Image"] == moved.images["one"] == migrated["versions"]["image_id"]
    tests = moved.handed_over("backend verify", "new")["facts"]["tests"]
    assert len(tests) == 3 and all(test["verdict"] == "passed" for test in tests)
    assert any("starts with the machine" in line for line in moved.handed_over("backend commit", "new")["facts"]["not_proved"])


def test_secrets_reach_the_application_whole_and_stand_in_no_argument(moved):
    seen = moved.inspect("one")
    environment = dict(line.split("=", 1) for line in seen["Config"].pop("Env"))
    assert environment["SECRET"] == f'{CANARY} "é"\n$HOME %n' and environment["EMPTY"] == ""
    assert CANARY not in json.dumps(seen)
    found = [path for path in moved.root.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert [path.name for path in found if not path.name.startswith("variables-")] == [".env"]


def test_a_failing_release_is_rolled_back_to_the_digest_of_before(moved):
    before = secrets(moved)
    failed = moved.run(["backend backup", "backend migrate", "backend verify"], "two", ["backend rollback"])
    assert failed.rc == 2 and "ended by Run its tests and search its log" in failed.output, failed.output[-4000:]
    assert "1 tests failed" in failed.output and moved.health()["release"] == "one"
    assert moved.inspect("one")["Image"] == moved.images["one"] and moved.inspect("one")["State"]["Running"]
    assert podman("ps", "--all", "--quiet", f"--filter=name={moved.container('two')}") == "" and secrets(moved) == before
    undone = moved.handed_over("backend rollback", "new")["facts"]
    assert undone["changed"] is True and undone["versions"]["image_id"] == moved.images["one"]


def test_preflight_refuses_a_tag_and_says_what_to_write_instead(moved):
    looked = moved.run(["backend preflight"], backend_image="registry.example.org/shop/api:1.2", backend_image_archive="/no/such.tar",
                       backend_container_form="quadlet", backend_build_command=["make"])
    assert looked.rc == 0, looked.output[-4000:]
    found = {row["subject"]: row for (step, _host), seen in moved.seen.items() if "preflight" in step for row in seen["findings"]}
    assert set(found) == {"backend_image", "backend_image_archive", "backend_container_form", "backend_build_command"}
    assert "NAME@sha256:" in found["backend_image"]["remedy"] and "systemd" in found["backend_container_form"]["finding"]
