# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Chromium, driven over a pair of pipes: no port that other users could reach, and nothing to install but the browser.

The protocol is the browser's own (``--remote-debugging-pipe``): JSON messages that end with a NUL byte, in on
descriptor 3 and out on descriptor 4. When we die the pipes close and the browser ends itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import environment, find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

QUIET = (
    "--headless", "--disable-gpu", "--no-first-run", "--no-pings", "--disable-background-networking", "--disable-breakpad",
    "--disable-component-update", "--disable-default-apps", "--disable-domain-reliability", "--disable-sync", "--metrics-recording-only",
)
"""Flags under which the browser asks the network for the pages it is told to open and for nothing else."""
LISTEN = "--remote-debugging-port=0"
"""Makes the browser listen on a free port of loopback too, for a tool that needs one."""
START = 30.0
"""Seconds that the browser has to answer for the first time."""
FIRST_FREE = 10
"""Our descriptors lie above those that the child gets, so that none is overwritten while they are passed on."""


def flags() -> list[str]:
    """The flags for this user: root has no sandbox to start, every other user keeps it."""
    return [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


@contextlib.contextmanager
def private_home(ca: str | None) -> Iterator[str]:
    """A home directory (0700) for one browser, removed at the end; with ``ca`` (a PEM file) its store trusts that authority too.

    Raises :class:`MigrationError` when ``ca`` cannot be added. Certificates stay verified in either case.
    """
    home = tempfile.mkdtemp(prefix="dihya-pages-")
    try:
        if ca:
            store = os.path.join(home, ".pki", "nssdb")
            os.makedirs(store, mode=0o700)
            certutil = find_tool("certutil")
            run([certutil, "-d", f"sql:{store}", "-N", "--empty-password"], timeout=60)
            try:
                run([certutil, "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "authority", "-i", ca], timeout=60)
            except MigrationError:
                raise MigrationError(f"{ca} cannot be read as the certificate of an authority: give a PEM file") from None
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Browser:
    """A running Chromium. ``call`` sends a command and waits for its answer; events that arrive meanwhile are kept in ``events``."""

    def __init__(self, program: str, home: str, log: str, more: tuple[str, ...] = ()) -> None:
        path = program if "/" in program else find_tool(program)
        self._buffer, self._number, self.events = b"", 0, []  # type: bytes, int, list[dict[str, Any]]
        read_commands, self._commands = _pipe()
        self._answers, write_answers = _pipe()
        self._profile = os.path.join(home, "profile")
        arguments = [path, *flags(), *more, "--remote-debugging-pipe", f"--user-data-dir={self._profile}", "about:blank"]
        actions = [
            (os.POSIX_SPAWN_DUP2, read_commands, 3), (os.POSIX_SPAWN_DUP2, write_answers, 4),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            self._pid = os.posix_spawn(path, arguments, environment({"HOME": home, "TMPDIR": home}), file_actions=actions, setsid=True)
        except OSError as error:
            self._close_pipes()
            raise MigrationError(f"{path} could not be started ({error.strerror}): install Chromium, or correct its path") from None
        finally:
            os.close(read_commands)
            os.close(write_answers)

    def version(self) -> dict[str, str]:
        """``product`` and ``userAgent`` of the browser; raises :class:`MigrationError` when it does not come up."""
        return self.call("Browser.getVersion", timeout=START)

    def port(self) -> int:
        """The port of loopback on which it listens too, when it was started with :data:`LISTEN`."""
        written, deadline = os.path.join(self._profile, "DevToolsActivePort"), time.monotonic() + START
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, IndexError), open(written, encoding="ascii") as stream:
                return int(stream.read().splitlines()[0])
            time.sleep(0.05)
        raise Late("its port")

    def open_tab(self) -> str:
        """A new, empty tab of a profile of its own (no cookie or cache of another one); returns its session."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        return str(self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def call(self, method: str, session: str | None = None, timeout: float = 30.0, **parameters: Any) -> dict[str, Any]:
        """The result of ``method``; raises :class:`MigrationError` when it is refused or takes longer than ``timeout`` seconds."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        with contextlib.suppress(BrokenPipeError):  # a browser that is gone is told of by the pipe that we read
            _write_all(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") != self._number:
                self.events.append(answer)
            elif "error" in answer:
                raise MigrationError(f"Chromium refused {method} ({answer['error'].get('code')}): use a newer one")
            else:
                return dict(answer["result"])

    def wait(self, session: str, matches: Any, timeout: float) -> bool:
        """Whether an event of ``session`` for which ``matches(event)`` holds has come or comes within ``timeout`` seconds."""
        deadline, seen = time.monotonic() + timeout, 0
        while True:
            if any(event.get("sessionId") == session and matches(event) for event in self.events[seen:]):
                return True
            seen = len(self.events)
            if time.monotonic() >= deadline:
                return False
            try:
                self.events.append(self._receive(deadline, "an event"))
            except TimeoutError:
                return False

    def close(self) -> None:
        """End the browser and everything it started."""
        self._close_pipes()
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)  # not reaped yet: the group's number is still its own
        os.waitpid(self._pid, 0)

    def _receive(self, deadline: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise Late(waiting_for)
            received = os.read(self._answers, 1 << 20)
            if not received:
                raise MigrationError("Chromium ended: start it by hand as the same user to see why (often its sandbox or missing memory)")
            self._buffer += received
        message, _nul, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _close_pipes(self) -> None:
        for descriptor in (self._commands, self._answers):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Late(MigrationError, TimeoutError):
    """The browser did not answer in time."""

    def __init__(self, waiting_for: str) -> None:
        super().__init__(f"Chromium did not answer in time ({waiting_for}): raise timeout, or look at the load of this host")


@contextlib.contextmanager
def browsing(program: str, ca: str | None, log: str, *more: str) -> Iterator[Browser]:
    """A browser that trusts ``ca`` and the system's authorities; ended and forgotten afterwards.

    ``log`` gets what it prints, ``more`` are flags. When we die it ends by itself, because its pipe ends.
    """
    with private_home(ca) as home:
        browser = Browser(program, home, log, more)
        try:
            yield browser
        finally:
            browser.close()


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors lie above those that a child is given."""
    moved = []
    for descriptor in os.pipe():
        moved.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE))
        os.close(descriptor)
    return moved[0], moved[1]


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``: a pipe may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]
