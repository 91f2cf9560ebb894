# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Three back ends behind a real HAProxy take a release one after the other, while users go on asking."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
import threading

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app import process

from tests.support.proxies import Balancer, Load, get, unused_ports
from tests.support.verbs import Verbs

SITE = pathlib.Path(__file__).parent / "site"
VENV = pathlib.Path(sys.executable).parent.parent
HOSTS = ("app1", "app2", "app3")
SLOW = """

@app.get("/slow")
def slow():
    import time
    time.sleep(2)
    return RELEASE


@app.before_request
def bad():
    return ("bad", 500) if os.environ.get("BAD") == RELEASE else None
"""


class Fleet(Verbs):
    """Three hosts, one machine; release ``one`` is in service on all of them."""

    patience = 560

    def __init__(self, root: pathlib.Path) -> None:
        self.ports = dict(zip(HOSTS, unused_ports(3)))
        super().__init__(root, 0)
        shutil.copytree(SITE / "api", root / "build")
        self.balancer = Balancer(root, self.ports)

    def inventory(self) -> dict:
        hosts = {name: {"migration_site": "target", "port": port} for name, port in self.ports.items()}
        return {"all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "children": {"mover": {"hosts": {"mover": {"migration_site": "mover"}}}, "source": {"hosts": {}},
                         "target": {"hosts": hosts}, "backend": {"hosts": {name: {} for name in hosts}}},
        }}

    def variables(self, release: str) -> dict:
        text = (SITE / "api" / "app.py").read_text().replace('"one"', f'"{release}"') + SLOW
        own = (SITE / "api" / "tests" / "test_readonly.py").read_text().replace('("one", "two")', f'("{release}",)')
        (self.root / "build" / "app.py").write_text(text)
        (self.root / "build" / "tests" / "test_readonly.py").write_text(own)
        return {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run", "migration_stacks": ["backend"],
            "migration_work_dir": f"{self.root}/work/{{{{ inventory_hostname }}}}", "backend_release_path": str(self.root / "build"),
            "backend_release_name": release, "backend_path": f"{self.root}/{{{{ inventory_hostname }}}}/api", "backend_venv": str(VENV),
            "backend_port": "{{ port | default(0) }}", "backend_strategy": "rolling", "backend_balancer_socket": self.balancer.socket,
            "backend_balancer_pool": "api", "backend_drain_timeout": 20, "backend_health_timeout": 20,
            "backend_environment": {"DATABASE_URL": f"sqlite:///{self.root}/app.db",
                                    "BAD": "{{ 'three' if inventory_hostname == 'app2' else '' }}"},
            "backend_command": ["gunicorn", "--threads", "4", "--bind", "127.0.0.1:{{ port | default(0) }}", "app:app"],
        }

    def releases(self) -> dict[str, str]:
        return {name: json.loads(get(port, "/health")[1])["release"] for name, port in self.ports.items()}

    def pids(self) -> dict[str, int]:
        return {name: process.read_record(str(self.root / name / "api" / "shared" / "run" / "backend.json"))["pid"] for name in HOSTS}

    def stop_all(self) -> None:
        for path in self.root.glob("app*/api/shared/run/backend.json"):
            process.stop_processes(process.read_record(str(path)), 5)
        self.balancer.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Release one in service on three hosts."""
    world = Fleet(tmp_path_factory.mktemp("fleet"))
    first = world.run(["backend backup", "backend migrate"], "one", backend_strategy="offline")
    assert first.rc == 0, first.output[-4000:]
    world.balancer.wait(*HOSTS)
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
    assert order == list(HOSTS) and set(fleet.releases().values()) == {"two"}
    assert all(status.startswith("UP") for status in fleet.balancer.states().values())
    assert "took the release in turn" in fleet.handed_over("backend migrate", "mover")["facts"]["summary"]
    migrated = fleet.handed_over("backend migrate", "app2")["facts"]
    assert {test["verdict"] for test in migrated["tests"]} == {"passed"}
    assert {row["kind"] for row in fleet.handed_over("backend backup", "app2")["facts"]["created"]} == {"release"}


def test_the_first_bad_host_brings_all_back_and_its_release_never_gets_a_request(fleet):
    before = fleet.pids()
    with Load(fleet.balancer.port, "/health", clients=2, pause=0.1) as load:
        failed = fleet.run(["backend backup", "backend migrate"], "three", ["backend rollback"])
    assert failed.rc == 2 and "ended by Start the process" in failed.output, failed.output[-5000:]
    assert load.failed() == [], load.failed()[:3]
    assert set(fleet.releases().values()) == {"two"}
    fleet.balancer.wait(*HOSTS)
    after = fleet.pids()
    assert after["app3"] == before["app3"] and after["app1"] != before["app1"]  # the third was never touched
    assert all("three" not in os.listdir(fleet.root / name / "api" / "releases") for name in HOSTS)


def test_preflight_refuses_a_fleet_that_cannot_be_replaced_in_turn(fleet):
    seen = fleet.run(["backend preflight"], "four", backend_balancer_socket="/nowhere")
    rows = fleet.handed_over("backend preflight", "mover")["findings"]
    assert seen.rc == 0 and [row["subject"] for row in rows] == ["backend_balancer_socket"] and "level admin" in rows[0]["remedy"], rows
