# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of ``app_process`` and ``app_unit`` to their results."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import process, process_table


def supervise(options: dict[str, Any], check_mode: bool, engine: Any = process) -> dict[str, Any]:
    """Bring what ``engine`` (``process`` or ``unit``) runs to ``options["state"]``, or only say how with ``check_mode``."""
    began = time.monotonic()
    definition = engine.wanted(options) if options["state"] == "started" else None
    health = process.health_of(options)
    record = engine.known(options)
    plan = process.decide(options["state"], options["name"], record, engine.alive(record), definition.digest() if definition else None,
                          engine.watched(record))
    answer: dict[str, Any] = {}
    if definition and plan.action in ("start", "restart"):
        process.refuse_foreign_port(options["port"], record)
    if not check_mode:
        record, answer = _apply(engine, plan.action, options, definition, record, health)
        if plan.action == "none" and record and options["state"] in ("started", "resumed", "reverted") and engine.alive(record):
            # The run that started it may have been cut off before it had seen that.
            if options["state"] != "reverted":
                answer = process.wait_healthy(record, health, record.get("log_file", ""))
            record = engine.keep(_record_file(options), record)
    result = _result(record, engine.alive(record), options["port"])
    result.update(changed=plan.action != "none", msg=plan.reason, journal=_journal(plan, record, check_mode, time.monotonic() - began))
    if answer:
        result["health"] = answer
    return result


def _record_file(options: dict[str, Any]) -> str:
    return options.get("record_file") or options["pid_file"]


def _apply(
    engine: Any, action: str, options: dict[str, Any], definition: Any, record: process.Record | None, health: process.Health | None
) -> tuple[process.Record | None, dict[str, Any]]:
    """Do it; the record that holds afterwards and the health seen while starting."""
    path, patience = _record_file(options), options["stop_timeout"]
    if definition and action in ("start", "restart"):
        return engine.start(definition, path, record, health, patience)
    if action == "stop" and record:
        engine.stop(path, record, patience, options.get("keep_record", True))
        return process.read_record(path), {}
    if action == "revert" and record:
        return engine.revert(path, record, health, patience), {}
    if action == "resume" and record:
        return engine.resume(path, record, health, patience), {}
    return record, {}


def _result(record: process.Record | None, running: bool, port: int | None) -> dict[str, Any]:
    known = record or {}
    result = {
        "running": running, "name": known.get("name", ""), "pid": known.get("pid", 0) if running else 0,
        "log_file": known.get("log_file", ""), "log_offset": known.get("log_offset", 0),
    }
    if port:
        result["port"] = process_table.port_holder(port, process_table.members(known) if record else ())
    return result


def _journal(plan: process.Plan, record: process.Record | None, check_mode: bool, duration: float) -> dict[str, Any]:
    facts: dict[str, Any] = {"summary": plan.reason, "duration": round(duration, 3), "changed": plan.action != "none"}
    if plan.action in ("start", "restart", "resume") and record and not check_mode:
        facts["created"] = [
            {"kind": "process", "name": str(record["name"]), "identity": f"{record['pid']}:{record['start']}:{record['boot']}"}
        ]
    return facts
