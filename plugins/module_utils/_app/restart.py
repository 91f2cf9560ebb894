# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts a program again that ended by itself: what stands between the record of a process and its program.

It is a program of its own, run as ``python - RECORD PROGRAM ARGUMENT…`` with :func:`script` as its input, and outlives the module: so
it imports what Python brings, and nothing else. It starts the program again once the record says that it was healthy. Until then
the end of the program is its own, so that whoever waits for the process sees it at once. Told to end, it ends its program.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

KEPT = "kept"
"""In a record: the mark of the process that is started again when it ends."""
MARK = "DIHYA_APP_PROCESS"
"""The variable by which the processes of one start are known."""
LONGEST_PAUSE = 60
"""Seconds between two starts, at most; the first pause is of one second, each further one twice as long."""
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What servers take as "read your configuration again" and the like."""


def script(variables: Mapping[str, str]) -> bytes:
    """This file, wherever it was loaded from, with the environment of the program: that of this one is its own."""
    source = pkgutil.get_data(__package__ or "", "restart.py") or b""
    return source + f"raise SystemExit(Keeper(sys.argv[1], sys.argv[2:], {dict(variables)!a}).run())\n".encode()


def kept(record_file: str) -> bool:
    """Whether the record names this very process, and as one that was healthy."""
    try:
        with open(record_file, encoding="utf-8") as stream:
            return json.load(stream).get(KEPT) == os.environ[MARK]
    except (OSError, ValueError, AttributeError, KeyError):
        return False


class Keeper:
    """Runs one program, again and again."""

    def __init__(self, record_file: str, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self.record_file, self.command, self.variables = record_file, command, variables
        self.program: Any = None
        self.ending = 0  # the signal that said so
        self.pausing = False
        # Whatever started us may ignore some of them; the program has the default for each that is handled here.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._end)
        for number in PASSED_ON:
            signal.signal(number, self._pass_on)

    def _end(self, number: int, _frame: object) -> None:
        self.ending = number
        if self.program is not None:
            self._tell_program(number)
        elif self.pausing:
            raise SystemExit(128 + number)

    def _pass_on(self, number: int, _frame: object) -> None:
        if self.program is not None:
            self._tell_program(number)

    def _tell_program(self, number: int) -> None:
        # One of another user is left to who may end it.
        with contextlib.suppress(PermissionError):
            self.program.send_signal(number)

    def run(self) -> int:
        """Run the program until it may not be started again; its exit status."""
        pause = 1
        while True:
            begun = time.monotonic()
            status = self._once()
            if self.ending or not kept(self.record_file):
                return status
            if time.monotonic() - begun >= LONGEST_PAUSE:
                pause = 1
            tell(f"the process ended by itself, exit status {status}; it is started again in {pause} s")
            self.pausing = True
            if not self.ending:
                time.sleep(pause)
            self.pausing = False
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(self) -> int:
        if self.ending:
            return 128 + self.ending
        try:
            # A group of its own: what it sends to its group is not for us. Its end is waited for just below.
            self.program = subprocess.Popen(self.command, env=self.variables, stdin=subprocess.DEVNULL, preexec_fn=os.setpgrp)
        except OSError as error:
            tell(f"{os.path.basename(self.command[0])} cannot be started: {error.strerror}")
            return 127
        if self.ending:  # told so while it started
            self._tell_program(self.ending)
        status = self.program.wait()
        self.program = None
        return status if status >= 0 else 128 - status


def tell(what: str) -> None:
    """A line in the log, which speaks of an error in every framework's words."""
    with contextlib.suppress(OSError):  # a full disk ends programs, and must not end this one
        sys.stderr.write(f"ERROR {what}\n")
        sys.stderr.flush()
