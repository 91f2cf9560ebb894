# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Molecule with the paths it needs: `python -m dev.testing.containers test|create|converge|verify|destroy|… SCENARIO`.

Says why, and ends with the exit status of a skipped step, where no containers can be had.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

from dev.testing.steps import cannot_run

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONF = ROOT / "molecule" / "shared" / "containers.conf"


def obstacle(environment: dict[str, str]) -> str:
    """Why no containers can be had here, empty when they can; networks and mmdebstrap need root."""
    missing = [name for name in ("podman", "runc", "mmdebstrap", "ssh") if not shutil.which(name, path=environment["PATH"])]
    if missing:
        return f"not installed here: {', '.join(missing)}"
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and (not shutil.which("sudo") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode):
        return "containers need root or sudo without a password"
    # sudo resets the environment, so the setting travels as an argument of env.
    info = subprocess.run([*prefix, "env", f"CONTAINERS_CONF={CONF}", "podman", "info"], env=environment, capture_output=True, text=True,
                          errors="replace", check=False)
    return "" if info.returncode == 0 else f"podman does not work here: {info.stderr.strip().rpartition(chr(10))[2]}"


def main() -> int:
    """Run one Molecule command on one scenario; its exit status."""
    command, scenario = sys.argv[1:3]
    environment = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"}
    # The scenario says where Ansible's state lies; settings of the caller's shell must not reach it.
    environment = {name: value for name, value in environment.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    environment["MOLECULE_EPHEMERAL_DIRECTORY"] = str(ROOT / "build" / "molecule" / scenario)
    if not sys.stdout.isatty():
        environment |= {"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    reason = obstacle(environment)
    if reason:
        return cannot_run(reason)
    argv = [str(pathlib.Path(sys.executable).parent / "molecule"), command, "-s", scenario, *sys.argv[3:]]
    return subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
