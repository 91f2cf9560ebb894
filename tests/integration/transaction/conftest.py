# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole transactions over recorder stacks: every verb leaves a trace, and fails or loses its host where a test wants it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
ANSIBLE = pathlib.Path(sys.executable).parent / "ansible-playbook"


class Migration:
    """A migration of two stacks in its own directory: over mover, old, new1 and new2 (beta on all of them), or over the mover alone."""

    root = ROOT

    def __init__(self, directory: pathlib.Path, mover_alone: bool = False) -> None:
        self.directory = directory
        self.inventory = {"all": {
            "vars": {
                "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "migration_id": "t1",
                "migration_stacks": ["alpha", "beta"], "migration_stack_roles": {"alpha": "recorder", "beta": "recorder"},
                "migration_work_dir": f"{directory}/work/{{{{ inventory_hostname }}}}",
                "migration_state_dir": f"{directory}/state",
                "migration_backup_dir": f"{directory}/backup", "migration_report_dir": f"{directory}/reports",
                "trace": f"{directory}/trace",
            },
            "hosts": {"mover": {}},
            "children": {} if mover_alone else {
                "source": {"hosts": {"old": {}}}, "target": {"hosts": {"new1": {}, "new2": {}}},
                "beta": {"hosts": {"old": {}, "new1": {}, "new2": {}}}},
        }}

    def set(self, **variables: Any) -> None:
        """Change inventory variables of all hosts."""
        self.inventory["all"]["vars"].update(variables)

    def run(self, playbook: str, *arguments: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the collection's playbooks to its end."""
        return subprocess.run(self.command(playbook, *arguments, **extra), cwd=ROOT, env=self.environment(), text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)

    def run_by_runner(self, playbook: str) -> subprocess.CompletedProcess[str]:
        """The same under ansible-runner, which is how AWX runs it."""
        data = self.directory / "runner"
        data.mkdir(exist_ok=True)
        _program, path, _option, inventory = self.command(playbook)
        runner = str(ANSIBLE.with_name("ansible-runner"))
        return subprocess.run([runner, "run", str(data), "-p", str(ROOT / path), "--inventory", inventory], cwd=ROOT,
                              env={**self.environment(), "PATH": f"{ANSIBLE.parent}:{os.environ['PATH']}"}, text=True,
                              check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)

    def command(self, playbook: str, *arguments: str, **extra: Any) -> list[str]:
        """The argument list of that run."""
        path = self.directory / "inventory.json"
        path.write_text(json.dumps(self.inventory), encoding="utf-8")
        return [str(ANSIBLE), f"playbooks/{playbook}.yml", "-i", str(path), *(["-e", json.dumps(extra)] if extra else []), *arguments]

    def environment(self) -> dict[str, str]:
        """The environment of that run, with nothing shared with other tests."""
        return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(HERE / "roles"),
                "ANSIBLE_HOME": str(self.directory / "ansible"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCAL_TEMP": str(self.directory / "tmp")}

    def trace(self, host: str) -> list[str]:
        """What ran on ``host``, in order: ``stack verb``."""
        path = self.directory / f"trace.{host}"
        return [" ".join(line.split()[:2]) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def events(self) -> list[dict[str, Any]]:
        """The journal, empty when there is none."""
        path = self.directory / "state" / self.inventory["all"]["vars"]["migration_id"] / "journal.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def outcome(self) -> str:
        """The outcome of the last run that ended."""
        return next(event["facts"]["outcome"] for event in reversed(self.events()) if event["verb"] == "end")


@pytest.fixture
def migration(tmp_path: pathlib.Path) -> Migration:
    """A migration of four hosts that has not begun."""
    return Migration(tmp_path)


@pytest.fixture
def alone(tmp_path: pathlib.Path) -> Migration:
    """A migration of the mover alone that has not begun, for what no other host has a part in: every host costs every task a process."""
    return Migration(tmp_path, mover_alone=True)
