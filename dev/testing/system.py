# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs of the system that some tiers use: found, installed with apt where we may, else named."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

NO_CLUSTER = pathlib.Path("/etc/postgresql-common/createcluster.d/dihya-tests.conf")


@dataclass(frozen=True)
class Need:
    """A program by name, or a file by absolute path, and the Debian package that brings it (the same name if none is given)."""

    program: str
    package: str = ""

    def met(self) -> bool:
        """Whether it is here."""
        if os.path.isabs(self.program):
            return os.path.exists(self.program)
        return shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None

    @property
    def debian(self) -> str:
        """Name of its package."""
        return self.package or self.program


def install(needs: list[Need]) -> None:
    """Install what is missing, or say what is and why it stays so; tests that need it skip themselves."""
    missing = sorted({need.debian for need in needs if not need.met()})
    if not missing:
        return
    prefix = _privilege()
    if prefix is None:
        print(f"  system packages missing: {' '.join(missing)}; not installed (needs apt and root or sudo without a password): "
              "tests that need them are skipped", flush=True)
        return
    print(f"  system packages: installing {' '.join(missing)}", flush=True)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    _quiet([*prefix, *environment, "apt-get", "update"])
    quiet_cluster = "postgresql-15" in missing and not NO_CLUSTER.exists()
    if quiet_cluster:  # the package would start a server that nobody asked for
        _quiet([*prefix, "install", "-D", "/dev/stdin", str(NO_CLUSTER)], "create_main_cluster = false\n")
    try:
        for package in missing:  # one by one: a package that this release lacks must not cost the others
            _quiet([*prefix, *environment, "apt-get", "install", "--yes", "--no-install-recommends", package])
    finally:
        if quiet_cluster:
            _quiet([*prefix, "rm", "-f", str(NO_CLUSTER)])


def _privilege() -> list[str] | None:
    """What to put before a command to run it as root; None where that cannot be had without a question."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        return ["sudo", "-n"]
    return None


def _quiet(argv: list[str], text: str = "") -> None:
    done = subprocess.run(argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        last = done.stdout.strip().rpartition("\n")[2]
        print(f"  {' '.join(argv[-2:])}: {last or 'failed'}", flush=True)
