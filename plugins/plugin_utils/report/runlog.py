# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run log on the controller, and the events of a run whose report task never came. Names only, never values.

What a task was given, printed or looped over can hold secrets even with ``no_log``. So a line holds only what the list
below names. Lines of the kind ``journal`` are events that the journal itself took; their facts pass its schema once more.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import END_FACTS, RUN_FACTS, check_facts
from ansible_collections.dihya.migration.plugins.module_utils._manifest import utc_now
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import RUN_LEVEL

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
JOURNALED = ("seq", "migration_id", "attempt", "run_id", "stack", "verb", "facts")
KEYS = ("time", "event", "run", "play", "role", "action", "task", "at", "host", "status", "changed", "duration", *JOURNALED)
REPORT_ACTION = "dihya.migration.report"


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
        os.write(self._descriptor, encode(line))

    def close(self) -> None:
        """Close the file; nothing may be written afterwards."""
        os.close(self._descriptor)


def encode(line: Mapping[str, Any]) -> bytes:
    """One line of a run log."""
    return (json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def read(path: str) -> list[dict[str, Any]]:
    """The lines of a run log; the last one is left out when the run died while it wrote it."""
    with open(path, "rb") as stream:
        return [json.loads(line) for line in stream if line.endswith(b"\n")]


def events_of(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The journal's events among ``lines``, as the report takes them."""
    kept = ("time", "host", "status", *JOURNALED)
    return [{key: line[key] for key in kept} for line in lines if line["event"] == "journal"]


def last_attempt(directory: str) -> list[dict[str, Any]]:
    """The events of the last attempt that the logs in ``directory`` know of, in the order of their runs."""
    events = [event for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.jsonl"))) for event in events_of(read(path))]
    last = max((event["attempt"] for event in events), default=0)
    return [event for event in events if event["attempt"] == last]


def lacks_report(lines: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a run began in the journal and no report task of it succeeded."""
    began = False
    for line in lines:
        began = began or line["event"] == "journal"
        if line["event"] == "task" and line["action"] == REPORT_ACTION and line["status"] == "ok":
            return False
    return began


def digests(directory: str, run_ids: Iterable[str]) -> list[dict[str, Any]]:
    """``run_id, path, lines, sha256`` of the logs in ``directory`` that these runs left on this controller.

    What is digested ends with the end of the run in the journal: the log grows on, by the report task among others, and
    the same journal must make the same report. A run that died has no end, and its log does not grow.
    """
    wanted, found = set(run_ids), []
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.jsonl"))):
        digest, lines, run_id = hashlib.sha256(), 0, ""
        with open(path, "rb") as stream:
            for line in stream:
                digest.update(line)
                lines += 1
                if b'"event": "journal"' not in line:
                    continue
                event = json.loads(line)
                run_id = event["run_id"]
                if event["stack"] == RUN_LEVEL and event["verb"] == "end":
                    break
        if run_id in wanted:
            found.append({"run_id": run_id, "path": f"runs/{os.path.basename(path)}", "lines": lines, "sha256": digest.hexdigest()})
    return found


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


def _recorded(args: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a record task was given of each event that the journal took, ``stack, verb, status, host, facts``."""
    given = {
        (str(event.get("stack") or one.get("stack")), str(one.get("verb")), str(event["host"])): event.get("facts") or {}
        for one in args.get("records") or [args] for event in one.get("events") or []
    }
    for new in result.get("news") or []:
        stack, verb, host = (str(new[name]) for name in ("stack", "verb", "host"))
        yield {"stack": stack, "verb": verb, "status": str(new["status"]), "host": host,
               "facts": check_facts(stack, verb, given.get((stack, verb, host), {}))}


class Seen:
    """The events that this run gave to the journal, as far as this controller saw the journal take them.

    ``about``: what the journal action adds to the facts of the run (controller, version) and the task does not say.
    """

    def __init__(self, migration_id: str, about: Mapping[str, str] | None = None) -> None:
        self.migration_id, self.about = migration_id, dict(about or {})
        self.run_id, self.attempt, self.number = "", 0, 0
        self._pending: list[dict[str, Any]] = []

    def journal(self, args: Mapping[str, Any], result: Mapping[str, Any], host: str) -> list[dict[str, Any]]:
        """The events that a successful journal task recorded."""
        command = args.get("command")
        if command == "begin" and name_or_nothing(result.get("run_id")):
            self.run_id, self.attempt = str(result["run_id"]), int(result.get("attempt") or 1)
            given = {**self.about, **dict(args.get("run") or {}), "purpose": args.get("purpose"), "resumed": result.get("resumed")}
            run = RUN_FACTS({name: value for name, value in given.items() if value not in (None, "", [], {})}, "run")
            begun = [self._event(RUN_LEVEL, "begin", "ok", host, {"run": run})]
            # As the journal does: a run that only probes what is complete leaves no event, so it begins with its first change.
            silent = result.get("complete") or not result.get("changed", True)
            self._pending = begun if silent else []
            return [] if silent else begun
        if command == "record" and self.run_id and result.get("changed"):
            begun, self._pending = self._pending, []
            return begun + [self._event(**unit) for unit in _recorded(args, result)]
        if command == "end" and self.run_id and result.get("changed", True):
            facts = END_FACTS({name: args[name] for name in ("outcome", "cause", "rollback", "not_proved") if args.get(name)}, "end")
            return [self._event(RUN_LEVEL, "end", "ok" if facts["outcome"] == "ok" else "failed", host, facts)]
        return []

    def _event(self, stack: str, verb: str, status: str, host: str, facts: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        return {
            "seq": self.number,
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
