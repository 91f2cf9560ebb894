# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real processes, real http servers, modules run as Ansible runs them."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys

import pytest
from ansible.module_utils import basic

# The applications that these tests move have tests of their own.
collect_ignore = ["site", "library_django", "library_node", "schema_tools_node"]


def _become(main, output, options) -> None:
    """Run a module's ``main`` in this forked process and end it."""
    try:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        main()
    except SystemExit:
        pass
    finally:
        sys.stdout.flush()
        os._exit(0)


@pytest.fixture
def run_module(tmp_path):
    """Runs a module of the collection in a process of its own and returns its result, ``failed`` included."""
    def run(name: str, check_mode: bool = False, /, **options):
        output = tmp_path / "result.json"
        module = importlib.import_module(f"ansible_collections.dihya.migration.plugins.modules.{name}")
        child = os.fork()  # a process of its own, as on a managed host, without importing everything again
        if not child:
            _become(module.main, output, {**options, "_ansible_check_mode": check_mode})
        os.waitpid(child, 0)
        result = {"failed": False, **json.loads(output.read_text())}
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
