# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real processes, real http servers, modules run as Ansible runs them."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture
def run_module(tmp_path):
    """Runs a module of the collection in a process of its own and returns its result, ``failed`` included."""
    def run(name: str, check_mode: bool = False, /, **options):
        arguments = tmp_path / "arguments.json"
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check_mode}}))
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "collections")}
        done = subprocess.run(
            [sys.executable, "-m", f"ansible_collections.dihya.migration.plugins.modules.{name}", str(arguments)],
            capture_output=True, text=True, timeout=60, env=environment, check=False, cwd=tmp_path,
        )
        assert done.stdout.strip().startswith("{"), done.stderr
        result = {"failed": False, **json.loads(done.stdout)}
        assert result.pop("invocation", None) is not None  # what the caller gave, not what the module found
        return result
    return run


@pytest.fixture
def free_port():
    """A TCP port of 127.0.0.1 that nothing holds now."""
    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return listener.getsockname()[1]
    return find


@pytest.fixture
def eventually():
    """Waits up to ten seconds for a condition."""
    def wait(condition) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.05)
        return bool(condition())
    return wait
