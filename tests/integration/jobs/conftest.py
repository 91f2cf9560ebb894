# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real units of a real systemd, crontab files, and commands that leave a trace."""

from __future__ import annotations

import pathlib

import pytest

from tests.support.systemd import Systemd

WORKER = ("[Service]", "ExecStart=/bin/sleep 1000", "[Install]", "WantedBy=default.target")
TIMER = ("[Timer]", "OnActiveSec=1h", "[Install]", "WantedBy=default.target")
SCRIPT = """#!/bin/sh
# A job in a file: {name} status | start | stop
case $1 in
    status) test -e {state} && echo on || echo off ;;
    start) test -e {broken} && exit 3; touch {state} ;;
    stop) rm -f {state} ;;
esac
test "$1" = status || echo "{name} $1" >>{trace}
"""


class OwnJob:
    """A job of the kind command; it runs while its file ``state`` is there, and cannot be started while ``broken`` is."""

    def __init__(self, root: pathlib.Path, name: str, trace: pathlib.Path) -> None:
        self.name, self.state, self.broken, self._script = name, root / f"{name}.on", root / f"{name}.broken", root / name
        self._script.write_text(SCRIPT.format(name=name, state=self.state, broken=self.broken, trace=trace))
        self._script.chmod(0o755)

    @property
    def runs(self) -> bool:
        return self.state.exists()

    def option(self) -> dict:
        """It as the inventory names it."""
        return {"name": self.name, **{verb: [str(self._script), verb] for verb in ("status", "start", "stop")}}


@pytest.fixture(name="manager", scope="module")
def fixture_manager(tmp_path_factory):
    """A manager of systemd with a worker, a timer, a service that is never enabled, one that dies, and what the timer begins.

    That ends once the file ``reported`` is there beside the units.
    """
    systemd = Systemd(tmp_path_factory.mktemp("systemd"))
    systemd.unit("worker.service", *WORKER)
    systemd.unit("helper.service", "[Service]", "ExecStart=/bin/sleep 1000")
    systemd.unit("report.timer", *TIMER)
    ended = systemd.units / "reported"
    systemd.unit("report.service", "[Service]", "Type=oneshot", f"ExecStart=/bin/sh -c 'until [ -e {ended} ]; do sleep 0.1; done'")
    systemd.unit("dying.service", "[Unit]", "StartLimitIntervalSec=0", "[Service]", "ExecStart=/bin/false", "Restart=always",
                 "RestartSec=200ms", "[Install]", "WantedBy=default.target")
    yield systemd
    systemd.stop()
