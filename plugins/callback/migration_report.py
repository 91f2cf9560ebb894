# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback migration_report: a run log by allow-list, and the report of a run that died before its report task."""

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_report
type: aggregate
short_description: Keep a run log of a migration, and report a run that died
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - Writes one line an event to C(<migration_report_dir>/<migration_id>/runs/) on the controller, in plays that belong to a
    migration. A line names time, role, action, place of the task, host, status and duration; never what a task was given or
    printed.
  - Where a run ends without its report task, it writes the report from the events it saw, through the same renderer.
  - The playbooks of the collection enable it themselves. It prints nothing, calls no network, and never fails a run.
requirements:
  - Babel and Jinja2, for the report
"""

import atexit
import functools
import os
import re
from collections.abc import Callable
from typing import Any, Optional

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render
from ansible_collections.dihya.migration.plugins.plugin_utils.report.runlog import Clock, RunLog, Seen, name_or_nothing

COLLECTION = "dihya.migration."
MIGRATION_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ACTIVE: list[int] = []
"""The process in which an instance is at work: the shim and a user's own setting must not make two."""


def harmless(method: Callable[..., None]) -> Callable[..., None]:
    """A recorder that fails must stop recording, not the migration."""

    @functools.wraps(method)
    def guarded(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        if self.off:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # pylint: disable=broad-except  # whatever it is, the run is more important
            self.off = True
            self._display.vvv(f"migration_report stopped recording: {type(error).__name__}")

    return guarded


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "dihya.migration.migration_report"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pid = os.getpid()
        self.off = self.pid in ACTIVE or bool(context.CLIARGS.get("check"))
        self.log: Optional[RunLog] = None
        self.seen: Optional[Seen] = None
        self.clock = Clock()
        self.play = ""
        self.directory = ""
        self.language = "fr"
        self.reported = False
        if not self.off:
            ACTIVE.append(self.pid)
            atexit.register(self._at_exit)

    @harmless
    def v2_playbook_on_play_start(self, play: Any) -> None:
        self.play = play.get_path()
        if self.log is None:
            self._open(play)
        if self.log is not None:
            self.log.write("play", play=self.play)

    @harmless
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if self.log is not None:
            self.clock.start(host.get_name(), task._uuid)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result(result, "unreachable")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result(result, "skipped")

    @harmless
    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._finish()

    @harmless
    def _result(self, result: Any, status: str) -> None:
        if self.log is None:
            return
        # ansible-core 2.19 has public names, 2.17 and 2.18 have these only.
        host, task, data = result._host.get_name(), result._task, result._result
        action = name_or_nothing(task.resolved_action or task.action)
        role = name_or_nothing(task._role.get_name()) if task._role else ""
        self.log.write(
            "task",
            play=self.play,
            role=role,
            action=action,
            task=name_or_nothing(task._uuid),
            at=task.get_path(),
            host=host,
            status=status,
            changed=data.get("changed") is True,
            duration=self.clock.stop(host, task._uuid),
        )
        if status != "ok" or self.seen is None:
            return
        if action == COLLECTION + "journal":
            self.seen.journal(result._task_fields.get("args") or {}, data, host)
        elif action == COLLECTION + "report":
            self.reported = True

    def _open(self, play: Any) -> None:
        """Begin the log when the play belongs to a migration: some host of it knows a ``migration_id``."""
        manager = play.get_variable_manager()
        hosts = manager._inventory.get_hosts(play.hosts)
        variables = manager.get_vars(play=play, host=hosts[0] if hosts else None)
        templar = Templar(loader=play.get_loader(), variables=variables)

        def text(name: str, default: str) -> str:
            try:
                return str(templar.template(variables[name])) if name in variables else default
            except Exception:  # pylint: disable=broad-except  # an undefined part of it; the transaction will say so
                return default

        migration_id = text("migration_id", "")
        if not MIGRATION_ID.fullmatch(migration_id):
            return
        self.directory = os.path.join(os.path.abspath(os.path.expanduser(text("migration_report_dir", "reports"))), migration_id)
        self.language = text("migration_language", "fr")
        self.seen = Seen(migration_id)
        self.log = RunLog(os.path.join(self.directory, "runs"))

    def _finish(self) -> None:
        """Close the log, and write the report when a run began and no report task succeeded."""
        if self.log is None or self.seen is None:
            return
        log, self.log = self.log, None
        log.write("end")
        log.close()
        if self.seen.events and not self.reported:
            options = Options(language=self.language, journal_path=log.path, complete=False)
            files = render(self.seen.events, {}, options)[1]
            private_directory(self.directory)
            for name, text in files.items():
                publish(os.path.join(self.directory, name), text.encode())

    @harmless
    def _at_exit(self) -> None:
        """After Ctrl-C there are no stats; a forked worker inherits this and must not act."""
        if os.getpid() == self.pid:
            self._finish()
