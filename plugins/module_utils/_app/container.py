# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The container of an application: started from a verified image, replaced and brought back by a record of what ran before.

The record is that of ``process``, with the container beside its process. What a release replaced is only stopped: its
container or its unit, its secrets and its image stay until the release after next.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import container_plan, podman, process
from ansible_collections.dihya.migration.plugins.module_utils._app.container_plan import Definition
from ansible_collections.dihya.migration.plugins.module_utils._app.podman import Podman
from ansible_collections.dihya.migration.plugins.module_utils._app.process import Health, Record
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish, publish_json, read_json


def alive(host: Podman, record: Record | None) -> bool:
    """Whether the recorded container runs, from the recorded image."""
    return record is not None and host.runs(str(record["name"]), str(record["image"]))


def place_secrets(host: Podman, name: str, variables: dict[str, str], digest: str) -> bool:
    """Store the variables of the container ``name`` as secrets of podman; whether anything had to be done."""
    path = _secrets_file(host, name)
    wanted = container_plan.secret_names(name, variables)
    with contextlib.suppress(FileNotFoundError):
        if read_json(path) == {"digest": digest, "names": sorted(wanted.values())} and set(wanted.values()) <= host.secrets():
            return False
    private_directory(host.log_dir)
    publish_json(path, {"digest": "", "names": sorted(wanted.values())})  # first: what a killed run leaves can be found
    host.put_secrets({wanted[variable]: variables[variable] for variable in wanted})
    publish_json(path, {"digest": digest, "names": sorted(wanted.values())})
    return True


def start(
    host: Podman, definition: Definition, record_file: str, record: Record | None, health: Health | None, patience: float
) -> tuple[Record, dict[str, Any]]:
    """Start ``definition`` in place of what ``record`` names; its record and the answer that showed it healthy.

    A start that fails is stopped again. What the replaced container itself had replaced is removed, as is one that was stopped
    for good: nothing leads back to them.
    """
    previous = process.previous_of(definition.name, record, alive(host, record))
    started = _record(definition, previous)
    # The intent goes to disk first: killed from here on, a revert still knows what ran before.
    publish_json(record_file, started)
    if record and record["name"] != definition.name:
        for idle in filter(None, (record.get("previous"), record if record.get("stopped") and not previous else None)):
            _forget(host, idle, patience)
    for replaced in (previous, record):
        if replaced:
            halt(host, replaced, patience)
    host.drop(definition.name, patience)
    _launch(host, definition, started)
    started.update(host.identity(definition.name))
    publish_json(record_file, started)
    try:
        answer = process.wait_healthy(started, health, definition.log_file, lambda: _undisturbed(host, started))
    except MigrationError:
        halt(host, started, patience)
        publish_json(record_file, {**started, "stopped": True})
        raise
    return started, answer


def halt(host: Podman, record: Record, patience: float) -> None:
    """Stop the recorded container, and prove that it is; all that starts it again stays."""
    if record["form"] == "quadlet":
        podman.systemctl("stop", f"{record['service']}.service", check=False, timeout=patience + 60)
    else:
        host.call("stop", "--ignore", f"--time={int(patience)}", record["name"], timeout=patience + 60)
    if host.runs(record["name"], record["image"]):
        raise MigrationError(f"the container {record['name']} goes on running: stop it with podman, then run this again")


def stop(host: Podman, record_file: str, record: Record, patience: float) -> None:
    """Stop the recorded container and its tools, for good; the record stays, it knows what to bring back."""
    host.end_tools(record["name"])
    halt(host, record, patience)
    unit = container_plan.not_at_boot(record["unit"])
    if unit != record["unit"] and _unit_is_ours(record):
        _install(record["service"], unit)
    publish_json(record_file, {**record, "unit": unit, "stopped": True})


def resume(host: Podman, record_file: str, record: Record, health: Health | None) -> Record:
    """Start the recorded container again as it was started, and with the machine from now on; its new record."""
    return _start_again(host, record_file, {**record, "unit": container_plan.at_boot(record["unit"]) if record["unit"] else ""}, health)


def revert(host: Podman, record_file: str, record: Record, health: Health | None, patience: float) -> Record | None:
    """Remove the recorded container and bring back the one it replaced; the record that holds now, None when none ran."""
    host.end_tools(record["name"])
    halt(host, record, patience)
    previous = record.get("previous")
    _forget(host, record, patience, replaced=bool(previous and previous["form"] == "quadlet" and previous["service"] == record["service"]))
    if not previous:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(record_file)
        return None
    return _start_again(host, record_file, previous, health)


def abandon(host: Podman, name: str) -> None:
    """End tools and remove secrets of a container that was never started."""
    host.end_tools(name)
    _drop_secrets(host, name)


def enable(record_file: str, record: Record) -> None:
    """Let the recorded unit start with the machine, and prove that it will."""
    text = container_plan.at_boot(record["unit"])
    if text != record["unit"]:
        _install(record["service"], text)
        publish_json(record_file, {**record, "unit": text})
    # `is-enabled` says "generated" of every unit of Quadlet, whether anything starts it or not.
    if not podman.systemctl("show", "--property=WantedBy", "--value", f"{record['service']}.service").stdout.strip():
        raise MigrationError(f"systemd does not start {record['service']} with the machine: look at {podman.unit_path(record['service'])}")


def _start_again(host: Podman, record_file: str, record: Record, health: Health | None) -> Record:
    """Start a container that was stopped, its unit as the record has it; the record that holds then."""
    if record["form"] == "quadlet":
        _install(record["service"], record["unit"])
        podman.systemctl("start", f"{record['service']}.service")
    else:
        host.call("start", record["name"])
    again = {key: value for key, value in record.items() if key != "stopped"} | host.identity(record["name"])
    process.wait_healthy(again, health, again["log_file"], lambda: alive(host, again))
    publish_json(record_file, again)
    return again


def _record(definition: Definition, previous: Record | None) -> Record:
    mark = secrets.token_hex(16)
    unit = container_plan.unit_text(definition, mark) if definition.form == "quadlet" else ""
    known = {"name": definition.name, "service": definition.service, "form": definition.form, "image": definition.image, "unit": unit}
    size = os.stat(definition.log_file).st_size if os.path.exists(definition.log_file) else 0
    return {
        **known, "log_file": definition.log_file, "log_offset": size, "since": time.time(), "mark": mark, "previous": previous,
        "container": "", "pid": 0, "start": 0, "boot": "", "digest": definition.digest(),
    }


def _launch(host: Podman, definition: Definition, record: Record) -> None:
    private_directory(os.path.dirname(definition.log_file))
    if definition.form == "podman":
        host.call(*container_plan.run_arguments(definition, record["mark"]))
        return
    _install(definition.service, record["unit"])
    started = podman.systemctl("start", f"{definition.service}.service", check=False)
    if started.status != 0:
        raise MigrationError(f"systemd could not start {definition.service}: read `journalctl -u {definition.service}` on this host")


def _install(service: str, text: str) -> None:
    os.makedirs(podman.UNITS, exist_ok=True)
    publish(podman.unit_path(service), text.encode(), 0o644)
    podman.systemctl("daemon-reload")


def _undisturbed(host: Podman, record: Record) -> bool:
    """Whether the very container that was started runs, without a restart since."""
    found = host.container(record["name"])
    return found is not None and found["Id"] == record["container"] and bool(found["State"]["Running"]) and not found.get("RestartCount")


def _forget(host: Podman, record: Record, patience: float, replaced: bool = False) -> None:
    """Remove container, unit (unless another one takes its place) and secrets of a record."""
    if record["form"] == "quadlet" and not replaced and _unit_is_ours(record):
        os.unlink(podman.unit_path(record["service"]))
        podman.systemctl("daemon-reload")
    host.drop(record["name"], patience)
    _drop_secrets(host, record["name"])


def _unit_is_ours(record: Record) -> bool:
    try:
        with open(podman.unit_path(record["service"]), encoding="utf-8") as stream:
            return record["mark"] in stream.read()
    except FileNotFoundError:
        return False


def _secrets_file(host: Podman, name: str) -> str:
    return os.path.join(host.log_dir, f"{name}.secrets.json")


def _drop_secrets(host: Podman, name: str) -> None:
    path = _secrets_file(host, name)
    with contextlib.suppress(FileNotFoundError):
        host.drop_secrets(read_json(path)["names"])
        os.unlink(path)
