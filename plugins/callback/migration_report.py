# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback migration_report: a run log by allow-list, and the report of a run that died before its report task."""

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_report
type: aggregate
short_description: Keep a run log of a migration, tell how it ended, and report a run that died
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - Writes one line an event to C(<migration_report_dir>/<migration_id>/runs/) on the controller, in plays that belong to a
    migration. A line names time, role, action, place of the task, host, status and duration; never what a task was given or
    printed.
  - Keeps in that log also the events that the journal took, so that the log alone is enough for a report.
  - Where a run ends without its report task (Ctrl-C, SIGTERM, SIGKILL as ansible-runner and AWX send it, a play that aborts), it
    writes the report from the log, marked as interrupted, and says on standard error what to do. A small process in a session of
    its own does this, so that it works for a run that was killed too; a run that is told to stop waits for it, two seconds at most.
  - Where the container or machine of the run is taken away with it, nothing can be written; the playbook
    C(dihya.migration.report) makes the report of any run from the journal.
  - At the end of a run it says on standard error, below the recap and in plain lines whatever the result format, how the run ended
    or why it was refused, where users are, where the report is, and what to type to go on or back.
  - A play that is to migrate and of which not one task ran (C(--skip-tags all,always)) would end with the exit status 0 and no word. It is
    told there, and ends with 1.
  - The playbooks of the collection enable it themselves. It prints nothing else, calls no network, and fails no other run.
requirements:
  - Babel and Jinja2, for the report
"""

import atexit
import functools
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version
from ansible.template import Templar
from ansible_collections.dihya.migration.plugins.plugin_utils import controller
from ansible_collections.dihya.migration.plugins.plugin_utils.report.attendant import Attendant
from ansible_collections.dihya.migration.plugins.plugin_utils.report.commands import hints_for, started_with
from ansible_collections.dihya.migration.plugins.plugin_utils.report.runlog import (
    REPORT_ACTION,
    Clock,
    RunLog,
    Seen,
    name_or_nothing,
)

JOURNAL_ACTION = "dihya.migration.journal"
MIGRATION_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUNNER_READS = 0.5
"""Seconds in which ansible-runner reads the recap: what it reads together with the end of that, it keeps and does not show."""
NOTHING_RAN = 1
"""Exit status of a migration of which not one task ran."""
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
        except Exception as error:  # whatever it is, the run is more important
            self.off = True
            self._display.warning(f"migration_report stopped recording ({type(error).__name__}); the migration goes on")

    return guarded


def why_idle(arguments: Mapping[str, Any], language: str) -> list[str]:
    """The last words of a run of which not one task ran, by how it was started."""
    given = {"ansible_limit": "subset", "ansible_run_tags": "tags", "ansible_skip_tags": "skip_tags"}
    why = controller.partial_run({name: arguments.get(option) for name, option in given.items()})
    why = why or "Nothing was changed. No task ran: the play has no host. Name the inventory of the migration"
    try:  # what it takes to say it in the reader's language is dear, and may not be here
        from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
        from ansible_collections.dihya.migration.plugins.plugin_utils.report import stopblock
        from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Hints

        return stopblock.refusal("", why, None, Words(language), Hints())
    except Exception:
        return [why]


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
        self.attendant: Optional[Attendant] = None
        self.clock = Clock()
        self.play = ""
        self.idle: set[str] = set()
        self.options: dict[str, Any] = {}
        self.reported = False
        self.last_words: list[str] = []
        self.former: dict[int, Any] = {}
        self.reason = "ended"
        if not self.off:
            ACTIVE.append(self.pid)
            atexit.register(self._at_exit)

    @harmless
    def v2_playbook_on_play_start(self, play: Any) -> None:
        self.play = play.get_path()
        if "migration_purpose" in play.get_vars():
            self.idle.add(self.play)
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
        if self.idle:
            self.last_words = why_idle(context.CLIARGS, self.options.get("language", "fr"))
            raise SystemExit(NOTHING_RAN)  # there is no task that could fail

    @harmless
    def _result(self, result: Any, status: str) -> None:
        self.idle.discard(self.play)
        # The public names are not those of every ansible-core.
        host, task, data = result._host.get_name(), result._task, result._result
        action = name_or_nothing(task.resolved_action or task.action)
        if (action, status) == (REPORT_ACTION, "ok"):
            # In check mode it was a look at the journal (playbooks/status.yml), which ends nothing, or a run that did not begin.
            told = not task.check_mode or (result._task_fields.get("args") or {}).get("refused")
            self.last_words = list(data.get("stop_block") or []) if told else []
        if self.log is None:
            return
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
        if action == JOURNAL_ACTION:
            for event in self.seen.journal(result._task_fields.get("args") or {}, data, host):
                self.log.write("journal", **event)
                self._attend()
        elif action == REPORT_ACTION:
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
            except Exception:  # an undefined part of it; the transaction will say so
                return default

        migration_id = text("migration_id", "")
        if not MIGRATION_ID.fullmatch(migration_id):
            return
        directory = os.path.join(os.path.abspath(os.path.expanduser(text("migration_report_dir", "reports"))), migration_id)
        self.log = RunLog(os.path.join(directory, "runs"))
        self.seen = Seen(migration_id, {"controller": socket.gethostname(), "ansible_version": str(ansible_version)})
        self.reported = False
        self.options = {
            "directory": directory,
            "language": text("migration_language", "fr"),
            "hints": hints_for(*started_with(context.CLIARGS)),
        }

    def _attend(self) -> None:
        """From the first event on a death must be told: start who waits for it, and hear the signals that end Ansible at once."""
        if self.attendant is not None or self.log is None:
            return
        self.attendant = Attendant(self.log.path, self.options)
        for number in SIGNALS:
            former = signal.getsignal(number)
            if former is not signal.SIG_IGN:  # nohup, and ansible-runner, have SIGHUP ignored
                self.former[number] = former
                signal.signal(number, self._stopped)

    def _stopped(self, number: int, frame: Any) -> None:
        """Have the report written, then do what would have been done at once: Ansible's own handler, or the end."""
        former = self.former.get(number, signal.SIG_DFL)
        signal.signal(number, former if callable(former) else signal.SIG_DFL)
        self.reason = signal.Signals(number).name
        # On SIGINT Ansible leaves through its ordinary exit, on the others at once.
        if number != signal.SIGINT and os.getpid() == self.pid:  # a fork may inherit this handler
            try:
                self._finish()
                self._tell()
            except BaseException:  # the signal must do its work whatever happens here
                pass
        if callable(former):
            former(number, frame)
        else:
            os.kill(os.getpid(), number)

    @harmless
    def _finish(self) -> None:
        """Close the log; where a run began and no report task succeeded, have the report written."""
        if self.log is None:
            return
        log, self.log = self.log, None
        attendant, self.attendant = self.attendant, None
        if attendant is not None and not self.reported:
            log.close()
            self.last_words = attendant.report(self.reason)
            return
        log.write("end")
        log.close()
        if attendant is not None:
            attendant.dismiss()

    def _tell(self) -> None:
        """The last lines on the screen. Past the buffers of Python: a signal may have come while one was being written."""
        lines, self.last_words = self.last_words, []
        if lines:
            if "AWX_ISOLATED_DATA_DIR" in os.environ:
                time.sleep(RUNNER_READS)
            os.write(2, ("\n" + "\n".join(lines) + "\n").encode("utf-8", "replace"))

    def _at_exit(self) -> None:
        """After Ctrl-C there are no stats; a forked worker inherits this and must not act."""
        if os.getpid() == self.pid:
            self._finish()
            sys.stdout.flush()
            self._tell()
