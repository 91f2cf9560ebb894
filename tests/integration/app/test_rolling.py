# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Three back ends behind a real HAProxy take a release one after the other, while users go on asking."""

from __future__ import annotations

import pathlib
import shutil
import sys
import threading

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app import process

from tests.support.fleet import Fleet
from tests.support.proxies import Load
from tests.support.site import SITE

VENV = pathlib.Path(sys.executable).parent.parent


class Processes(Fleet):
    """The hosts run the application as a process; release ``one`` is in service on all of them."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(root)
        shutil.copytree(SITE, root / "build")

    def variables(self, release: str) -> dict:
        """Those of the fleet, with the release as a tree."""
        self.write(self.root / "build", release)
        return {**super().variables(release), "backend_release_path": str(self.root / "build"), "backend_venv": str(VENV),
                "backend_health_timeout": 10, "backend_path": f"{self.root}/{{{{ inventory_hostname }}}}/api"}

    def stop_all(self) -> None:
        """End what runs."""
        for path in self.root.glob("app*/api/shared/run/backend.json"):
            process.stop_processes(process.read_record(str(path)), 5)
        self.balancer.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Release one in service on three hosts."""
    world = Processes(tmp_path_factory.mktemp("fleet"))
    first = world.run(["backend backup", "backend migrate"], "one", backend_strategy="offline")
    assert first.rc == 0, first.output[-4000:]
    world.balancer.wait(*world.hosts)
    yield world
    world.stop_all()


def test_three_hosts_take_a_release_in_turn_without_a_failed_request(fleet):
    order: list[str] = []

    def watch(ending: threading.Event) -> None:
        while not ending.wait(0.05):
            out = [name for name, status in fleet.balancer.states().items() if not status.startswith("UP")]
            assert len(out) <= 1, out
            order.extend(name for name in out if name not in order)

    ending = threading.Event()
    watching = threading.Thread(target=watch, args=(ending,))
    watching.start()
    with Load(fleet.balancer.port, "/health", clients=2, pause=0.1) as load, Load(fleet.balancer.port, "/slow", clients=1) as slow:
        moved = fleet.run(["backend preflight", "backend backup", "backend migrate"], "two")
    ending.set()
    watching.join()
    assert moved.rc == 0, moved.output[-5000:]
    assert load.failed() == [] and slow.failed() == [] and len(load.answers) > 50
    assert order == list(fleet.hosts) and set(fleet.releases().values()) == {"two"}
    assert all(status.startswith("UP") for status in fleet.balancer.states().values())
    assert "took the release in turn" in fleet.handed_over("backend migrate", "mover")["facts"]["summary"]
    migrated = fleet.handed_over("backend migrate", "app2")["facts"]
    assert {test["verdict"] for test in migrated["tests"]} == {"passed"}
    assert {row["kind"] for row in fleet.handed_over("backend backup", "app2")["facts"]["created"]} == {"release"}


def test_preflight_refuses_a_fleet_that_cannot_be_replaced_in_turn(fleet):
    seen = fleet.run(["backend preflight"], "four", backend_balancer_socket="/nowhere")
    rows = fleet.handed_over("backend preflight", "mover")["findings"]
    assert seen.rc == 0 and [row["subject"] for row in rows] == ["backend_balancer_socket"] and "level admin" in rows[0]["remedy"], rows
