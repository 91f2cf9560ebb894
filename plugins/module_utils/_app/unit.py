# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unit of systemd that an application runs as: started, proved, and brought back by a record of what ran before.

The record is that of ``process``. The file of the unit and its secrets are brought back by whoever kept them; the record tells
whether the unit of before ran and started with the machine. One that no record names is taken as it is found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import secrets
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import env_file, process, process_table
from ansible_collections.dihya.migration.plugins.module_utils._app.podman import systemctl
from ansible_collections.dihya.migration.plugins.module_utils._app.process import Health, Record
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish, publish_json

_SHOWN = ("LoadState", "ActiveState", "UnitFileState", "MainPID", "Description")


@dataclass(frozen=True)
class Definition:
    """What to run: the text of its unit, which appends to ``log_file`` and reads the secrets of ``env_file``."""

    name: str
    service: str
    unit_file: str
    unit: str
    log_file: str
    env_file: str | None = None
    user: str | None = None

    def digest(self) -> str:
        """Changes with everything that would make a running unit differ from this definition."""
        variables = env_file.read(self.env_file) if self.env_file else {}
        return hashlib.sha256(json.dumps([self.unit, sorted(variables.items())]).encode()).hexdigest()


def wanted(options: dict[str, Any]) -> Definition:
    """What the options of ``app_unit`` ask for."""
    names = ("name", "service", "unit_file", "unit", "log_file", "env_file", "user")
    return Definition(**{name: options[name] for name in names})


def show(service: str) -> dict[str, str]:
    """What systemd says of the unit ``service``, whether there is one or not."""
    listing = systemctl("show", f"--property={','.join(_SHOWN)}", f"{service}.service").stdout
    return dict.fromkeys(_SHOWN, "") | dict(line.split("=", 1) for line in listing.splitlines() if "=" in line)


def known(options: dict[str, Any]) -> Record | None:
    """The record with the process that runs now, or the unit without one as it is found; None when there is neither."""
    seen = show(options["service"])
    record = process.read_record(options["record_file"])
    if record is None and seen["LoadState"] != "loaded":
        return None
    found = record or {"name": seen["Description"], "digest": "", "log_file": "", "log_offset": 0, "previous": None}
    place = {"service": options["service"], "enabled": seen["UnitFileState"] == "enabled"}
    return {**found, **place, **process_table.identity(int(seen["MainPID"] or 0))}


def alive(record: Record | None) -> bool:
    """Whether the recorded unit runs now; one that systemd is about to start again does not."""
    return record is not None and show(record["service"])["ActiveState"] in ("active", "reloading")


def start(
    definition: Definition, record_file: str, record: Record | None, health: Health | None, patience: float
) -> tuple[Record, dict[str, Any]]:
    """Start ``definition`` in place of what ``record`` names; its record and the answer that showed it healthy.

    A start that fails is stopped again.
    """
    started = _record(definition, record)
    # The intent goes to disk first, without digest: killed from here on, a revert knows what ran before, and a start does it all again.
    private_directory(os.path.dirname(record_file))
    publish_json(record_file, started)
    if record:
        _stop(record, patience)
    started.update(log_offset=_log_of(definition), since=time.time())
    publish_json(record_file, started)
    mark = f"Environment={process_table.MARK}={started['mark']}"
    publish(definition.unit_file, definition.unit.replace("[Service]\n", f"[Service]\n{mark}\n", 1).encode(), 0o644)
    systemctl("daemon-reload")
    systemctl("enable", f"{definition.service}.service")
    try:
        started = {**_started(started), "digest": definition.digest()}
        publish_json(record_file, started)
        answer = process.wait_healthy(started, health, definition.log_file)
    except MigrationError:
        stop(record_file, started, patience)
        raise
    return started, answer


def watched(_record: Record | None) -> bool:
    """Systemd watches every unit."""
    return True


def keep(_record_file: str, record: Record) -> Record:
    """The record as it is: systemd starts a unit again by itself."""
    return record


def stop(record_file: str, record: Record, patience: float, _keep_record: bool = True) -> None:
    """Stop the recorded unit, also for the next start of the machine; the record always stays, it knows what to bring back."""
    _stop(record, patience)
    systemctl("disable", f"{record['service']}.service", check=False)
    publish_json(record_file, {**record, "stopped": True})


def revert(record_file: str, record: Record, health: Health | None, patience: float) -> Record | None:
    """Bring back what the recorded unit replaced, whose file is in its place again; the record that holds now, None when none ran."""
    stop(record_file, record, patience)
    systemctl("daemon-reload")
    back = show(record["service"])["LoadState"] == "loaded"
    previous = record.get("previous")
    if previous and not back:
        raise MigrationError(f"the unit {record['service']} of before has no file any more: put it back, then run this again")
    if back and record.get("enabled_before"):
        systemctl("enable", f"{record['service']}.service")
    if previous:
        return _start_again(record_file, previous, health)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(record_file)
    return None


def resume(record_file: str, record: Record, health: Health | None, _patience: float) -> Record:
    """Start the recorded unit again as it was started, and with the machine from now on; its new record."""
    systemctl("enable", f"{record['service']}.service")
    return _start_again(record_file, record, health)


def _start_again(record_file: str, record: Record, health: Health | None) -> Record:
    """Start a unit that was stopped; the record, which is written once it is proved to serve."""
    again = _started({key: value for key, value in record.items() if key != "stopped"})
    process.wait_healthy(again, health, again["log_file"] or f"`journalctl -u {again['service']}`")
    publish_json(record_file, again)
    return again


def _started(record: Record) -> Record:
    """Start the unit; its record with the process that must not die from now on, however often systemd would replace it."""
    if systemctl("start", f"{record['service']}.service", check=False).status != 0:
        raise MigrationError(f"systemd could not start {record['service']}: read `journalctl -u {record['service']}` on this host")
    return {**record, **process_table.identity(int(show(record["service"])["MainPID"] or 0))}


def _stop(record: Record, patience: float) -> None:
    systemctl("stop", f"{record['service']}.service", check=False, timeout=patience)
    if alive(record):
        raise MigrationError(f"the unit {record['service']} goes on running: stop it with systemctl, then run this again")


def _record(definition: Definition, record: Record | None) -> Record:
    again = record is not None and record["name"] == definition.name
    before = (record or {}).get("enabled_before" if again else "enabled", False)
    return {
        "name": definition.name, "service": definition.service, "log_file": definition.log_file, "log_offset": 0,
        "mark": secrets.token_hex(16), "digest": "", "enabled": True, "enabled_before": before,
        "previous": process.previous_of(definition.name, record, alive(record)), "pid": 0, "start": 0, "boot": "",
    }


def _log_of(definition: Definition) -> int:
    """How long the log already is; a directory that is missing is made, for the user of the unit."""
    directory = os.path.dirname(definition.log_file)
    if not os.path.isdir(directory):
        private_directory(directory)
        os.chown(directory, pwd.getpwnam(definition.user).pw_uid if definition.user else -1, -1)
    return os.path.getsize(definition.log_file) if os.path.exists(definition.log_file) else 0
