# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The container of an application: started from a verified image, replaced and brought back by a record of what ran before.

The record is that of ``process``, with the container beside its process. What a release replaced is only stopped: its
container or its unit, its secrets and its image stay until the release after next. Each record says in which form its container
runs, so that one form may replace another.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import process
from ansible_collections.dihya.migration.plugins.module_utils._app.container_forms import Form, form_of
from ansible_collections.dihya.migration.plugins.module_utils._app.container_plan import Definition
from ansible_collections.dihya.migration.plugins.module_utils._app.process import Health, Record
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish_json


def alive(record_file: str, record: Record | None) -> bool:
    """Whether the recorded container runs, from the recorded image."""
    return record is not None and _form(record_file, record).host.runs(record["name"], record["image"], restarting=False)


def start(
    definition: Definition, record_file: str, record: Record | None, health: Health | None, patience: float
) -> tuple[Record, dict[str, Any]]:
    """Start ``definition`` in place of what ``record`` names; its record and the answer that showed it healthy.

    A start that fails is stopped again. What the replaced container itself had replaced is removed, as is one that was stopped
    for good: nothing leads back to them.
    """
    previous = process.previous_of(definition.name, record, alive(record_file, record))
    form = form_of(definition.form, os.path.dirname(record_file))
    started = _record(form, definition, previous)
    if record and record["name"] == definition.name and record["form"] != definition.form:
        # The same release in another form: the next record of this name leads no more to what only the old form has.
        halt(record_file, record, patience)
        _form(record_file, record).forget(record, patience, replaced=False)
    form.place_secrets(definition)
    # The intent goes to disk first: killed from here on, a revert still knows what ran before.
    publish_json(record_file, started)
    if record and record["name"] != definition.name:
        for idle in filter(None, (record.get("previous"), record if record.get("stopped") and not previous else None)):
            _form(record_file, idle).forget(idle, patience, replaced=False)
    for replaced in (previous, record):
        if replaced:
            halt(record_file, replaced, patience)
            if replaced["form"] != definition.form:
                # Its unit is not the one that is replaced by ours; the record keeps it as it was.
                _form(record_file, replaced).retire(replaced)
    form.host.drop(definition.name, patience)
    private_directory(os.path.dirname(definition.log_file))
    form.launch(definition, started)
    started.update(form.host.identity(definition.name))
    publish_json(record_file, started)
    try:
        answer = process.wait_healthy(started, health, definition.log_file, lambda: _undisturbed(form, started))
    except MigrationError:
        halt(record_file, started, patience)
        publish_json(record_file, {**started, "stopped": True})
        raise
    return started, answer


def halt(record_file: str, record: Record, patience: float) -> None:
    """Stop the recorded container, and prove that it is; all that starts it again stays."""
    form = _form(record_file, record)
    form.halt(record, patience)
    if form.host.runs(record["name"], record["image"]):
        raise MigrationError(f"the container {record['name']} goes on running: stop it with {form.host.tool}, then run this again")


def stop(record_file: str, record: Record, patience: float) -> None:
    """Stop the recorded container and its tools, for good; the record stays, it knows what to bring back."""
    form = _form(record_file, record)
    form.host.end_tools(record["name"])
    halt(record_file, record, patience)
    publish_json(record_file, {**form.retire(record), "stopped": True})


def resume(record_file: str, record: Record, health: Health | None) -> Record:
    """Start the recorded container again as it was started, and with the machine from now on; its new record."""
    return _start_again(record_file, _form(record_file, record).at_boot(record), health)


def revert(record_file: str, record: Record, health: Health | None, patience: float) -> Record | None:
    """Remove the recorded container and bring back the one it replaced; the record that holds now, None when none ran."""
    form = _form(record_file, record)
    form.host.end_tools(record["name"])
    halt(record_file, record, patience)
    previous = record.get("previous")
    form.forget(record, patience, replaced=bool(previous and all(previous[key] == record[key] for key in ("form", "service"))))
    if not previous:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(record_file)
        return None
    return _start_again(record_file, previous, health)


def enable(record_file: str, record: Record) -> list[str]:
    """Let the recorded container start with the machine; what cannot be proved of that."""
    form = _form(record_file, record)
    enabled = form.at_boot(record)
    not_proved = form.enable(enabled)
    if enabled != record:
        publish_json(record_file, enabled)
    return not_proved


def is_enabled(record_file: str, record: Record) -> bool:
    """Whether nothing is left to do so that it starts with the machine."""
    return _form(record_file, record).at_boot(record) == record


def keep_log(record_file: str, record: Record) -> None:
    """Bring what the recorded container printed until now to its log file."""
    _form(record_file, record).keep_log(record)


def _form(record_file: str, record: Record) -> Form:
    return form_of(record["form"], os.path.dirname(record_file))


def _start_again(record_file: str, record: Record, health: Health | None) -> Record:
    """Start a container that was stopped, its unit as the record has it; the record that holds then."""
    form = _form(record_file, record)
    form.again(record)
    again = {key: value for key, value in record.items() if key != "stopped"} | form.host.identity(record["name"])
    process.wait_healthy(again, health, again["log_file"], lambda: alive(record_file, again))
    publish_json(record_file, again)
    return again


def _record(form: Form, definition: Definition, previous: Record | None) -> Record:
    mark = secrets.token_hex(16)
    known = {"name": definition.name, "service": definition.service, "form": definition.form, "image": definition.image}
    return {
        **known, "unit": form.unit(definition, mark), "log_file": definition.log_file, "log_offset": form.log_offset(definition.log_file),
        "since": time.time(), "mark": mark, "previous": previous,
        "container": "", "pid": 0, "start": 0, "boot": "", "digest": definition.digest(),
    }


def _undisturbed(form: Form, record: Record) -> bool:
    """Whether the very container that was started runs, without a restart since."""
    found = form.host.container(record["name"])
    return found is not None and found["Id"] == record["container"] and bool(found["State"]["Running"]) and not found.get("RestartCount")
