# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A timer on this host that reopens the source when a freeze lasts too long, or when the run that made it is no longer heard of.

It is a shell process of its own, which needs neither Ansible nor Python and outlives both, but not a restart of the
host, after which the next run starts it again. One rename decides: the timer or the commit takes the file ``armed`` away,
and the other then does nothing. It has the passwords in a file of its own, ``pgpass``, which goes with it: those of a run
are removed with the run.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id, start_time
from ansible_collections.dihya.migration.plugins.module_utils._processes import read_stat

LOOK = 5
"""Seconds between two looks for a sign of the run; a quarter of its lease where that is less."""
OPENING = 330.0  # seconds for a timer that has begun to open the source: longer than we give the same command
SCRIPT = """\
#!/bin/sh
# Undoes the freeze after {longest} s, or {lease} s after the last sign of the run, unless the file armed beside it was taken away before.
# It counts what it slept: a clock that is set meanwhile must not end a freeze.
umask 077
passed=0 quiet=0
true >{base}.seen
while [ "$passed" -lt {longest} ] && [ "$quiet" -lt {lease} ]; do
  look={look}
  [ "$look" -le $(({longest} - passed)) ] || look=$(({longest} - passed))
  sleep "$look"
  passed=$((passed + look)) quiet=$((quiet + look))
  if [ -n "$(find {signs} -newer {base}.seen 2>/dev/null)" ]; then
    true >{base}.seen
    quiet=0
  fi
done
[ "$passed" -lt {longest} ] || true >{base}.expired
# Whether somebody opens the source, who has put the file armed aside meanwhile; one who died at it leaves it to us.
opens() {{
  read -r pid start 2>/dev/null <{base}.holder || return 1
  set -- $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null)
  [ "${{20:-}}" = "$start" ] && [ "$1" != Z ]
}}
until mv {base}.armed {base}.fired 2>/dev/null; do
  [ -e {base}.aside ] || exit 0
  if ! opens && mv {base}.aside {base}.fired 2>/dev/null; then
    opens || break
    mv {base}.fired {base}.aside
  fi
  sleep 1
done
[ ! -r {base}.pgpass ] || export PGPASSFILE={base}.pgpass
sh {reopen} >{base}.log 2>&1 && mv {base}.fired {base}.reopened
rm -f {base}.pgpass
"""
# The timer is to outlive us, and whoever ends us with all that we started: so it is a child of a shell that is gone.
START = 'sh "$1" >/dev/null 2>&1 & echo "$!"'
TOO_LONG = ("the freeze lasted longer than it may, and the source was opened again: roll back and try again, "
            "with a longer limit or less to move", "migration_freeze_max")
UNHEARD = ("the run was not heard of for so long that it was taken for dead, and the source was opened again: roll back and try "
           "again, with a longer lease where a step may be quiet for that long", "migration_freeze_lease")
STUCK = "the timer of the freeze could not open the source, what it tried is told in {path}: roll back"


class Limits(NamedTuple):
    """Seconds for which a freeze may last (0: for ever), and may be left alone by the run that made it.

    What is written to one of ``signs`` shows that the run goes on. Without ``lease`` or ``signs``, nobody looks for it.
    """

    longest: int = 0
    lease: int = 0
    signs: tuple[str, ...] = ()

    @property
    def script(self) -> dict[str, str | int]:
        """What :data:`SCRIPT` wants to know of it."""
        watched = bool(self.lease and self.signs)
        return {"longest": self.longest, "lease": self.lease if watched else self.longest,
                "look": max(1, min(LOOK, self.lease // 4)) if watched else self.longest,
                "signs": shlex.join(self.signs if watched else ["/dev/null"])}


NO_LIMITS = Limits()


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

    def arm(self, limits: Limits, passwords: bytes = b"") -> None:
        """Start the timer, in place of an earlier one; the script that reopens is there already.

        ``passwords`` is what a libpq password file says.
        """
        if not self.reopen_script:
            raise MigrationError("a freeze with a limit needs the script that undoes it: give reopen_script",
                                 subject="migration_freeze_max")
        self.clear()
        script = SCRIPT.format(**limits.script, base=shlex.quote(self.base), reopen=shlex.quote(self.reopen_script))
        publish(f"{self.base}.sh", script.encode(), 0o700)
        if passwords:
            publish(f"{self.base}.pgpass", passwords)
        publish(f"{self.base}.armed", f"{limits.longest}\n".encode())
        self._start()

    @property
    def watching(self) -> bool:
        """Whether the timer is set and lives."""
        return self._there("armed") and bool(self._timer())

    def renew(self) -> None:
        """Start a timer again that is set and does not live, as after a restart of the host; it begins anew.

        One that somebody put aside who died since is set too.
        """
        if not self._held():
            self._rename("aside", "armed")
        if self._there("armed") and not self._timer():
            self._start()

    def _start(self) -> None:
        with subprocess.Popen(["/bin/sh", "-c", START, "sh", f"{self.base}.sh"], cwd="/", start_new_session=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
            timer = int(starter.communicate()[0])
        publish_json(f"{self.base}.pid", {"pid": timer, "group": starter.pid, "start": start_time(timer), "boot": boot_id()})

    def check(self) -> None:
        """Raise when the timer has begun to open the source."""
        lives = bool(self._timer())  # looked at first: one that lived may have done it meanwhile
        if self._there("fired") and not lives:
            raise MigrationError(STUCK.format(path=f"{self.base}.log"), subject="migration_freeze_max")
        if self._there("fired") or self.reopened:
            message, subject = TOO_LONG if self._there("expired") else UNHEARD
            raise MigrationError(message, subject=subject)

    def disarm(self) -> None:
        """Take the timer away for good; raises when it was faster."""
        self.take()
        self.check()
        self.clear()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Keep the timer from opening the source, or wait for it where it has begun: of two that grant the same at once one fails.

        It is set again when what is done meanwhile fails, and opens the source by itself when we die at it.
        """
        with contextlib.suppress(OSError):  # a full disk keeps nobody from opening the source
            publish(f"{self.base}.holder", f"{os.getpid()} {start_time(os.getpid())}\n".encode())
        self._rename("armed", "aside")
        until = time.monotonic() + OPENING
        while self._there("fired") and self._timer():
            if time.monotonic() > until:
                raise MigrationError(f"the timer of the freeze is still opening the source: what it runs is in {self.reopen_script}, "
                                     f"what that printed in {self.base}.log")
            time.sleep(0.1)
        try:
            yield
        except BaseException:
            self._rename("aside", "armed")
            self.renew()
            raise

    def _timer(self) -> dict[str, Any]:
        """The timer's process, empty when it does not live."""
        try:
            timer = read_json(f"{self.base}.pid")
        except (OSError, ValueError):
            return {}
        found = read_stat(timer["pid"])
        return timer if found and found.start == timer["start"] and boot_id() == timer["boot"] else {}

    def _held(self) -> bool:
        """Whether another process that lives keeps the timer aside."""
        try:
            with open(f"{self.base}.holder", encoding="utf-8") as stream:
                pid, start = map(int, stream.read().split())
        except (OSError, ValueError):
            return False
        found = read_stat(pid)
        return found is not None and found.start == start and pid != os.getpid()

    def _rename(self, old: str, new: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{self.base}.{old}", f"{self.base}.{new}")
            return True
        return False

    def take(self) -> None:
        """Remove the file for which timer and commit race: from here on the timer's process does nothing."""
        for name in ("armed", "aside"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.base}.{name}")

    def give_up(self) -> None:
        """Take the timer away where the source is open and not as before: what it did stays known, its password does not."""
        self.take()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.base}.pgpass")

    def clear(self) -> None:
        """End the timer's process and remove its files."""
        self.take()
        timer = self._timer()
        if timer:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(timer["group"], signal.SIGKILL)
        for name in ("sh", "pid", "pgpass", "holder", "seen", "expired", "fired", "reopened", "log"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.base}.{name}")
