# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes of the demo: started detached, recorded with their start time, ended by exactly that record."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time

from demo.layout import STATE, DemoError

RECORD = STATE / "processes.jsonl"


def status_of(pid: int) -> list[str] | None:
    """The fields of proc(5)'s stat behind the program's name (the third is the first here); None when ``pid`` is gone or a zombie."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields


def start_time(pid: int) -> int | None:
    """Start of ``pid`` in clock ticks since boot (proc(5), field 22); None when it is gone or a zombie."""
    fields = status_of(pid)
    return int(fields[19]) if fields else None


def start(name: str, argv: list[str], directory: pathlib.Path, environment: dict[str, str] | None = None) -> int:
    """Start ``argv`` in ``directory``, its output in <directory>/<name>.log; returns its pid."""
    descriptor = os.open(directory / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as log:
        process = subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                   env={**os.environ, **(environment or {})})
    remember(name, process.pid)
    return process.pid


def remember(name: str, pid: int) -> None:
    """Record a process, so that it is ended with the others whatever becomes of whoever started it."""
    with RECORD.open("a", encoding="utf-8") as record:
        record.write(json.dumps({"name": name, "pid": pid, "start": start_time(pid)}) + "\n")


def recorded() -> list[dict]:
    """Every recorded process that still is the one that was started."""
    if not RECORD.exists():
        return []
    entries = [json.loads(line) for line in RECORD.read_text(encoding="utf-8").splitlines()]
    return [entry for entry in entries if entry["start"] is not None and start_time(entry["pid"]) == entry["start"]]


def with_children(entries: list[dict]) -> list[dict]:
    """``entries`` and all processes below them, parents first: the forks of ansible-playbook have sessions of their own."""
    children: dict[int, list[dict]] = {}
    for process in pathlib.Path("/proc").iterdir():
        fields = status_of(int(process.name)) if process.name.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append({"pid": int(process.name), "start": int(fields[19])})
    found = list(entries)
    for entry in found:  # grows
        found += [{"name": f"of {entry['name']}", **child} for child in children.get(entry["pid"], ())]
    return found


def working_in(directory: pathlib.Path) -> list[dict]:
    """Processes whose working directory is ``directory`` or below: also those that a migration started there."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            below = pathlib.Path(os.readlink(process / "cwd")).is_relative_to(directory)
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
        if below:
            found.append({"name": name, "pid": int(process.name), "start": start_time(int(process.name))})
    return [entry for entry in found if entry["start"] is not None]


def stop(entries: list[dict], seconds: float = 15.0) -> None:
    """End these processes, with SIGKILL those that do not end; raises ``DemoError`` when one survives."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for entry in alive(entries):
            signal_process(entry["pid"], number)
        until = time.monotonic() + patience
        while alive(entries) and time.monotonic() < until:
            reap()
            time.sleep(0.05)
        if not alive(entries):
            return
    raise DemoError("these processes do not end: " + ", ".join(f"{entry['name']} ({entry['pid']})" for entry in alive(entries)))


def alive(entries: list[dict]) -> list[dict]:
    """Those that still run."""
    return [entry for entry in entries if start_time(entry["pid"]) == entry["start"]]


def signal_process(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def reap() -> None:
    """Collect our own children that ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
