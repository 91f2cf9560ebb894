# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role backend with containers: a real Flask application on three hosts moves from image to image, pinned by digest, and comes back."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from dev.testing.turns import in_turn
from tests.support.images import CONFIGURATION, FLASK, application_image, podman, python_image, remove_application
from tests.support.needs import require_podman
from tests.support.playbook import Outcome
from tests.support.proxies import Balancer, Load, get, unused_ports
from tests.support.site import SITE
from tests.support.verbs import CANARY, Verbs

# Each result must still hold when the next verb is through, and a second time of each verb changes nothing.
FORWARD = [f"backend {verb}" for verb in ("backup", "migrate", "verify", "commit", "migrate", "probe backup", "probe commit")]


class Contained(Verbs):
    """One machine that is mover and all hosts of the new site; release ``two`` serves, and on the last host fails its tests."""

    first: Outcome

    def __init__(self, root: pathlib.Path, ports: list[int], base: str) -> None:
        super().__init__(root, ports[0])
        self.ports = dict(zip(("new", "next", "last"), ports))
        self.images = {}
        for release in ("one", "two"):
            tree = root / release
            shutil.copytree(SITE, tree, ignore=shutil.ignore_patterns("__pycache__"))
            (tree / "app.py").write_text((SITE / "app.py").read_text().replace('"one"', f'"{release}"'))
            if release == "two":
                (tree / "tests" / "test_bad.py").write_text("import os\n\n\ndef test_bad(): assert not os.environ['EMPTY']\n")
            self.images[release] = application_image(self.tag(release), base, tree, ["gunicorn", "app:app"])
        # The first one comes from an archive, the second one is on the host already.
        self.archive = root / "archive" / "one.tar"
        self.archive.parent.mkdir()
        podman("save", "--quiet", f"--output={self.archive}", self.tag("one"))
        podman("rmi", self.tag("one"))

    def inventory(self) -> dict:
        """No old site: an image has no tree to back up."""
        found = super().inventory()
        groups = found["all"]["children"]
        groups["source"], groups["backend"], groups["frontend"] = {"hosts": {}}, {"hosts": dict.fromkeys(self.ports, {})}, {"hosts": {}}
        found["all"]["vars"]["migration_work_dir"] = str(self.root / "work")
        groups["target"] = {"hosts": {host: {"migration_site": "target", **self.of(host)} for host in self.ports}}
        return found

    def of(self, host: str) -> dict:
        """What the hosts do not have in common."""
        port = self.ports[host]
        environment = {"DATABASE_URL": f"sqlite:///{self.root}/app.db", "SECRET": f'{CANARY} "é"\n$HOME %n',
                       "EMPTY": "not" if host == "last" else "", "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port}"}
        return {"backend_port": port, "backend_path": str(self.root / host / f"api{port}"), "backend_environment": environment,
                "migration_work_dir": str(self.root / f"work-{host}")}

    def tag(self, release: str) -> str:
        return f"localhost/dihya-test-{self.port}:{release}"

    def variables(self, release: str) -> dict:
        return {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run",
            "migration_backup_dir": str(self.root / "backup"),
            "backend_runtime": "container", "backend_container_form": "podman", "backend_release_name": release,
            "backend_image": f"localhost/dihya-test-{self.port}@sha256:{self.images[release]}",
            "backend_image_archive": str(self.archive) if release == "one" else "",
            "backend_container_volumes": [f"{self.root}:{self.root}"], "backend_health_timeout": 30,
            "backend_build_environment": {"CONTAINERS_CONF": CONFIGURATION},
        }

    def rolling(self, balancer: Balancer) -> dict:
        """The options with which the hosts behind ``balancer`` take a release in turn."""
        return {"migration_stacks": ["backend"], "backend_strategy": "rolling", "backend_balancer_socket": balancer.socket,
                "backend_balancer_pool": "api"}

    def running(self) -> dict[str, str]:
        """Container → image of all containers of the hosts; each of them must run."""
        names = podman("ps", "--all", "--format={{.Names}}", *(f"--filter=name=api{port}-" for port in self.ports.values())).split()
        seen = json.loads(podman("container", "inspect", *names))
        assert all(one["State"]["Running"] for one in seen)
        return {one["Name"]: one["Image"] for one in seen}

    def inspect(self, release: str) -> dict:
        return json.loads(podman("container", "inspect", f"api{self.port}-{release}"))[0]

    def remove(self) -> None:
        for port in self.ports.values():
            remove_application(f"api{port}", self.images)


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """The application after a whole migration of release ``one``."""
    require_podman()
    root = tmp_path_factory.mktemp("containers")
    made = Contained(root, unused_ports(3), python_image(root / "image", FLASK))
    try:
        made.first = made.run(FORWARD)
        yield made
    finally:
        made.remove()


def secrets(moved) -> set[str]:
    services = tuple(f"api{port}-" for port in moved.ports.values())
    return {name for name in podman("secret", "ls", "--format={{.Name}}").split() if name.startswith(services)}


def test_an_image_from_an_archive_is_proved_before_it_is_needed_then_served(moved):
    assert moved.first.rc == 0, moved.first.output[-4000:]
    assert moved.health() == {"release": "one", "visits": 0}
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
    assert [path.name for path in found if not path.name.startswith(("variables-", "inventory-"))] == [".env"] * 3


@in_turn(1, of=2)
def test_hosts_take_a_release_in_turn_and_when_the_last_one_fails_all_are_back_on_the_digest_of_before(moved, tmp_path):
    before, one = secrets(moved), {f"api{port}-one": moved.images["one"] for port in moved.ports.values()}
    balancer = Balancer(tmp_path, moved.ports)
    try:
        balancer.wait(*moved.ports)
        with Load(balancer.port, "/health", pause=0.05) as load:
            failed = moved.run(["backend preflight", "backend backup", "backend migrate"], "two", ["backend rollback"],
                               **moved.rolling(balancer))
        assert failed.rc == 2 and "1 tests failed" in failed.output, failed.output[-4000:]
        assert [moved.handed_over("backend preflight", host)["findings"] for host in ("mover", *moved.ports)] == [[]] * 4
        balancer.wait(*moved.ports)
    finally:
        balancer.stop()
    # Users met the release on the hosts where it was well, and lost no request to any of them.
    assert load.failed() == [] and {json.loads(body)["release"] for _when, _status, body in load.answers} == {"one", "two"}
    assert [json.loads(get(port, "/health")[1])["release"] for port in moved.ports.values()] == ["one"] * 3
    assert moved.running() == one and secrets(moved) == before
    undone = [moved.handed_over("backend rollback", host)["facts"] for host in moved.ports]
    assert [(facts["changed"], facts["versions"]["image_id"]) for facts in undone] == [(True, moved.images["one"])] * 3


def test_preflight_refuses_a_tag_and_says_what_to_write_instead(moved):
    looked = moved.run(["backend preflight"], backend_image="registry.example.org/shop/api:1.2", backend_image_archive="/no/such.tar",
                       backend_container_form="quadlet", backend_build_command=["make"])
    assert looked.rc == 0, looked.output[-4000:]
    found = {row["subject"]: row for (step, _host), seen in moved.seen.items() if "preflight" in step for row in seen["findings"]}
    assert set(found) == {"backend_image", "backend_image_archive", "backend_container_form", "backend_build_command"}
    assert "NAME@sha256:" in found["backend_image"]["remedy"] and "systemd" in found["backend_container_form"]["finding"]
