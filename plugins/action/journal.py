# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of module journal: adds the controller's facts and refuses partial runs before anything is written."""

from __future__ import annotations

from typing import Any

from ansible import __version__
from ansible.plugins.action import ActionBase
from ansible_collections.dihya.migration.plugins.module_utils._journal.resume import status_lines
from ansible_collections.dihya.migration.plugins.plugin_utils import controller
from ansible_collections.dihya.migration.plugins.plugin_utils.journal_access import run_journal


class ActionModule(ActionBase):
    """Runs the module on the state host, with what only the controller can know."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        args = dict(self._task.args, state_host=str(self._task.delegate_to or variables.get("inventory_hostname", "state")))
        args["takeover"] = [one for one in _as_list(args.get("takeover")) if one]
        command = args.get("command")
        if command == "begin":
            refusal = controller.partial_run(variables) or self._lost_state(variables)
            if refusal:
                return dict(result, failed=True, msg=refusal)
            self._add_controller(args, variables)
        elif command == "record":
            self._add_inputs(args, variables)
            if args.get("records"):
                args["records"] = [dict(one) for one in args["records"]]
                for one in args["records"]:
                    self._add_inputs(one, variables)
        result.update(run_journal(self, args, variables))
        if result.get("lock_holders"):
            dead = controller.dead_runs(result["lock_holders"])
            if dead:
                return run_journal(self, dict(args, dead_runs=dead), variables)
        if command == "status" and "lock" in result:
            lock = dict(result["lock"])
            lock["alive"] = controller.alive(lock) if lock["held"] else None
            result.update(lock=lock, lines=status_lines(str(args.get("migration_id")), result["status"], lock, result["chain"]))
        return result

    def _add_controller(self, args: dict[str, Any], variables: dict[str, Any]) -> None:
        """Set ``holder``, and what the begin event says about the controller."""
        run = dict(args.get("run") or {})
        holder = controller.holder(variables)
        if run.get("operator"):
            holder["operator"] = str(run["operator"])
        args["holder"] = holder
        args["run"] = {**run, "operator": holder["operator"], "controller": holder["host"], "ansible_version": str(__version__)}

    def _lost_state(self, variables: dict[str, Any]) -> str:
        """AWX and Semaphore throw the job's machine or directory away: a journal there would be lost."""
        job = controller.awx_job(variables) or controller.semaphore_job(variables)
        if job and self._connection.transport == "local":
            return (
                "the state host is the controller itself, whose files this job scheduler throws away at the end of the job; "
                "name a lasting host in group `state` (or `mover`)"
            )
        return ""

    def _add_inputs(self, record: dict[str, Any], variables: dict[str, Any]) -> None:
        """What a verb starts with decides whether a later run has to repeat it."""
        if record.get("status") == "started" and record.get("stack") != "migration":
            unit = str(record.get("stack")), str(record.get("verb"))
            record["events"] = [self._with_inputs(event, *unit, variables) for event in record.get("events") or []]

    @staticmethod
    def _with_inputs(event: dict[str, Any], stack: str, verb: str, variables: dict[str, Any]) -> dict[str, Any]:
        if event.get("inputs_sha256") or not event.get("host"):
            return dict(event)
        return dict(event, inputs_sha256=controller.inputs_sha256(variables, str(event["host"]), stack, verb))


def _as_list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else str(value or "").split(",")
