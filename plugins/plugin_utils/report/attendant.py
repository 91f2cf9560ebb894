# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The process that waits beside a run and writes its report when the run dies without one, be it by SIGKILL.

A process that is killed writes nothing any more, and ansible-runner (so AWX too) cancels with SIGKILL. So a small process
in a session of its own waits for a word of the run or for its death, and makes the report from the run log, which is on
disk. It costs a third of a second of processor time when it starts, and four system calls a second while it waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

DONE = "done"
"""The word of a run that needs no report; any other word says why it ends."""
KILLED = "killed"
PATIENCE = 2.0
"""Seconds that a dying run waits for its report at most."""
LONGEST = 20
"""Seconds after which an attendant that cannot finish, on a dead file system for example, ends itself."""
# The new interpreter knows no collection: the three packages above ours are made by hand, whatever the layout on disk.
_BOOT = """
import json, sys, types
given = json.loads(sys.stdin.readline())
sys.path[:] = given.pop("python_path")
for name, places in (("ansible_collections", []), ("ansible_collections.dihya", []), ("ansible_collections.dihya.migration",
                                                                                     [given.pop("collection")])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = places
from ansible_collections.dihya.migration.plugins.plugin_utils.report.attendant import attend
attend(given)
"""


class Attendant:
    """The run's side: starts the process, and gives it the word. ``log``: path of the run log; ``options``: of :func:`attend`."""

    def __init__(self, log: str, options: Mapping[str, Any]) -> None:
        # Its own session: a signal to the process group of the run (Ctrl-C, a cancel) does not reach it. Few variables of
        # the environment, and what it has to know comes over stdin: other users can read an argument list.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TZ", "LANG", "LC_ALL") if name in os.environ}
        theirs, self._to = os.pipe()
        self._from, answer = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, "dihya-migration-report"],
            stdin=theirs,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env=kept,
        )
        os.close(theirs)
        os.close(answer)
        here = os.path.dirname(os.path.abspath(__file__))
        collection = os.path.dirname(os.path.dirname(os.path.dirname(here)))
        path = [os.path.abspath(place or os.getcwd()) for place in sys.path]
        self._say(json.dumps({"collection": collection, "python_path": path, "parent": os.getpid(), "log": log, **options}))

    def dismiss(self) -> None:
        """No report is needed; does not wait."""
        self._say(DONE)
        self._process.poll()

    def report(self, reason: str, patience: float = PATIENCE) -> list[str]:
        """Have the report written because of ``reason``; the lines for the screen, none when they do not come in time."""
        self._say(reason)
        out, found, until = self._from, b"", time.monotonic() + patience
        while (left := until - time.monotonic()) > 0 and select.select([out], [], [], left)[0]:
            if not (part := os.read(out, 65536)):
                break
            found += part
        return found.decode("utf-8", "replace").splitlines()

    def _say(self, word: str) -> None:
        """Write one line; an attendant that is gone is no error here: then nothing more can be done."""
        with contextlib.suppress(OSError):
            os.write(self._to, word.encode() + b"\n")


def attend(given: dict[str, Any]) -> None:
    """Wait for the word or the death of the run, then write the report where one is needed, and print the lines for the screen.

    ``parent``: pid of the run; ``log``, ``directory``, ``language``, ``hints``: as ``lastwords.write`` takes them.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # who stops the whole control group stops the run, which is what we wait for
    # Imported beforehand: who cancels a run often takes its container away soon after. Not by the run itself, which has no use for it.
    from ansible_collections.dihya.migration.plugins.plugin_utils.report.lastwords import write

    word = _wait(given.pop("parent"))
    if word == DONE:
        return
    signal.alarm(LONGEST)
    sys.stdout.write("\n".join(write(reason=word, **given)))
    sys.stdout.flush()


def _wait(parent: int) -> str:
    """The word of the run; :data:`KILLED` when it is gone without one.

    Workers of Ansible hold the other end of the pipe too and may outlive the run, so that its end says too little.
    """
    while os.getppid() == parent:
        if select.select([0], [], [], 0.25)[0]:
            return os.read(0, 64).decode("ascii", "replace").strip() or KILLED
    return KILLED
