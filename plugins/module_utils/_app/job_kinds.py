# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an application's jobs are on a host: units of systemd, crontab files, and whatever two commands start and stop.

Each kind reads how it is (``found``), says what else there is to do (``steps``, pure) and does it (``bring``). What it found goes
to a record as JSON, so that :meth:`bring` leads back to it.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory, publish

State = dict[str, Any]
"""How a job is: always ``on``, whether it runs or would run by itself, and what its kind needs to bring it back."""

UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.\\@-]*\.(service|timer|path|socket|target)\Z")
ENABLED = ("enabled", "enabled-runtime")
RESTING = ("inactive", "failed")
PAUSE = 0.2
YOUNG = 3.0  # seconds that a service must live to count as running, once systemd had to start it again


@dataclass(frozen=True)
class Unit:
    """A unit of systemd; ``scope`` is ``system``, or ``user`` for the manager of the connecting user."""

    name: str
    scope: str
    timeout: float

    subject = "jobs_units"
    settles = True

    def definition(self) -> dict[str, Any]:
        """The options from which :func:`declared` makes it again."""
        return {"units": [self.name], "scope": self.scope}

    def found(self) -> State:
        """How it is; what a timer, path or socket began counts as its own work."""
        if not UNIT_NAME.match(self.name):
            raise MigrationError(f"{self.name} is no name of a unit")
        told = self._show(self.name)
        active, enabled = told["ActiveState"] not in RESTING, told["UnitFileState"] if told["UnitFileState"] in ENABLED else ""
        begun = [name for name in told["Triggers"].split() if self._show(name)["ActiveState"] not in RESTING]
        young = time.monotonic() - int(told["ActiveEnterTimestampMonotonic"] or 0) / 1e6 < YOUNG
        return {
            "on": active or bool(enabled or begun), "active": active, "enabled": enabled, "begun": begun, "load": told["LoadState"],
            "file": told["UnitFileState"],
            # Between two tries, or in one of many: it neither rests nor runs.
            "dying": told["SubState"] == "auto-restart" or (int(told["NRestarts"] or 0) > 0 and young),
            "ends": told["Type"] == "oneshot" and told["RemainAfterExit"] == "no",
        }

    def wanted(self, on: bool, found: State) -> State:
        """Off for good, or running now and with the machine where its file lets it be enabled."""
        enabled = found["enabled"] or ("enabled" if found["file"] == "disabled" else "")
        return {"active": on, "enabled": enabled if on else ""}

    def steps(self, found: State, wanted: State) -> list[str]:
        """Verbs of systemctl that lead from one state to the other; ``wait`` lets what a timer began come to its end."""
        steps = []
        if found["enabled"] != wanted["enabled"]:
            runtime = " --runtime" if "enabled-runtime" in (found["enabled"], wanted["enabled"]) else ""
            steps.append(("enable" if wanted["enabled"] else "disable") + runtime)
        if wanted["active"]:
            steady = found["active"] and (not found["dying"] or wanted.get("dying", False))
            return steps if steady else [*steps, "start"]
        return steps + (["stop"] if found["active"] else ["wait"] if found["begun"] else [])

    def bring(self, found: State, wanted: State) -> None:
        """Do it; what a timer began is waited for, never killed in the middle of its work."""
        for step in self.steps(found, wanted):
            if step != "wait":
                run([*self._systemctl(), *step.split(), self.name], env=self._environment(), timeout=self.timeout + 30)
        deadline = time.monotonic() + self.timeout
        while not wanted["active"] and (begun := self.found()["begun"]):
            if time.monotonic() > deadline:
                raise MigrationError(f"{begun[0]}, which {self.name} began, still works after {self.timeout:g} s")
            time.sleep(PAUSE)

    def script(self, state: State) -> list[str]:
        """Shell lines that bring it to ``state``."""
        call = ["systemctl", *(["--user"] if self.scope == "user" else [])]
        return [shlex.join([*call, *step.split(), self.name]) for step in self.steps(
            {"active": False, "enabled": "", "begun": [], "dying": False}, state)]

    def _show(self, name: str) -> dict[str, str]:
        wanted = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Triggers", "Type", "RemainAfterExit", "NRestarts",
                  "ActiveEnterTimestampMonotonic")
        argv = [*self._systemctl(), "show", f"--property={','.join(wanted)}", "--", name]
        told = run(argv, env=self._environment(), timeout=60, check=False)
        if told.status != 0:
            raise MigrationError(f"systemd does not answer about {name}")
        return {**dict.fromkeys(wanted, ""), **dict(line.split("=", 1) for line in told.stdout.splitlines() if "=" in line)}

    def _systemctl(self) -> list[str]:
        return [find_tool("systemctl"), "--no-ask-password", *(["--user"] if self.scope == "user" else [])]

    def _environment(self) -> dict[str, str]:
        return {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"} if self.scope == "user" else {}


@dataclass(frozen=True)
class Crontab:
    """A crontab file that is there or not; ``content`` is what the new site gets."""

    name: str
    content: str

    subject = "jobs_crontabs"
    settles = False

    def definition(self) -> dict[str, Any]:
        """The options from which :func:`declared` makes it again; what it held is in the record as it was found."""
        return {"crontabs": [{"path": self.name, "content": ""}]}

    def found(self) -> State:
        """Every byte of it, with its owner and mode."""
        try:
            with open(self.name, "rb") as stream:
                status, content = os.fstat(stream.fileno()), stream.read()
        except FileNotFoundError:
            return {"on": False}
        except OSError as error:
            raise MigrationError(f"{self.name} cannot be read: {error.strerror}") from None
        return {"on": True, "content": base64.b64encode(content).decode(), "mode": status.st_mode & 0o7777, "uid": status.st_uid,
                "gid": status.st_gid, "mtime": status.st_mtime_ns}

    def wanted(self, on: bool, _found: State) -> State:
        """Away, or there with what was given."""
        if not on:
            return {"on": False}
        text = self.content if self.content.endswith("\n") else self.content + "\n"  # cron leaves out a last line without its end
        return {"on": True, "content": base64.b64encode(text.encode()).decode(), "mode": 0o644, "uid": os.geteuid(), "gid": os.getegid()}

    def steps(self, found: State, wanted: State) -> list[str]:
        """``write`` or ``remove``, when there is a difference."""
        same = all(found.get(key) == value for key, value in wanted.items() if key != "mtime")
        return [] if same and found["on"] == wanted["on"] else ["write" if wanted["on"] else "remove"]

    def bring(self, _found: State, wanted: State) -> None:
        """Replace or remove it in one step; cron reads no file whose name begins with a dot, so it never sees half of it."""
        if not wanted["on"]:
            os.unlink(self.name)
            fsync_directory(os.path.dirname(self.name))
            return
        publish(self.name, base64.b64decode(wanted["content"]), wanted["mode"])
        os.chown(self.name, wanted["uid"], wanted["gid"])
        os.chmod(self.name, wanted["mode"])
        if "mtime" in wanted:
            os.utime(self.name, ns=(wanted["mtime"], wanted["mtime"]))

    def script(self, state: State) -> list[str]:
        """Shell lines that bring back a file that was there."""
        if not state["on"]:
            return []
        path = shlex.quote(self.name)
        owner = f"chown {state['uid']}:{state['gid']} {path}"
        return [f"echo {state['content']} | base64 -d >{path}", owner, f"chmod {state['mode']:o} {path}"]


@dataclass(frozen=True)
class Command:
    """Anything that one command starts and another one stops, and a third one says ``on`` or ``off`` of."""

    name: str
    status: tuple[str, ...]
    start: tuple[str, ...]
    stop: tuple[str, ...]
    timeout: float

    subject = "jobs_commands"
    settles = False

    def definition(self) -> dict[str, Any]:
        """The options from which :func:`declared` makes it again."""
        return {"commands": [{"name": self.name, "status": list(self.status), "start": list(self.start), "stop": list(self.stop)}]}

    def found(self) -> State:
        """What its status command says, as its last word."""
        said = run(self.status, timeout=self.timeout, check=False).stdout.split()[-1:]
        if said not in (["on"], ["off"]):
            raise MigrationError(f"the status command of {self.name} did not print on or off")
        return {"on": said == ["on"]}

    def wanted(self, on: bool, _found: State) -> State:
        """On or off."""
        return {"on": on}

    def steps(self, found: State, wanted: State) -> list[str]:
        """``start`` or ``stop``."""
        return [] if found["on"] == wanted["on"] else ["start" if wanted["on"] else "stop"]

    def bring(self, _found: State, wanted: State) -> None:
        """Run the command; its output may hold secrets and is thrown away."""
        run(self.start if wanted["on"] else self.stop, timeout=self.timeout)

    def script(self, state: State) -> list[str]:
        """The shell line that starts it where it ran."""
        return [shlex.join(self.start)] if state["on"] else []


Job = Union[Unit, Crontab, Command]


def declared(options: dict[str, Any]) -> list[Job]:
    """The jobs that the options name, in the order units, crontabs, commands; pure."""
    timeout = options["timeout"]
    units: Sequence[Job] = [Unit(name, options.get("scope", "system"), timeout) for name in options.get("units", [])]
    crontabs = [Crontab(one["path"], one.get("content") or "") for one in options.get("crontabs", [])]
    commands = [Command(one["name"], tuple(one["status"]), tuple(one["start"]), tuple(one["stop"]), timeout)
                for one in options.get("commands", [])]
    return [*units, *crontabs, *commands]
