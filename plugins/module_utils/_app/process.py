# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The process of an application without root: started detached, known by more than its pid, stopped with all its children.

The pid file is a 0600 JSON record. It is written by the new process itself before it becomes what watches the program
(:mod:`restart`), so nothing ever runs that no record names. The record also keeps what ran before (``previous``): that is what
makes a deployment reversible.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import env_file, process_table, restart
from ansible_collections.dihya.migration.plugins.module_utils._app.probe import Expectation, check_url, probe
from ansible_collections.dihya.migration.plugins.module_utils._command import environment
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._processes import read_stat

Record = dict[str, Any]
PAUSE = 0.05
BEGIN = 30.0
"""Seconds within which a program has been started on the slowest host."""
# Options of the modules that run an application, as the documentation fragment dihya.migration.app.serving describes them.
SERVING_SPEC: dict[str, dict[str, Any]] = {
    "port": {"type": "int"},
    "health_url": {"type": "str"},
    "health_timeout": {"type": "float", "default": 60},
    "ca": {"type": "path"},
}


@dataclass(frozen=True)
class Definition:
    """What to run: ``chdir`` is resolved, so that a switched ``current`` link is another definition."""

    name: str
    argv: tuple[str, ...]
    chdir: str
    log_file: str
    env_file: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The environment of the process, secrets included; never shown."""
        return {**self.environment, **(env_file.read(self.env_file) if self.env_file else {})}

    def digest(self) -> str:
        """Changes with everything that would make a running process differ from this definition."""
        text = json.dumps([self.argv, self.chdir, self.log_file, sorted(self.variables().items())])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Health:
    """When a process counts as serving: ``successes`` good answers in a row within ``timeout`` seconds."""

    expected: Expectation
    timeout: float = 60.0
    successes: int = 3
    interval: float = 0.3


def health_of(options: dict[str, Any]) -> Health | None:
    """What ``health_url`` and the options beside it ask for; None when no address is given."""
    if not options["health_url"]:
        return None
    check_url(options["health_url"])
    expected = Expectation(options["health_url"], ca=options["ca"], timeout=5.0, min_tls="1.2")
    return Health(expected, options["health_timeout"], options.get("health_successes", Health.successes))


@dataclass(frozen=True)
class Plan:
    """``action`` in none, start, restart, stop, revert, resume; ``reason`` for people."""

    action: str
    reason: str


def decide(
    state: str, name: str | None, record: Record | None, alive: bool, digest: str | None = None, watched: bool = True
) -> Plan:
    """What leads from ``record`` to ``state``; pure. A record of another ``name`` is not ours to stop."""
    if state == "observed":
        return Plan("none", "the process runs" if alive else "the process does not run")
    if state == "started":
        if not record or not (alive or _living_previous(record)):
            return Plan("start", "the process does not run")
        if record.get("digest") == digest and record.get("name") == name and alive:
            if watched:
                return Plan("none", "the process already runs as asked")
            return Plan("restart", "the process runs, and nothing would start it again")
        return Plan("restart", "the process runs with another release, command or environment")
    if not record:
        return Plan("none", "no process of ours is recorded")
    if state == "resumed":
        if alive and watched:
            return Plan("none", "the process runs")
        return Plan("resume", "the process does not run, it is started as it was")
    if name and record.get("name") != name:
        return Plan("none", "the recorded process is another release and is left alone")
    if state == "reverted":
        return Plan("revert", "what ran before comes back" if record.get("previous") else "the process is removed")
    if record.get("stopped") and not alive:
        return Plan("none", "the process is already stopped")
    return Plan("stop", "the process runs" if alive else "a record of a dead process is left")


def previous_of(name: str, record: Record | None, alive: bool) -> Record | None:
    """What a process called ``name`` replaces: the living process of another name, or what its own record replaced."""
    if not record:
        return None
    if record.get("name") == name:
        return record.get("previous")
    return {key: value for key, value in record.items() if key != "previous"} if alive else None


def read_record(pid_file: str) -> Record | None:
    """The record in ``pid_file``, None when there is none; a file that is no record of ours raises."""
    try:
        record = read_json(pid_file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not {"name", "pid", "start", "boot"} <= set(record):
        raise MigrationError(f"{pid_file} is no record of this module: move it away, or name another pid_file")
    return record


def wanted(options: dict[str, Any]) -> Definition:
    """What the options of ``app_process`` ask for."""
    variables = {str(name): str(value) for name, value in options["environment"].items()}
    return Definition(
        options["name"], tuple(options["command"]), os.path.realpath(options["chdir"]), options["log_file"], options["env_file"], variables
    )


def known(options: dict[str, Any]) -> Record | None:
    """The record that the options of ``app_process`` name, None when there is none."""
    return read_record(options["pid_file"])


def refuse_foreign_port(port: int | None, record: Record | None) -> None:
    """Raise when ``port`` is held by a process that is neither the recorded one nor the one that it replaced."""
    ours = process_table.members(record) if record else []
    if record and record.get("previous"):
        ours += process_table.members(record["previous"])
    if port and process_table.port_holder(port, ours) == "foreign":
        raise MigrationError(f"port {port} is held by a process that is not ours: stop it, or choose another port")


def alive(record: Record | None) -> bool:
    """Whether the recorded process, or a child that outlived it, still runs; one that waits to be started again does not."""
    return bool(record and process_table.programs(record))


def watched(record: Record | None) -> bool:
    """Whether what would start the recorded process again lives."""
    return bool(record and process_table.is_watched(record))


def start(
    definition: Definition, pid_file: str, record: Record | None, health: Health | None, stop_timeout: float
) -> tuple[Record, dict[str, Any]]:
    """Start ``definition`` in place of what ``record`` names; its record and the answer that showed it healthy.

    A start that fails is stopped again.
    """
    variables = definition.variables()
    program = _program(definition, variables)
    previous = previous_of(definition.name, record, alive(record) or watched(record))
    # The intent goes to disk first: killed between here and the new process, a revert still knows what ran before.
    if record and record["name"] != definition.name:
        publish_json(pid_file, _record(definition, None, previous))
    for replaced in (record, previous):
        if replaced:
            stop_processes(replaced, stop_timeout)
    process, started = _spawn(definition, program, variables, pid_file, previous)
    try:
        _wait_begun(process, started)
        answer = wait_healthy(started, health, definition.log_file)
    except MigrationError:
        stop_processes(started, stop_timeout)
        process.wait()
        publish_json(pid_file, {**started, "stopped": True})
        raise
    return keep(pid_file, started), answer


def keep(pid_file: str, record: Record) -> Record:
    """Have the process of ``record``, which is healthy, started again whenever it ends by itself; its record."""
    kept = {**record, restart.KEPT: record["mark"]} if watched(record) else record
    if kept != record:
        publish_json(pid_file, kept)
    return kept


def stop(pid_file: str, record: Record, stop_timeout: float, keep_record: bool = False) -> None:
    """Stop the recorded process; the record stays while it knows of something to bring back, or with ``keep_record``."""
    stop_processes(record, stop_timeout)
    if keep_record or record.get("previous"):
        publish_json(pid_file, {**record, "stopped": True})
    else:
        os.unlink(pid_file)


def revert(pid_file: str, record: Record, health: Health | None, stop_timeout: float) -> Record | None:
    """Stop the recorded process and bring back the one it replaced; the record that holds now, None when none ran."""
    stop_processes(record, stop_timeout)
    previous = record.get("previous")
    if not previous:
        os.unlink(pid_file)
        return None
    if alive(previous):
        publish_json(pid_file, previous)
        return previous
    try:
        stop_processes(previous, stop_timeout)
        return start(_defined(previous), pid_file, None, health, stop_timeout)[0]
    except MigrationError:
        publish_json(pid_file, {**record, "stopped": True})  # so that the next attempt tries it again
        raise


def resume(pid_file: str, record: Record, health: Health | None, stop_timeout: float) -> Record:
    """Start the recorded process again as it was started; its new record."""
    return start(_defined(record), pid_file, record, health, stop_timeout)[0]


def _defined(record: Record) -> Definition:
    names = ("name", "chdir", "log_file", "env_file", "environment")
    return Definition(argv=tuple(record["argv"]), **{name: record[name] for name in names})


def stop_processes(record: Record, timeout: float) -> None:
    """End the recorded process and its children: TERM, then KILL after ``timeout`` seconds; a stranger is never touched."""
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + patience
        for pid in _in_order(process_table.members(record), record, number):
            _send(pid, number, record)
        while process_table.members(record):
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE)
        else:
            return
    raise MigrationError(f"processes of {record['name']} survive SIGKILL: look for a hanging disk or file system on this host")


def _in_order(pids: list[int], record: Record, number: int) -> list[int]:
    """Whom to signal, in which order.

    What watches the program ends it by itself when it is told to, and is killed last: by it processes without our mark are known.
    """
    if not watched(record):
        return pids
    leader = [record["pid"]]
    others = [pid for pid in pids if pid != record["pid"]]
    if number == signal.SIGKILL:
        return others + leader
    return leader + [pid for pid in others if (found := read_stat(pid)) and found.parent != record["pid"]]


def _wait_begun(process: subprocess.Popen, record: Record) -> None:
    """Return once the program itself runs, or has ended: nobody is healthy before."""
    until = time.monotonic() + BEGIN
    while process.poll() is None and not process_table.programs(record) and time.monotonic() < until:
        time.sleep(PAUSE)


def wait_healthy(
    record: Record, health: Health | None, log_file: str, living: Callable[[], bool] | None = None
) -> dict[str, Any]:
    """Wait until the process answers well several times in a row; raises when it dies, stays silent or flaps.

    ``living`` tells whether it still runs, where its recorded pid is not what tells.
    """
    lives = living or (lambda: process_table.is_alive(record) and (not record.get("watched") or alive(record)))
    if health is None:
        time.sleep(PAUSE * 4)
        if not lives():
            raise _unhealthy("it ended at once", log_file)
        return {}
    deadline = time.monotonic() + health.timeout
    row = good = asked = 0
    while True:
        if not lives():
            raise _unhealthy("it ended before it was healthy", log_file)
        answer = probe(health.expected)
        asked += 1
        row, good = (0, good) if answer.why else (row + 1, good + 1)
        if row >= health.successes and lives():
            return answer.facts()
        if time.monotonic() > deadline:
            flaps = f"; {good} of {asked} answers were good: it flaps" if good else ""
            why = f"{answer.why or 'too few answers'}{flaps}"
            raise _unhealthy(f"{answer.url} was not healthy within {health.timeout:g} s: {why}", log_file)
        time.sleep(health.interval)


def _unhealthy(reason: str, log_file: str) -> MigrationError:
    remedy = f"read {log_file} on this host, correct the release or its environment and run again"
    message = f"the process is not in service: {reason}"
    return MigrationError(f"{message}; {remedy}", journal={"error": {"message": message, "subject": "app_process", "remedy": remedy}})


def _living_previous(record: Record) -> bool:
    return bool(record.get("previous")) and process_table.is_alive(record["previous"])


def _program(definition: Definition, variables: dict[str, str]) -> str:
    if not os.path.isdir(definition.chdir):
        raise MigrationError(f"{definition.chdir} is no directory: activate a release first, or correct chdir")
    name = definition.argv[0]
    path = os.path.join(definition.chdir, name) if "/" in name else shutil.which(name, path=environment(variables).get("PATH"))
    if not path or not os.access(path, os.X_OK) or os.path.isdir(path):
        raise MigrationError(f"the program {name} cannot be executed: install it in the release's environment, or give its whole path")
    return path


def _record(definition: Definition, mark: str | None, previous: Record | None) -> Record:
    known = {"name": definition.name, "argv": list(definition.argv), "chdir": definition.chdir, "log_file": definition.log_file}
    return {
        **known, "env_file": definition.env_file, "environment": definition.environment, "mark": mark, "previous": previous,
        "pid": 0, "start": 0, "boot": "", "digest": definition.digest(),
    }


def _spawn(
    definition: Definition, program: str, variables: dict[str, str], pid_file: str, previous: Record | None
) -> tuple[subprocess.Popen, Record]:
    private_directory(os.path.dirname(os.path.abspath(pid_file)))
    private_directory(os.path.dirname(os.path.abspath(definition.log_file)))
    mark = secrets.token_hex(16)
    record = _record(definition, mark, previous)
    log = os.open(definition.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.fchmod(log, 0o600)
    record.update(log_offset=os.fstat(log).st_size, since=time.time(), watched=True)

    def register() -> None:
        publish_json(pid_file, {**record, **process_table.identity(os.getpid())})

    try:
        with tempfile.TemporaryFile() as script:  # its command line shows the program and no script
            script.write(restart.script(environment({**variables, process_table.MARK: mark})))
            script.seek(0)
            process = subprocess.Popen(  # it outlives us; one thread
                [sys.executable, "-I", "-S", "-", os.path.abspath(pid_file), program, *definition.argv[1:]], cwd=definition.chdir,
                env=environment({process_table.MARK: mark}), stdin=script, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=register,
            )
    except (OSError, subprocess.SubprocessError) as error:
        with contextlib.suppress(OSError):  # what ran must still be known to the next attempt
            publish_json(pid_file, {**record, "stopped": True})
        raise MigrationError(f"{os.path.basename(program)} could not be started: {type(error).__name__}") from None
    finally:
        os.close(log)
    return process, read_record(pid_file) or record


def _send(pid: int, number: int, record: Record) -> None:
    """Signal ``pid`` if it is still one of ours; the pid descriptor keeps it from becoming somebody else meanwhile."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if pid in process_table.members(record):
            signal.pidfd_send_signal(descriptor, number)
            if number == signal.SIGTERM:  # one that was stopped hears nothing
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise MigrationError(f"process {pid} of {record['name']} belongs to another user: run as the user who started it") from None
    finally:
        os.close(descriptor)
