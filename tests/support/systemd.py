# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real manager of systemd for one user, on a machine that systemd need not have booted.

It refuses to work where ``/run/systemd/system`` is missing, so it and its systemctl get a /run/systemd of their own.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time

from tests.support.needs import cannot_run, require_root

MANAGER = "/lib/systemd/systemd"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
BEGIN = """
mount -t tmpfs none /run/systemd && mkdir /run/systemd/system
for tree in {trees}; do mkdir -p $tree && echo $$ >$tree/cgroup.procs; done
exec {manager} --user --log-target=null
"""


class Systemd:
    """The manager, its units in ``config/systemd/user``; ``environment`` is what its clients need."""

    def __init__(self, root: pathlib.Path) -> None:
        require_root()
        self.units = root / "config" / "systemd" / "user"
        self.units.mkdir(parents=True)
        (root / "runtime").mkdir(mode=0o700)
        (root / "bin").mkdir()
        pathlib.Path("/run/systemd").mkdir(exist_ok=True)
        if not os.path.exists(MANAGER) or not shutil.which("nsenter"):
            cannot_run("systemd or util-linux is not installed here")
        self.environment = {"XDG_RUNTIME_DIR": str(root / "runtime"), "XDG_CONFIG_HOME": str(root / "config"), "HOME": str(root),
                            "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}
        # A tree of its own in each hierarchy in which systemd keeps units: it moves everything that it finds beside it.
        places = (CGROUPS, CGROUPS / "systemd", CGROUPS / "unified")
        self._cgroups = [place / f"dihya-{os.getpid()}" for place in places if (place / "cgroup.procs").exists()]
        script = BEGIN.format(trees=" ".join(map(str, self._cgroups)), manager=MANAGER)
        self._process = subprocess.Popen(["unshare", "--mount", "--propagation=private", "sh", "-ec", script],
                                         env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, start_new_session=True)
        client = root / "bin" / "systemctl"
        enter = f"nsenter --target={self._process.pid} --mount"
        client.write_text(f"#!/bin/sh\nXDG_CONFIG_HOME={root / 'config'} exec {enter} {shutil.which('systemctl')} \"$@\"\n")
        client.chmod(0o755)
        deadline = time.monotonic() + 20
        while self.control("is-system-running").stdout.strip() not in ("running", "degraded"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                cannot_run("systemd does not start for a user here")
            time.sleep(0.1)

    def control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run systemctl."""
        return subprocess.run([str(pathlib.Path(self.environment["PATH"].split(":")[0]) / "systemctl"), "--user", *arguments],
                              env={**os.environ, **self.environment}, check=False, text=True, capture_output=True)

    def unit(self, name: str, *lines: str) -> None:
        """Install a unit."""
        (self.units / name).write_text("\n".join(lines) + "\n")
        assert self.control("daemon-reload").returncode == 0

    def state(self, name: str) -> tuple[str, str]:
        """Whether a unit runs and whether it is enabled, in systemd's words."""
        shown = self.control("show", "--property=ActiveState", "--property=UnitFileState", name).stdout
        found = dict(line.split("=", 1) for line in shown.splitlines())
        return found["ActiveState"], found["UnitFileState"]

    def stop(self) -> None:
        """End it and all its units."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for tree in self._cgroups:
            for place in sorted(tree.rglob("*"), reverse=True):
                if place.is_dir():
                    place.rmdir()
            tree.rmdir()
