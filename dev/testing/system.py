# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs of the system that some tiers use: found, installed with apt where we may, else named."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

# Files that keep Debian's packages from making or starting anything while they are installed.
QUIETING = {
    pathlib.Path("/etc/postgresql-common/createcluster.d/dihya-tests.conf"): "create_main_cluster = false\n",
    pathlib.Path("/usr/sbin/policy-rc.d"): "#!/bin/sh\nexit 101\n",
}


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
    """Install what is missing, or say what is and why it stays so; who needs it goes without it."""
    missing = sorted({need.debian for need in needs if not need.met()})
    if not missing:
        return
    prefix = _privilege()
    if prefix is None:
        print(f"  system packages missing: {' '.join(missing)}; not installed (needs apt and root or sudo without a password): "
              "what needs them is skipped", flush=True)
        return
    print(f"  system packages: installing {' '.join(missing)}", flush=True)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    _quiet([*prefix, *environment, "apt-get", "update"])
    # Packages of servers would start servers that nobody asked for.
    quieting = {path: text for path, text in QUIETING.items() if not path.exists()}
    for path, text in quieting.items():
        _quiet([*prefix, "install", "-D", "/dev/stdin", str(path)], text)
    try:
        add = [*prefix, *environment, "apt-get", "install", "--yes", "--no-install-recommends"]
        # All at once runs every trigger once; but a package that this release lacks must not cost the others.
        if subprocess.run([*add, *missing], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0:
            for package in missing:
                _quiet([*add, package])
    finally:
        for path in quieting:
            _quiet([*prefix, "rm", "-f", str(path)])


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
