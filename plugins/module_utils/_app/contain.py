# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of ``app_container`` to its result."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import container, container_plan, env_file, process, process_table
from ansible_collections.dihya.migration.plugins.module_utils._app.container_forms import Form, drop_compose_files, form_of, forms_here
from ansible_collections.dihya.migration.plugins.module_utils._app.container_plan import Definition
from ansible_collections.dihya.migration.plugins.module_utils._app.process import Plan, Record
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError


def contain(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring image or container to ``options["state"]``, or only say how with ``check_mode``."""
    began = time.monotonic()
    form = form_of(options["form"], os.path.dirname(options["record_file"])) if options["state"] in ("present", "started") else None
    result = _present(form, options, check_mode) if form and options["state"] == "present" else _supervise(form, options, check_mode)
    result["journal"].update(summary=result["msg"], changed=result["changed"], duration=round(time.monotonic() - began, 3))
    return result


def _present(form: Form, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The image is on this host, and the application's secrets when ``name`` is given."""
    found = form.host.image(options["image"])
    wanted = bool(options["env_file"]) and not (check_mode and not os.path.exists(options["env_file"]))
    changed, reason = found is None, "the image is on this host already" if found else "the image was not on this host"
    if found is None and not check_mode:
        found = form.host.fetch(options["image"], options["archive"], options["timeout"])
    result: dict[str, Any] = {"image_id": found or "", "journal": {"versions": {"image": container_plan.parse_pin(options["image"])[1]}}}
    if options["name"]:
        variables = _variables(options) if wanted else {}
        definition = _definition(options, found or "", variables)
        result["inside"], result["inside_of"] = form.tool(definition)
        if not check_mode and form.place_secrets(definition):
            changed, reason = True, f"{reason}; the secrets were stored"
    return {**result, "changed": changed, "msg": reason}


def _supervise(form: Form | None, options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    path = options["record_file"]
    record = process.read_record(path)
    running = container.alive(path, record)
    definition = _definition(options, _verified(form, options["image"]), _variables(options)) if form else None
    plan = _plan(options, record, running, definition)
    answer: dict[str, Any] = {}
    not_proved: list[str] = []
    if not check_mode:
        if plan.action == "none" and definition and form:
            form.place_secrets(definition)
        record, answer = _apply(plan.action, options, definition, record)
        if options["state"] == "reverted" and options["name"] and (record or {}).get("name") != options["name"]:
            _abandon(options)
        if options["state"] == "enabled" and record:
            not_proved = container.enable(path, record)
        running = container.alive(path, record)
    return _result(plan, record, running, options["port"], answer, not_proved, check_mode)


def _plan(options: dict[str, Any], record: Record | None, running: bool, definition: Definition | None) -> Plan:
    if options["state"] != "enabled":
        return process.decide(options["state"], options["name"], record, running, definition.digest() if definition else None)
    if not record or not running or (options["name"] and record["name"] != options["name"]):
        raise MigrationError("the container that is to start with the machine does not run: start it first")
    if container.is_enabled(options["record_file"], record):
        return Plan("none", "nothing is left to do so that it starts with the machine")
    return Plan("enable", "the unit did not start with the machine yet")


def _apply(
    action: str, options: dict[str, Any], definition: Definition | None, record: Record | None
) -> tuple[Record | None, dict[str, Any]]:
    """Do it; the record that holds afterwards and the health seen while starting."""
    path, patience, health = options["record_file"], options["stop_timeout"], process.health_of(options)
    if definition and action in ("start", "restart"):
        process.refuse_foreign_port(options["port"], record)
        return container.start(definition, path, record, health, patience)
    if definition and record:
        return record, process.wait_healthy(record, health, definition.log_file, lambda: container.alive(path, record))
    if action == "stop" and record:
        container.stop(path, record, patience)
    if action == "resume" and record:
        return container.resume(path, record, health), {}
    if action == "revert" and record:
        return container.revert(path, record, health, patience), {}
    return process.read_record(path), {}


def _abandon(options: dict[str, Any]) -> None:
    """End tools and remove secrets of a container that was never started, in whichever form an earlier run wanted it."""
    log_dir = os.path.dirname(options["record_file"])
    for form in forms_here(log_dir, options["form"]):
        form.host.end_tools(options["name"])
        form.drop_secrets(options["name"])
    drop_compose_files(log_dir, options["name"])


def _verified(form: Form, pinned: str) -> str:
    found = form.host.image(pinned)
    if found is None:
        raise MigrationError("no image on this host has the pinned digest: fetch it first, with the state present")
    return found


def _variables(options: dict[str, Any]) -> dict[str, str]:
    return env_file.read(options["env_file"]) if options["env_file"] else {}


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
