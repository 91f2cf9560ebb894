# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of ``app_container`` to its result."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import container, container_plan, env_file, process, process_table
from ansible_collections.dihya.migration.plugins.module_utils._app.container_plan import Definition
from ansible_collections.dihya.migration.plugins.module_utils._app.podman import Podman
from ansible_collections.dihya.migration.plugins.module_utils._app.process import Plan, Record
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

NOT_AT_BOOT = "that the container starts with the machine: without systemd nothing here starts it"


def contain(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring image or container to ``options["state"]``, or only say how with ``check_mode``."""
    began = time.monotonic()
    host = Podman(os.path.dirname(options["record_file"]))
    result = _present(host, options, check_mode) if options["state"] == "present" else _supervise(host, options, check_mode)
    result["journal"].update(summary=result["msg"], changed=result["changed"], duration=round(time.monotonic() - began, 3))
    return result


def _present(host: Podman, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The image is on this host, and the application's secrets when ``name`` is given."""
    found = host.image(options["image"])
    wanted = bool(options["env_file"]) and not (check_mode and not os.path.exists(options["env_file"]))
    changed, reason = found is None, "the image is on this host already" if found else "the image was not on this host"
    if found is None and not check_mode:
        found = host.fetch(options["image"], options["archive"], options["timeout"])
    result: dict[str, Any] = {"image_id": found or "", "journal": {"versions": {"image": container_plan.parse_pin(options["image"])[1]}}}
    if options["name"]:
        variables = _variables(options) if wanted else {}
        definition = _definition(options, found or "", variables)
        result["inside"] = container_plan.tool_prefix(host.program, definition)
        if not check_mode and container.place_secrets(host, options["name"], variables, _digest(variables)):
            changed, reason = True, f"{reason}; the secrets were stored"
    return {**result, "changed": changed, "msg": reason}


def _supervise(host: Podman, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    record = process.read_record(options["record_file"])
    running = container.alive(host, record)
    definition, variables = None, {}
    if options["state"] == "started":
        variables = _variables(options)
        definition = _definition(options, _verified(host, options["image"]), variables)
    plan = _plan(options, record, running, definition)
    answer: dict[str, Any] = {}
    not_proved: list[str] = []
    if not check_mode:
        if definition:
            container.place_secrets(host, definition.name, variables, _digest(variables))
        record, answer = _apply(host, plan.action, options, definition, record)
        if options["state"] == "reverted" and options["name"] and (record or {}).get("name") != options["name"]:
            container.abandon(host, options["name"])
        if options["state"] == "enabled" and record:
            not_proved = _enable(options["record_file"], record)
        running = container.alive(host, record)
    return _result(plan, record, running, options["port"], answer, not_proved, check_mode)


def _plan(options: dict[str, Any], record: Record | None, running: bool, definition: Definition | None) -> Plan:
    if options["state"] != "enabled":
        return process.decide(options["state"], options["name"], record, running, definition.digest() if definition else None)
    if not record or not running or (options["name"] and record["name"] != options["name"]):
        raise MigrationError("the container that is to start with the machine does not run: start it first")
    if record["form"] == "podman" or container_plan.at_boot(record["unit"]) == record["unit"]:
        return Plan("none", "nothing is left to do so that it starts with the machine")
    return Plan("enable", "the unit did not start with the machine yet")


def _apply(
    host: Podman, action: str, options: dict[str, Any], definition: Definition | None, record: Record | None
) -> tuple[Record | None, dict[str, Any]]:
    """Do it; the record that holds afterwards and the health seen while starting."""
    path, patience, health = options["record_file"], options["stop_timeout"], process.health_of(options)
    if definition and action in ("start", "restart"):
        process.refuse_foreign_port(options["port"], record)
        return container.start(host, definition, path, record, health, patience)
    if definition and record:
        return record, process.wait_healthy(record, health, definition.log_file, lambda: container.alive(host, record))
    if action == "stop" and record:
        container.stop(host, path, record, patience)
    if action == "resume" and record:
        return container.resume(host, path, record, health), {}
    if action == "revert" and record:
        return container.revert(host, path, record, health, patience), {}
    return process.read_record(path), {}


def _enable(path: str, record: Record) -> list[str]:
    """What cannot be proved about the next start of the machine."""
    if record["form"] == "podman":
        return [NOT_AT_BOOT]
    container.enable(path, record)
    return []


def _verified(host: Podman, pinned: str) -> str:
    found = host.image(pinned)
    if found is None:
        raise MigrationError("no image on this host has the pinned digest: fetch it first, with the state present")
    return found


def _variables(options: dict[str, Any]) -> dict[str, str]:
    return env_file.read(options["env_file"]) if options["env_file"] else {}


def _digest(variables: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(variables.items())).encode()).hexdigest()


def _definition(options: dict[str, Any], image: str, variables: dict[str, str]) -> Definition:
    return Definition(
        options["name"], options["service"] or options["name"], options["form"], image, options["log_file"] or "",
        tuple(options["command"] or ()), options["user"] or "", tuple(options["volumes"]),
        {str(name): str(value) for name, value in options["environment"].items()}, variables,
    )


def _result(
    plan: Plan, record: Record | None, running: bool, port: int | None, answer: dict[str, Any], not_proved: list[str], check_mode: bool
) -> dict[str, Any]:
    known = record or {}
    journal: dict[str, Any] = {"not_proved": not_proved} if not_proved else {}
    if plan.action in ("start", "restart") and record and not check_mode:
        journal["created"] = [{"kind": "process", "name": f"container {record['name']}", "identity": record["container"]}]
    if known.get("image"):
        journal["versions"] = {"image_id": known["image"]}
    result = {
        "changed": plan.action != "none", "msg": plan.reason, "running": running, "name": known.get("name", ""),
        "image_id": known.get("image", ""), "log_file": known.get("log_file", ""), "log_offset": known.get("log_offset", 0),
        "journal": journal,
    }
    if port:
        result["port"] = process_table.port_holder(port, process_table.members(known) if record else ())
    return {**result, "health": answer} if answer else result
