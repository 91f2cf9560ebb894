# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a test needs of the machine. A test that cannot run here says so; with TEST_NO_SKIP=1 that is a failure."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

from demo.postgres_server import bin_directory


def cannot_run(reason: str) -> NoReturn:
    """Skip the test with ``reason``, which the test run lists at its end."""
    if os.environ.get("TEST_NO_SKIP"):
        pytest.fail(f"skips are failures here: {reason}")
    pytest.skip(reason)


def require_program(*names: str) -> str:
    """Path of the first of ``names`` that is installed, else the test cannot run."""
    path = next(filter(None, (shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for name in names)), None)
    return path or cannot_run(f"{' or '.join(names)} is not installed here")


def require_postgres(major: int) -> None:
    """Go on only where PostgreSQL ``major`` can be started."""
    try:
        bin_directory(major)
    except LookupError as missing:
        cannot_run(str(missing))


def require_root() -> None:
    """Go on only as root."""
    if os.geteuid() != 0:
        cannot_run("needs root")


def require_podman() -> None:
    """Go on only where containers can be run."""
    require_root()
    require_program("podman")
    if not os.path.exists("/usr/sbin/runc"):
        cannot_run("runc is not installed here")
