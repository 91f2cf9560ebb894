# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two containers behind a real HAProxy take an image one after the other, and the first bad one brings both back."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from tests.support.fleet import Fleet
from tests.support.images import CONFIGURATION, FLASK, application_image, podman, python_image, remove_application
from tests.support.needs import require_podman
from tests.support.proxies import Load
from tests.support.site import SITE


class Containers(Fleet):
    """The hosts run the application in podman; their containers have names of their own, as they share one podman."""

    hosts = ("app1", "app2")

    def __init__(self, root: pathlib.Path, base: str) -> None:
        super().__init__(root)
        self.name = f"localhost/dihya-test-rolling-{self.balancer.port}"
        self.images = {}
        for release in ("one", "three"):
            tree = shutil.copytree(SITE, root / release, ignore=shutil.ignore_patterns("__pycache__"))
            self.write(tree, release)
            self.images[release] = application_image(f"{self.name}:{release}", base, tree, ["gunicorn"])

    def variables(self, release: str) -> dict:
        """Those of the fleet, with the release as an image."""
        return {**super().variables(release), "backend_runtime": "container", "backend_container_form": "podman",
                "backend_image": f"{self.name}@sha256:{self.images[release]}", "backend_container_volumes": [f"{self.root}:{self.root}"],
                "backend_path": f"{self.root}/{self.service('{{ port | default(0) }}')}",
                "backend_build_environment": {"CONTAINERS_CONF": CONFIGURATION}}

    @staticmethod
    def service(port: object) -> str:
        """What the application is called on the host with ``port``."""
        return f"rolling{port}"

    def containers(self) -> dict[str, str]:
        """The id of each host's running container, by container name."""
        told = json.loads(podman("ps", "--format=json"))
        return {one["Names"][0]: one["Id"] for one in told if one["Names"][0].startswith(tuple(map(self.service, self.ports.values())))}

    def remove(self) -> None:
        """Leave no container, secret or image."""
        self.balancer.stop()
        for port in self.ports.values():
            remove_application(self.service(port), self.images)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Image one in service on both hosts."""
    require_podman()
    root = tmp_path_factory.mktemp("fleet")
    world = Containers(root, python_image(root / "image", FLASK))
    try:
        first = world.run(["backend backup", "backend migrate"], "one", backend_strategy="offline")
        assert first.rc == 0, first.output[-4000:]
        world.balancer.wait(*world.hosts)
        yield world
    finally:
        world.remove()


def test_containers_are_replaced_in_turn_and_the_first_bad_one_brings_all_back_without_a_failed_request(fleet):
    before = fleet.containers()
    with Load(fleet.balancer.port, "/health", clients=2, pause=0.1) as load, Load(fleet.balancer.port, "/slow", clients=1) as slow:
        failed = fleet.run(["backend preflight", "backend backup", "backend migrate"], "three", ["backend rollback"])
    assert failed.rc == 2 and "ended by Start the container" in failed.output, failed.output[-5000:]
    assert fleet.handed_over("backend preflight", "mover")["findings"] == []
    assert load.failed() == [] and slow.failed() == [], (load.failed() + slow.failed())[:3]
    # The first host served the new image to the public before the second one turned out to be ill.
    assert {json.loads(body)["release"] for _when, _status, body in load.answers} == {"one", "three"}
    assert set(fleet.releases().values()) == {"one"} and fleet.containers() == before
    fleet.balancer.wait(*fleet.hosts)
