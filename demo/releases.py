# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the demo deploys: releases of the back end put together from their parts, and builds of the page."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from demo.layout import APP, OLD, PYTHON, ROOT, SOURCE, STATE, DemoError

# A release is the first directory with the others laid over it.
BACKENDS = {
    "backend-1.0": ("backend",),
    "backend-2.0": ("backend", "backend-2.0"),
    "backend-2.0-broken": ("backend", "backend-2.0", "backend-2.0-broken"),
}
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "node_modules", "dist", "*.pyc")


def assemble() -> None:
    """Write every release, ready to deploy, below demo/state/source."""
    for name, parts in BACKENDS.items():
        for part in parts:
            shutil.copytree(APP / part, SOURCE / name, ignore=NOT_SOURCE, dirs_exist_ok=True)
    for version in ("1.0.0", "2.0.0"):
        frontend = SOURCE / f"frontend-{version[:-2]}"
        shutil.copytree(APP / "frontend", frontend, ignore=NOT_SOURCE)
        (frontend / ".env").write_text(f"VITE_RELEASE={version}\n", encoding="utf-8")
        (frontend / "node_modules").symlink_to(ROOT / ".tools" / "frontend" / "node_modules")


def build_page(source: Path) -> Path:
    """``npm run build``; returns the directory built."""
    # npm writes a log of every run into the user's home.
    ours = {"PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": str(STATE / "home"), "npm_config_update_notifier": "false"}
    done = subprocess.run([str(PYTHON), str(PYTHON.parent / "npm"), "run", "build"], cwd=source, env={**os.environ, **ours},
                          text=True, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise DemoError(f"the page could not be built: {done.stdout[-1500:]}")
    return source / "dist"


def install_backend() -> Path:
    """Put the old release of the back end on the old site; returns its directory."""
    return _install("backend", SOURCE / "backend-1.0")


def install_page() -> Path:
    """Build the old page and put it on the old site; returns its directory."""
    return _install("frontend", build_page(SOURCE / "frontend-1.0"))


def _install(part: str, built: Path) -> Path:
    release = OLD.root / part / "releases" / "1.0.0"
    shutil.copytree(built, release, symlinks=True)
    (OLD.root / part / "current").symlink_to(Path("releases") / "1.0.0")
    return OLD.root / part / "current"
