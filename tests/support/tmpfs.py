# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""File systems of the tests' own."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

from tests.support.needs import cannot_run, require_root


@contextlib.contextmanager
def tmpfs(directory: pathlib.Path, options: str) -> Iterator[None]:
    """One in memory over ``directory``, mounted with ``options`` (``size=4m``, ``ro``)."""
    require_root()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=False, capture_output=True, text=True)
    if mounted.returncode:
        cannot_run(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)
