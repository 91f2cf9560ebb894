# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run log on the controller, and the events of a run whose report task never came. Names only, never values.

What a task was given, printed or looped over can hold secrets even with ``no_log``. So a line holds only what the list
below names, and the events are those that the journal itself took from our own journal action: its schema vouches for them.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._manifest import utc_now
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import RUN_LEVEL

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
KEYS = ("time", "event", "run", "play", "role", "action", "task", "at", "host", "status", "changed", "duration")


def name_or_nothing(value: Any) -> str:
    """``value`` when it is a plain name; anything templated, spaced or quoted is no name."""
    return str(value) if isinstance(value, str) and _NAME.fullmatch(value) else ""


class RunLog:
    """Appends one JSON object a line, in one write each, to ``<directory>/<run>.jsonl``."""

    def __init__(self, directory: str) -> None:
        private_directory(directory)
        # Later than every other log of this controller, and of its own even within one second.
        self.run = f"{utc_now()[:19].replace('-', '').replace(':', '')}Z-{os.getpid()}"
        self.path = os.path.join(directory, self.run + ".jsonl")
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, event: str, **values: Any) -> None:
        """Write one line; a key that is not allowed is an error of ours, shown by the tests."""
        line = {"time": utc_now(), "event": event, "run": self.run, **values}
        if set(line) - set(KEYS):
            raise ValueError(f"not allowed in a run log: {sorted(set(line) - set(KEYS))}")
        os.write(self._descriptor, (json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the file; nothing may be written afterwards."""
        os.close(self._descriptor)


class Clock:
    """Seconds that each task took on each host."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], float] = {}

    def start(self, host: str, task: str) -> None:
        """``task`` begins on ``host``."""
        self._begun[(host, task)] = time.monotonic()

    def stop(self, host: str, task: str) -> float | None:
        """Seconds since its start, None when that was not seen."""
        begun = self._begun.pop((host, task), None)
        return None if begun is None else round(time.monotonic() - begun, 3)


class Seen:
    """The events that this run gave to the journal, as far as this controller saw the journal take them."""

    def __init__(self, migration_id: str) -> None:
        self.migration_id = migration_id
        self.events: list[dict[str, Any]] = []
        self.run_id, self.attempt = "", 0

    def journal(self, args: Mapping[str, Any], result: Mapping[str, Any], host: str) -> None:
        """Take what a successful journal task recorded."""
        command = args.get("command")
        if command == "begin" and name_or_nothing(result.get("run_id")):
            self.run_id, self.attempt = str(result["run_id"]), int(result.get("attempt") or 1)
            run = {**dict(args.get("run") or {}), "purpose": args.get("purpose")}
            self._add(RUN_LEVEL, "begin", "ok", host, {"run": run})
        elif command == "record" and self.run_id and result.get("changed"):
            decisions = result.get("decisions") or {}
            for event in args.get("events") or []:
                if args.get("status") != "started" or decisions.get(event["host"], "run") == "run":
                    self._add(args.get("stack"), args.get("verb"), args.get("status"), event["host"], event.get("facts") or {})
        elif command == "end" and self.run_id:
            facts = {name: args[name] for name in ("outcome", "cause", "rollback") if args.get(name)}
            self._add(RUN_LEVEL, "end", "ok" if facts.get("outcome") == "ok" else "failed", host, facts)

    def _add(self, stack: Any, verb: Any, status: Any, host: str, facts: dict[str, Any]) -> None:
        self.events.append(
            {
                "seq": len(self.events) + 1,
                "time": utc_now(),
                "migration_id": self.migration_id,
                "attempt": self.attempt,
                "run_id": self.run_id,
                "stack": name_or_nothing(stack),
                "verb": name_or_nothing(verb),
                "host": host,
                "status": name_or_nothing(status),
                "facts": facts,
            }
        )
