# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A timer on this host that reopens the source when a freeze lasts too long, whoever died meanwhile.

It is a shell process of its own, which needs neither Ansible nor Python and outlives both, but not a restart of the
host. One rename decides: the timer or the commit takes the file ``armed`` away, and the other then does nothing.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id, is_alive, start_time

SCRIPT = """\
#!/bin/sh
# Undoes the freeze after {seconds} s, unless the file armed beside it was taken away before.
sleep {seconds}
mv {base}.armed {base}.fired 2>/dev/null || exit 0
umask 077
sh {reopen} >{base}.log 2>&1 && mv {base}.fired {base}.reopened
"""


class Guard:
    """The timer of one freeze; its files begin with ``base``."""

    def __init__(self, base: str, reopen_script: str | None) -> None:
        self.base, self.reopen_script = base, reopen_script

    def _there(self, name: str) -> bool:
        return os.path.exists(f"{self.base}.{name}")

    @property
    def reopened(self) -> bool:
        """Whether the timer has opened the source again."""
        return self._there("reopened")

    def arm(self, seconds: int) -> None:
        """Start the timer, in place of an earlier one; the script that reopens is there already."""
        if not self.reopen_script:
            raise MigrationError("a freeze with a limit needs the script that undoes it: give reopen_script",
                                 subject="migration_freeze_max")
        self.clear()
        script = SCRIPT.format(seconds=seconds, base=shlex.quote(self.base), reopen=shlex.quote(self.reopen_script))
        publish(f"{self.base}.sh", script.encode(), 0o700)
        publish(f"{self.base}.armed", f"{seconds}\n".encode())
        timer = subprocess.Popen(  # it is to outlive us
            ["/bin/sh", f"{self.base}.sh"], cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        publish_json(f"{self.base}.pid", {"pid": timer.pid, "start": start_time(timer.pid), "boot": boot_id()})

    def check(self) -> None:
        """Raise when the timer has begun to open the source."""
        if self._there("fired") or self.reopened:
            raise MigrationError("the freeze lasted longer than it may, and the source was opened again: roll back and try again, "
                                 "with a longer limit or less to move", subject="migration_freeze_max")

    def disarm(self) -> None:
        """Take the timer away for good; raises when it was faster."""
        self._take()
        self.check()
        self.clear()

    def _take(self) -> None:
        """Remove the file for which timer and commit race: from here on the timer's process does nothing."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.base}.armed")

    def clear(self) -> None:
        """End the timer's process and remove its files."""
        try:
            timer = read_json(f"{self.base}.pid")
        except (OSError, ValueError):
            timer = None
        self._take()
        if timer and is_alive(timer):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(timer["pid"], signal.SIGKILL)
        for name in ("sh", "pid", "fired", "reopened", "log"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.base}.{name}")
