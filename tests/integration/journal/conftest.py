# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real runs of ansible-playbook against a local mover, with the state directory of the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.dihya.migration.plugins.module_utils._journal.store import Journal

REPOSITORY = Path(__file__).parents[3]
PLUGINS = Path(__file__).parent / "plugins"
# The ansible-core to test; another one than that of the tests can be named to try more versions.
BIN = Path(os.environ.get("DIHYA_ANSIBLE_BIN") or Path(sys.executable).parent)


class Site:
    """A mover that is this machine, below a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.inventory = root / "hosts.yml"
        self.variables: dict[str, Any] = {
            "postgresql_databases": ["crm"], "postgresql_source": {"host": "old", "password": "canary-1"},
            "postgresql_missing": "{{ nowhere }}",
        }
        self.write_inventory()

    def write_inventory(self, **changes: Any) -> None:
        """Write hosts.yml with changed variables."""
        self.variables.update(changes)
        local = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": str(self.root / "remote_tmp"),
        }
        everything = {"all": {"hosts": {"mover": local, "app": local}, "vars": self.variables}}
        self.inventory.write_text(yaml.safe_dump(everything), encoding="utf-8")

    def playbook(self, name: str, tasks: list[dict[str, Any]]) -> Path:
        """Write a playbook whose play runs ``tasks`` on the mover."""
        path = self.root / name
        defaults = {"dihya.migration.journal": {"state_dir": str(self.state), "migration_id": "crm-1"}}
        play = {"name": "Test", "hosts": "mover", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}
        path.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
        return path

    def start(self, playbook: Path, *arguments: str, **environment: str) -> subprocess.Popen:
        """Start ansible-playbook in a process group of its own; :meth:`output` is what it printed so far."""
        command = [str(BIN / "ansible-playbook"), "-i", str(self.inventory), str(playbook), *arguments]
        log = (self.root / "output").open("w", encoding="utf-8")
        ours = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # else every line comes at once anyway
        return subprocess.Popen(
            command, cwd=REPOSITORY, text=True, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={
                **ours, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_LIBRARY": str(PLUGINS / "modules"),
                "ANSIBLE_ACTION_PLUGINS": str(PLUGINS / "action"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", **environment,
            },
        )

    def run(self, playbook: Path, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit status and output of a whole run."""
        process = self.start(playbook, *arguments, **environment)
        return process.wait(timeout=300), self.output()

    def output(self) -> str:
        """What the playbook that was started last printed so far."""
        return (self.root / "output").read_text(encoding="utf-8")

    def events(self, migration_id: str = "crm-1") -> list[str]:
        """``verb status`` of every event; the chain must be intact."""
        reading = Journal(str(self.state), migration_id).read_shared()
        assert reading.problem == "" and reading.torn == b""
        return [f"{event['verb']} {event['status']}" for event in reading.events]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Wait until ``condition()`` holds; fail after five minutes, naming ``what``."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what} in vain"
        time.sleep(0.05)


def shown(output: str, name: str) -> Any:
    """The value of variable ``name`` as ``ansible.builtin.debug`` printed it."""
    start = output.index(f'"{name}":')
    return json.JSONDecoder().raw_decode(output[start + len(name) + 3:].lstrip())[0]
