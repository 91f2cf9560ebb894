# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs of an application on one host: looked at, stopped, started, and brought back to what they were.

Before the first change of a job, how it was found goes to a record; ``restored`` leads back to it and removes the record, so
that nothing is ever stopped or removed that this migration did not start or make.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app.inspect import inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.job_kinds import Command, Crontab, Job, State, Unit, declared
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look
from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._finding import finding
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file

SETTLE = 1.0  # seconds after which a service that dies at once is seen to have died
DAEMONS = ("anacron", "cron", "crond", "fcron")
# By state what is said when it is reached, and when jobs stand against it.
REACHED = {"stopped": "{count} jobs are stopped", "started": "{count} jobs run", "restored": "{count} jobs are as before",
           "quiet": "{count} jobs are off"}
MISSED = {"stopped": "{count} of {total} jobs do not stop: {text}", "started": "{count} of {total} jobs do not start: {text}",
          "restored": "{count} of {total} jobs are not as before: {text}", "quiet": "{count} of {total} jobs run, and none may: {text}"}


def work(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the jobs that ``options`` declare to their ``state``; with ``check_mode`` only say what that would take."""
    began = time.monotonic()
    if options["state"] == "observed":
        result = _observed(options)
    elif options["state"] == "quiet":
        result = _quiet(declared(options))
    else:
        result = Transition(options, check_mode).run()
    result["journal"].update(changed=result["changed"], duration=round(time.monotonic() - began, 3), summary=result["msg"])
    return result


def _quiet(jobs: list[Job]) -> dict[str, Any]:
    """Prove that no job runs, or would by itself."""
    running = [job.name for job in jobs if job.found()["on"]]
    if running:
        raise _missed("quiet", running, len(jobs))
    return _reached("quiet", jobs, [], {job.name: False for job in jobs})


@dataclass
class Transition:
    """The way of all jobs to ``stopped``, ``started`` or ``restored``."""

    options: dict[str, Any]
    check_mode: bool
    problems: dict[Job, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Where it leads."""
        return str(self.options["state"])

    @property
    def file(self) -> str:
        """Path of the record."""
        return str(self.options["record_file"])

    def run(self) -> dict[str, Any]:
        """Go; every job is tried, then all that stand against it are named."""
        record = self._read()
        jobs = [_made(entry, self.options["timeout"]) for entry in record] if self.state == "restored" else declared(self.options)
        found = {job: job.found() for job in jobs}
        wanted = {job: self._wanted(job, found[job], record) for job in jobs}
        ahead = [job for job in jobs if job.steps(found[job], wanted[job])]
        if not self.check_mode:
            if self.state != "restored" and ahead:
                self._keep(record, found)
            for job in ahead:
                self._try(job, found[job], wanted[job])
            self._prove(ahead, wanted)
            if self.state == "restored":
                self._forget()
        on = {job.name: bool(job.found()["on"]) for job in jobs}
        result = _reached(self.state, jobs, ahead, on)
        result["journal"].update(self._facts(ahead, found))
        return result

    def _wanted(self, job: Job, found: State, record: list[dict[str, Any]]) -> State:
        if self.state == "restored":
            return next(entry["found"] for entry in record if (entry["subject"], entry["name"]) == (job.subject, job.name))
        return job.wanted(self.state == "started", found)

    def _try(self, job: Job, found: State, wanted: State) -> None:
        try:
            job.bring(found, wanted)
        except (MigrationError, OSError) as error:
            reason = error.message if isinstance(error, MigrationError) else str(error.strerror)
            self.problems[job] = f"{job.name} ({reason})"

    def _prove(self, changed: list[Job], wanted: dict[Job, State]) -> None:
        if self.state != "stopped" and any(job.settles for job in changed):
            time.sleep(SETTLE)
        for job in changed:
            if job not in self.problems and job.steps(job.found(), wanted[job]):
                self.problems[job] = job.name
        if self.problems:
            raise _missed(self.state, list(self.problems.values()), len(wanted))

    def _read(self) -> list[dict[str, Any]]:
        try:
            return list(read_json(self.file)["jobs"])
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError):
            raise MigrationError(f"the record {self.file} cannot be read: bring back the jobs here by hand, then remove it") from None

    def _keep(self, record: list[dict[str, Any]], found: dict[Job, State]) -> None:
        """Write down how each job is that no earlier run wrote down; that of the first run is the state of before."""
        known = {(entry["subject"], entry["name"]) for entry in record}
        record += [{"subject": job.subject, "name": job.name, "definition": job.definition(), "found": state}
                   for job, state in found.items() if (job.subject, job.name) not in known]
        private_directory(os.path.dirname(self.file))
        publish_json(self.file, {"jobs": record})
        if self.state == "stopped":
            lines = ["#!/bin/sh", "# Starts again what ran here before the migration."]
            lines += [line for entry in record for line in _made(entry, self.options["timeout"]).script(entry["found"])]
            publish(self._script, ("\n".join(lines) + "\n").encode(), 0o700)

    def _forget(self) -> None:
        for path in (self.file, self._script):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    @property
    def _script(self) -> str:
        return os.path.join(os.path.dirname(self.file), "start-again")

    def _facts(self, changed: list[Job], found: dict[Job, State]) -> dict[str, Any]:
        """What the journal is told besides."""
        facts: dict[str, Any] = {}
        if self.state == "stopped" and os.path.exists(self._script):
            facts["proofs"] = [{"kind": "restart_script", "path": self._script, "sha256": sha256_file(self._script)}]
        if self.state == "stopped":
            facts["not_proved"] = [cut(f"that nothing works any more that cron began from {job.name} before")
                                   for job in changed if isinstance(job, Crontab)]
        if self.state == "started" and not self.check_mode:
            facts["created"] = [{"kind": "path", "name": job.name, "identity": _identity(job.name)}
                                for job in changed if isinstance(job, Crontab)]
            facts["not_proved"] = [cut(f"that {job.name} starts with the machine: its file does not let it be enabled")
                                   for job in found if isinstance(job, Unit) and not job.found()["enabled"]]
        return facts


def _identity(path: str) -> str:
    status = os.stat(path)
    return f"{status.st_dev}:{status.st_ino}"


def _made(entry: dict[str, Any], timeout: float) -> Job:
    return declared({**entry["definition"], "timeout": timeout})[0]


def _missed(state: str, problems: list[str], total: int) -> MigrationError:
    message = cut(MISSED[state].format(count=len(problems), total=total, text="; ".join(problems)))
    return MigrationError(message, journal={"error": {"message": message, "subject": "app_jobs", "remedy": ""}})


def _reached(state: str, jobs: list[Job], changed: list[Job], on: dict[str, bool]) -> dict[str, Any]:
    return {"changed": bool(changed), "msg": REACHED[state].format(count=len(jobs)), "jobs": on, "changes": [job.name for job in changed],
            "findings": [], "journal": {"counts": {"jobs": len(jobs)}}}


def _observed(options: dict[str, Any]) -> dict[str, Any]:
    jobs, findings, on = declared(options), [], {}
    for job in jobs:
        found: State = {}
        problems = _place(job)
        try:
            found = {} if problems else job.found()
        except MigrationError as error:
            problems = [(error.message, REMEDY[job.subject], True)]
        findings += [finding(job.subject, *problem) for problem in problems + (judge(job, found, options["site"]) if found else [])]
        on[job.name] = bool(found.get("on"))
    if any(isinstance(job, Crontab) for job in jobs) and not cron_runs():
        findings.append(finding("jobs_crontabs", "no cron works on this host", "install and start cron", False))
    if not jobs:
        findings.append(finding("jobs", "no job of this host is named", "name some, or take the host out of the group jobs"))
    stops = sum(one["blocking"] for one in findings)
    return {"changed": False, "msg": f"{len(jobs)} things were looked at, {stops} must be corrected", "jobs": on, "changes": [],
            "findings": findings, "journal": {"counts": {"jobs": len(jobs)}}}


REMEDY = {
    "jobs_units": "write its name with its ending (.service, .timer …); with the scope user, let the manager of this user run (linger)",
    "jobs_crontabs": "give the user read permission, or use become",
    "jobs_commands": "let it print on while the job runs or would run by itself, else off",
}


def judge(job: Job, found: State, site: str) -> list[tuple[str, str, bool]]:
    """What stands against this job on a host of ``site`` (``source``, ``target``): finding, remedy, blocking; pure."""
    missing = found.get("load") == "not-found" or (isinstance(job, Crontab) and site == "source" and not found["on"])
    if missing:
        remedy = "correct it, or name the jobs of each side in the variables of its group" if site == "source" else (
            "install it there, stopped and disabled")
        return [(f"{job.name} does not exist on this host", remedy, True)]
    problems = []
    if isinstance(job, Unit) and found["ends"]:
        problems.append((f"{job.name} ends by itself", "name the timer that begins it", True))
    if isinstance(job, Unit) and site == "target" and found["load"] != "loaded":
        problems.append((f"{job.name} cannot be started (systemd says {found['load']})", "correct its file", True))
    if isinstance(job, Crontab) and site == "target" and not job.content.strip():
        problems.append((f"{job.name} has no content for the target", "give its lines in content", True))
    if site == "target" and found["on"]:
        problems.append((f"{job.name} runs on the target already: it would run on both sides",
                         "stop, disable or remove it there, it starts after the commit point", True))
    if site == "source" and not found["on"]:
        problems.append((f"{job.name} does not run on the source, and would start on the target",
                         "take it off the list if it is not wanted", False))
    return problems


def _place(job: Job) -> list[tuple[str, str, bool]]:
    """What can be known of a job before it is asked how it is."""
    if isinstance(job, Unit):
        if job.scope == "system" and not os.path.isdir("/run/systemd/system"):
            return [("systemd does not manage this host", "name its jobs in jobs_commands", True)]
        if job.scope == "system" and os.geteuid() != 0:
            return [("units can be started and stopped by root only", "use become on this host, or choose the scope user", True)]
        return []
    if isinstance(job, Command):
        looks = [Look("program", job.subject, list(argv), [], 0, None, None, {}) for argv in (job.status, job.start, job.stop)]
        return [(one["finding"], one["remedy"], True) for one in inspect(looks)]
    return _crontab_place(job.name)


def _crontab_place(path: str) -> list[tuple[str, str, bool]]:
    directory, name = os.path.split(path)
    if not path.startswith("/") or os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
        return [(f"{path} is no plain file with an absolute path", "name the crontab itself", True)]
    if not set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"):
        return [(f"cron reads no file that is called {name}", "use letters, digits, - and _", True)]
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK | os.X_OK):
        return [(f"{directory} is no directory that this user may write", "make it, or use become on this host", True)]
    return []


def cron_runs() -> bool:
    """Whether a daemon of cron works here."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            if stream.read().strip() in DAEMONS:
                return True
    return False
