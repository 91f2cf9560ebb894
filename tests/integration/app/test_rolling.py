# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Three containers behind a real HAProxy take an image one after the other, and the last one, which is bad, brings all back."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.images import CONFIGURATION, FLASK, application_image, podman, python_image, remove_application
from tests.support.needs import require_podman
from tests.support.proxies import Balancer, Load, get, unused_ports
from tests.support.site import SITE, SLOW, write_release
from tests.support.verbs import Verbs

BAD = """

@app.before_request
def bad():
    return ("bad", 500) if os.environ.get("BAD") == RELEASE else None
"""


class Fleet(Verbs):
    """Hosts that are all this machine, with the application in containers of one podman; release ``three`` is ill on the last of them."""

    patience = 560
    hosts = ("app1", "app2", "app3")

    def __init__(self, root: pathlib.Path, base: str) -> None:
        self.ports = dict(zip(self.hosts, unused_ports(len(self.hosts))))
        super().__init__(root, 0)
        self.balancer = Balancer(root, self.ports)
        self.name = f"localhost/dihya-test-rolling-{self.balancer.port}"
        self.images = {}
        for release in ("one", "three"):
            tree = shutil.copytree(SITE, root / release, ignore=shutil.ignore_patterns("__pycache__"))
            write_release(tree, release, SLOW + BAD)
            self.images[release] = application_image(f"{self.name}:{release}", base, tree, ["gunicorn"])

    def inventory(self) -> dict:
        """The mover and the target hosts."""
        hosts = {name: {"migration_site": "target", "port": port} for name, port in self.ports.items()}
        return {"all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "children": {"mover": {"hosts": {"mover": {"migration_site": "mover"}}}, "source": {"hosts": {}},
                         "target": {"hosts": hosts}, "backend": {"hosts": {name: {} for name in hosts}}},
        }}

    def variables(self, release: str) -> dict:
        """What the inventory says of the release."""
        return {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run", "migration_stacks": ["backend"],
            "migration_work_dir": f"{self.root}/work/{{{{ inventory_hostname }}}}", "backend_release_name": release,
            "backend_port": "{{ port | default(0) }}", "backend_strategy": "rolling", "backend_balancer_socket": self.balancer.socket,
            "backend_balancer_pool": "api", "backend_drain_timeout": 20, "backend_health_timeout": 20,
            "backend_runtime": "container", "backend_container_form": "podman",
            "backend_image": f"{self.name}@sha256:{self.images[release]}", "backend_container_volumes": [f"{self.root}:{self.root}"],
            "backend_path": f"{self.root}/{self.service('{{ port | default(0) }}')}",
            "backend_build_environment": {"CONTAINERS_CONF": CONFIGURATION},
            "backend_environment": {"DATABASE_URL": f"sqlite:///{self.root}/app.db",
                                    "BAD": f"{{{{ 'three' if inventory_hostname == '{self.hosts[-1]}' else '' }}}}"},
            "backend_command": ["gunicorn", "--threads", "4", "--bind", "127.0.0.1:{{ port | default(0) }}", "app:app"],
        }

    def releases(self) -> dict[str, str]:
        """The release that each host serves."""
        return {name: json.loads(get(port, "/health")[1])["release"] for name, port in self.ports.items()}

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[tuple[str, ...]]]:
        """Fills a list with the hosts that HAProxy sends nobody to, as often as it looks."""
        out: list[tuple[str, ...]] = []
        ending = threading.Event()

        def look() -> None:
            while not ending.wait(0.05):
                out.append(tuple(name for name, status in self.balancer.states().items() if not status.startswith("UP")))

        watching = threading.Thread(target=look)
        watching.start()
        try:
            yield out
        finally:
            ending.set()
            watching.join()

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
    """Image one in service on all hosts."""
    require_podman()
    root = tmp_path_factory.mktemp("fleet")
    world = Fleet(root, python_image(root / "image", FLASK))
    try:
        first = world.run(["backend backup", "backend migrate"], "one", backend_strategy="offline", backend_health_timeout=60)
        assert first.rc == 0, first.output[-4000:]
        world.balancer.wait(*world.hosts)
        yield world
    finally:
        world.remove()


def test_containers_are_replaced_in_turn_and_the_first_bad_one_brings_all_back_without_a_failed_request(fleet):
    before, (first, second, last) = fleet.containers(), fleet.hosts
    with fleet.watched() as out, Load(fleet.balancer.port, "/health", clients=2, pause=0.1) as load, \
            Load(fleet.balancer.port, "/slow", clients=1) as slow:
        failed = fleet.run(["backend preflight", "backend backup", "backend migrate"], "three", ["backend rollback"])
    assert failed.rc == 2 and "ended by Start the container" in failed.output, failed.output[-5000:]
    assert fleet.handed_over("backend preflight", "mover")["findings"] == []
    assert load.failed() == [] and slow.failed() == [], (load.failed() + slow.failed())[:3]
    # Two hosts served the new image to the public before the last one turned out to be ill.
    assert {json.loads(body)["release"] for _when, _status, body in load.answers} == {"one", "three"}
    assert max(map(len, out)) == 1 and list(dict.fromkeys(name for names in out for name in names)) == [first, second, last]
    assert set(fleet.releases().values()) == {"one"} and fleet.containers() == before
    fleet.balancer.wait(*fleet.hosts)


def test_preflight_refuses_a_fleet_that_cannot_be_replaced_in_turn(fleet):
    seen = fleet.run(["backend preflight"], "three", backend_balancer_socket="/nowhere")
    rows = fleet.handed_over("backend preflight", "mover")["findings"]
    assert seen.rc == 0 and [row["subject"] for row in rows] == ["backend_balancer_socket"] and "level admin" in rows[0]["remedy"], rows
