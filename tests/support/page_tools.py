# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""axe-core and Lighthouse as the role frontend pins them, installed once into .tools."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from tests.support.playbook import ROOT

LOCKED = ROOT / "roles" / "frontend" / "files" / "page_tools"
BIN = pathlib.Path(sys.executable).parent


def page_tools() -> pathlib.Path:
    """The directory with ``node_modules``; what an earlier run installed from the same lock is taken as it is."""
    target = ROOT / ".tools" / "page_tools"
    wanted = hashlib.sha256((LOCKED / "package-lock.json").read_bytes()).hexdigest()
    stamp = target / "stamp"
    if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(LOCKED, target)
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        command = [str(BIN / "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=target, env=environment, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        stamp.write_text(wanted, encoding="ascii")
    return target
