# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How action plugins run a command of the journal: by its module, or in this process where the state host is the controller.

A module costs half a second, most of it to load Ansible's own code, and a migration writes dozens of events while clients
wait. Both ways validate the same argument spec and run the same engine.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal.commands import execute
from ansible_collections.dihya.migration.plugins.modules.journal import REQUIRED_IF, SPEC

MODULE = "dihya.migration.journal"


def ask_journal(action: ActionBase, command: str, args: dict[str, Any], variables: dict[str, Any] | None) -> dict[str, Any]:
    """The result of a reading ``command`` (show, status); empty where the state host does not answer, or not as it should."""
    host = action._task.delegate_to or (variables or {}).get("inventory_hostname")
    if host not in (variables or {}).get("groups", {}).get("all", []):
        return {}  # no machine that the inventory does not name is asked
    asked = {"command": command, "state_dir": args["state_dir"], "migration_id": args["migration_id"]}
    try:
        answer = run_journal(action, asked, variables)
    except AnsibleConnectionFailure:
        return {}
    return {} if answer.get("failed") or answer.get("unreachable") else answer


def run_journal(action: ActionBase, args: dict[str, Any], variables: dict[str, Any] | None) -> dict[str, Any]:
    """The result of module ``journal`` with ``args``, on the host of the connection of ``action``."""
    connection = action._connection
    if connection.transport != "local" or connection.become is not None:
        return dict(action._execute_module(module_name=MODULE, module_args=args, task_vars=variables))
    validated = ArgumentSpecValidator(SPEC, required_if=REQUIRED_IF).validate(
        {name: value for name, value in args.items() if value is not None})
    if validated.error_messages:
        return {"failed": True, "msg": "; ".join(validated.error_messages)}
    try:
        return execute(validated.validated_parameters, bool(action._task.check_mode))
    except MigrationError as error:
        return {"failed": True, "msg": error.message, **error.facts}
    except OSError as error:
        return {"failed": True, "msg": f"{error.filename or 'the journal'} cannot be used: {error.strerror}"}
