# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts of one application behind a real HAProxy, all of them this machine."""

from __future__ import annotations

import json
import pathlib
import sys

from tests.support.proxies import Balancer, get, unused_ports
from tests.support.site import SLOW, write_release
from tests.support.verbs import Verbs

BAD = """

@app.before_request
def bad():
    return ("bad", 500) if os.environ.get("BAD") == RELEASE else None
"""


class Fleet(Verbs):
    """A Flask application on each of ``hosts``, whose release says its name; release ``three`` is ill on app2."""

    patience = 560
    hosts: tuple[str, ...] = ("app1", "app2", "app3")

    def __init__(self, root: pathlib.Path) -> None:
        self.ports = dict(zip(self.hosts, unused_ports(len(self.hosts))))
        super().__init__(root, 0)
        self.balancer = Balancer(root, self.ports)

    def inventory(self) -> dict:
        """The mover and the target hosts."""
        hosts = {name: {"migration_site": "target", "port": port} for name, port in self.ports.items()}
        return {"all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "children": {"mover": {"hosts": {"mover": {"migration_site": "mover"}}}, "source": {"hosts": {}},
                         "target": {"hosts": hosts}, "backend": {"hosts": {name: {} for name in hosts}}},
        }}

    def variables(self, release: str) -> dict:
        """What does not depend on the runtime."""
        return {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run", "migration_stacks": ["backend"],
            "migration_work_dir": f"{self.root}/work/{{{{ inventory_hostname }}}}", "backend_release_name": release,
            "backend_port": "{{ port | default(0) }}", "backend_strategy": "rolling", "backend_balancer_socket": self.balancer.socket,
            "backend_balancer_pool": "api", "backend_drain_timeout": 20, "backend_health_timeout": 20,
            "backend_environment": {"DATABASE_URL": f"sqlite:///{self.root}/app.db",
                                    "BAD": "{{ 'three' if inventory_hostname == 'app2' else '' }}"},
            "backend_command": ["gunicorn", "--threads", "4", "--bind", "127.0.0.1:{{ port | default(0) }}", "app:app"],
        }

    @staticmethod
    def write(tree: pathlib.Path, release: str) -> None:
        """Make of ``tree``, a copy of ``SITE``, the release of that name."""
        write_release(tree, release, SLOW + BAD)

    def releases(self) -> dict[str, str]:
        """The release that each host serves."""
        return {name: json.loads(get(port, "/health")[1])["release"] for name, port in self.ports.items()}
