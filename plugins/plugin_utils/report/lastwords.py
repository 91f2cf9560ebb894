# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a run that died before its report task, made from what the controller's run log holds."""

from __future__ import annotations

import glob
import os
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish
from ansible_collections.dihya.migration.plugins.module_utils._manifest import utc_now
from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import Words
from ansible_collections.dihya.migration.plugins.plugin_utils.report import runlog, stopblock
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Hints, Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render


def write(log: str, directory: str, language: str, reason: str, hints: dict[str, str]) -> list[str]:
    """End the run log, write the report into ``directory``, and return the stop block; nothing where a report task succeeded.

    ``reason``: ``SIGTERM``, ``SIGINT``, ``SIGHUP``, ``ended`` (without a report task) or ``killed``. Raises ``OSError`` and
    ``MigrationError``.
    """
    lines = runlog.read(log)
    if not runlog.lacks_report(lines):
        return []
    now, events = utc_now(), _attempt(log, lines)
    with open(log, "ab") as stream:
        stream.write(runlog.encode({"time": now, "event": "end", "run": lines[0]["run"], "status": reason}))
    options = Options(
        language=language,
        journal_path=log,
        complete=False,
        stopped=reason,
        stopped_at=now,
        hints=Hints(**hints),
        run_logs=runlog.digests(os.path.dirname(log), [events[-1]["run_id"]]),
    )
    data, files = render(events, {}, options)
    private_directory(directory)
    for name, text in files.items():
        publish(os.path.join(directory, name), text.encode())
    return stopblock.lines(data, Words(language), Hints(**data.hints, report=os.path.join(directory, "report.md")))


def _attempt(log: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of this run behind those of earlier runs of the same attempt that left their logs on this controller.

    A run that resumes repeats nothing: that the source is frozen, say, stands in the log of the run before it.
    """
    mine = runlog.events_of(lines)
    earlier: list[dict[str, Any]] = []
    for path in sorted(glob.glob(os.path.join(glob.escape(os.path.dirname(log)), "*.jsonl"))):
        if path < log:
            earlier += [event for event in runlog.events_of(runlog.read(path)) if event["attempt"] == mine[-1]["attempt"]]
    return earlier + mine
