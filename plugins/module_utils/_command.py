# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one way in which engines run programs: argument lists, no shell, every exit status looked at.

Secrets are never arguments or environment values: pass the path of a 0600 file (``PGPASSFILE``, an identity file).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish

SHOWN = 300
PR_SET_PDEATHSIG = 1
# They may cancel what they do in a server; what still lives after five seconds is killed.
WATCHER = """read nothing
kill -s TERM -- "-$1" && for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; kill -s 0 -- "-$1" || exit; done
kill -s KILL -- "-$1"
"""
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be loaded between fork and exec


@dataclass(frozen=True)
class Finished:
    """What a program left behind; ``duration`` in seconds."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    duration: float


def find_tool(name: str, directory: str | None = None) -> str:
    """Absolute path of the program ``name``, in ``directory`` when given, else on PATH; raises when missing."""
    path = shutil.which(name, path=directory) if directory else shutil.which(name)
    if path is None:
        place = directory or "PATH"
        raise MigrationError(f"the program {name} was not found in {place}: install it, or say where it is")
    return path


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A small, predictable environment: messages in English, no inherited PG* or tool settings, plus ``extra``."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    log: str | None = None,
    check: bool = True,
    on_death: int = signal.SIGTERM,
    name: str | None = None,
    pass_fds: Sequence[int] = (),
    wraps: bool = False,
    lifeline: bool = False,
) -> Finished:
    """Run ``argv`` to its end and return what it printed.

    ``env`` is added to :func:`environment`. ``log`` names a file (published 0600) that keeps the whole output.
    ``on_death`` is the signal that ends it when we die. ``name`` is what messages call the program, when not its file name;
    ``pass_fds`` are descriptors that it gets. One that ``wraps`` starts others, which end with us too. The input of one with a
    ``lifeline`` says nothing and ends when we do.
    Raises :class:`MigrationError` when the program cannot start, exceeds ``timeout`` seconds (it is killed with its
    process group) or, with ``check``, exits with another status than 0. The message names the program and the
    status only: what a server printed may contain rows, so it stays in ``log``.
    """
    program = name or os.path.basename(argv[0])
    started = time.monotonic()
    with _lifeline() if lifeline else contextlib.nullcontext(subprocess.PIPE if stdin is not None else subprocess.DEVNULL) as source:
        process = start(argv, env=env, on_death=on_death, cwd=cwd, text=True, errors="backslashreplace", pass_fds=pass_fds,
                        stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            with group_ends_with_us(process) if wraps else contextlib.nullcontext():
                out, err = process.communicate(stdin, timeout=timeout)
        except BaseException as error:
            kill_group(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise MigrationError(f"{program} did not end within {timeout:g} s and was stopped") from None
            raise
    finished = Finished(tuple(argv), process.returncode, out, err, time.monotonic() - started)
    if log is not None:
        publish(log, (out + err).encode())
    if check and finished.status != 0:
        raise MigrationError(f"{program} failed with exit status {finished.status}" + (f", its output is in {log}" if log else ""))
    return finished


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """A descriptor to read from, whose other end nobody but us has."""
    ends = os.pipe()
    try:
        yield ends[0]
    finally:
        for end in ends:
            os.close(end)


def start(argv: Sequence[str], *, env: Mapping[str, str] | None = None, on_death: int = signal.SIGTERM, **popen: Any) -> subprocess.Popen:
    """Start ``argv`` as leader of its own process group, ended by ``on_death`` when the thread that started it dies.

    A worker killed with SIGKILL thus leaves no program at work behind it. ``popen`` are arguments of ``Popen``.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, int(on_death), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    try:
        return subprocess.Popen(
            list(argv), env=environment(env), start_new_session=True, preexec_fn=die_with_parent, **popen)
    except OSError as error:
        raise MigrationError(f"{os.path.basename(argv[0])} could not be started: {error.strerror}") from None


@contextlib.contextmanager
def group_ends_with_us(process: subprocess.Popen) -> Iterator[None]:
    """While this lasts, the whole group of ``process`` is ended when we die, however we do.

    The kernel ends only the program that :func:`start` started (see there): what a wrapper of a shell started in its turn
    would work on. The watcher sees our end as the end of its input.
    """
    with subprocess.Popen(["/bin/sh", "-c", WATCHER, "sh", str(process.pid)], env=environment(), stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as watcher:
        try:
            yield
        finally:
            watcher.kill()


def kill_group(process: subprocess.Popen) -> None:
    """End a process started with ``start_new_session`` and all its children, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def cut(text: str) -> str:
    """``text`` in one line of at most 300 characters, for results and messages."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
