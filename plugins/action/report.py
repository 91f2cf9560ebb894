# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of module report: reads the journal, renders it on the controller, and keeps the files in both places."""

from __future__ import annotations

import os
import re
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import differs, private_directory, publish
from ansible_collections.dihya.migration.plugins.plugin_utils import controller
from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.journal_access import ask_journal, run_journal
from ansible_collections.dihya.migration.plugins.plugin_utils.report import stopblock
from ansible_collections.dihya.migration.plugins.plugin_utils.report.commands import hints_for, started_with
from ansible_collections.dihya.migration.plugins.plugin_utils.report.history import build
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Hints, Options, ReportData
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render
from ansible_collections.dihya.migration.plugins.plugin_utils.report.runlog import digests, last_attempt

SPEC = {
    "state_dir": {"type": "path", "required": True},
    "migration_id": {"type": "str", "required": True},
    "report_dir": {"type": "path", "default": "reports"},
    "language": {"type": "str", "default": "fr"},
    "attempt": {"type": "int", "default": 0},
    "stop_block": {"type": "bool", "default": True},
    "refused": {"type": "str", "default": ""},
    "reopen": {"type": "str", "default": ""},
}
MIGRATION_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class ActionModule(ActionBase):
    """See the module of the same name for options and results."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(argument_spec=SPEC)
        empty = {"changed": False, "paths": {}, "directory": "", "outcome": "", "verdict": "KO", "stop_block": []}
        if args["refused"] and self._task.check_mode:
            return dict(result, **{**empty, "stop_block": self._refusal(args, task_vars)})
        shown = run_journal(self, {"command": "show", "state_dir": args["state_dir"], "migration_id": args["migration_id"]}, task_vars)
        if shown.get("failed") or shown.get("unreachable"):
            return dict(result, **shown)
        if not shown["events"]:
            return dict(result, **empty, msg="the journal holds no event yet: there is nothing to report")
        try:
            return dict(result, **self._report(args, shown, task_vars))
        except MigrationError as error:
            return dict(result, **empty, failed=True, msg=error.message)
        except OSError as error:
            message = f"the report could not be written below {args['report_dir']}: {error.strerror}"
            return dict(result, **empty, failed=True, msg=message)

    def _report(self, args: dict[str, Any], shown: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        journal = os.path.join(args["state_dir"], args["migration_id"], "journal.jsonl")
        directory = directory_of(args)
        options = Options(
            attempt=args["attempt"],
            language=args["language"],
            journal_path=journal,
            hints=hints_of(args),
            run_logs=digests(os.path.join(directory, "runs"), [event["run_id"] for event in shown["events"]]),
        )
        data, files = render(shown["events"], shown["chain"], options)
        changed = write(directory, files, self._task.check_mode)
        kept = self._execute_module(
            module_name="dihya.migration.report",
            task_vars=task_vars,
            module_args={
                "state_dir": args["state_dir"],
                "migration_id": args["migration_id"],
                "run_id": data.runs[-1]["run_id"],
                "files": files,
            },
        )
        paths = {name.rpartition(".")[2]: os.path.join(directory, name) for name in files}
        found = {
            "changed": changed or bool(kept.get("changed")),
            "paths": paths,
            "directory": kept.get("directory", ""),
            "outcome": data.outcome,
            "verdict": "OK" if data.outcome == "ok" else "KO",
            "stop_block": stop_block(data, args, self._readable(paths["md"])) if args["stop_block"] else [],
            "msg": f"report in {paths['md']}",
        }
        if kept.get("failed") or kept.get("unreachable"):
            # The report exists on the controller; that its second copy is missing must still be seen.
            found.update(failed=True, msg=f"report in {paths['md']}, but not on the state host: {kept.get('msg', 'unreachable')}")
        return found

    def _refusal(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> list[str]:
        """The stop block of a run that did not begin, whether or not the journal can be read; nothing is written."""
        stand, report = None, ""
        if MIGRATION_ID.fullmatch(args["migration_id"]):
            report = self._readable(os.path.join(directory_of(args), "report.md"))
            shown, lock = (ask_journal(self, command, args, task_vars) for command in ("show", "status"))
            seen = last_attempt(os.path.join(directory_of(args), "runs"))
            # Neither a damaged journal nor an empty one beside runs that this controller saw tells how things stand.
            whole = bool(shown) and shown["chain"]["intact"] and bool(shown["events"] or not seen)
            events = shown["events"] if whole else seen
            options = Options(complete=whole, hints=hints_of(args))
            stand = stopblock.Stand(build(events, {}, options) if events else None, whole, holder_of(lock.get("lock") or {}))
        return stopblock.refusal(args["migration_id"], args["refused"], stand, Words(args["language"]), hints_of(args, report))

    def _readable(self, path: str) -> str:
        """The report's path, nothing where this look writes none and no run has left one on this controller."""
        return path if not self._task.check_mode or os.path.exists(path) else ""


def write(directory: str, files: dict[str, str], check_mode: bool) -> bool:
    """Publish ``files`` in ``directory`` on the controller; whether any was (or would be) new."""
    stale = {os.path.join(directory, name): text.encode() for name, text in files.items()}
    stale = {path: data for path, data in stale.items() if differs(path, data)}
    if stale and not check_mode:
        private_directory(directory)
        for path, data in stale.items():
            publish(path, data)
    return bool(stale)


def directory_of(args: dict[str, Any]) -> str:
    """Where the reports of the migration are on the controller."""
    return os.path.join(os.path.abspath(args["report_dir"]), args["migration_id"])


def hints_of(args: dict[str, Any], report: str = "") -> Hints:
    """The commands as this run was started, and the path of the report."""
    return Hints(**hints_for(*started_with(context.CLIARGS or {})), reopen=args["reopen"], report=report)


def holder_of(lock: dict[str, Any]) -> dict[str, Any]:
    """The run that has the lock, with whether its process lives; nothing where it is free, or its run provably dead."""
    alive = controller.alive(lock) if lock.get("held") else False
    return {} if alive is False else {"alive": alive, **{name: lock.get(name) or "" for name in ("run_id", "operator", "since")}}


def stop_block(data: ReportData, args: dict[str, Any], report: str) -> list[str]:
    """The lines of the stop block, with commands as this run was started."""
    words = Words(args["language"])
    if args["refused"]:
        return stopblock.refusal(data.migration_id, args["refused"], stopblock.Stand(data), words, hints_of(args, report))
    return stopblock.lines(data, words, Hints(**data.hints, report=report))
