#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module end_workers: nothing of an earlier run works on while its work is undone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: end_workers
short_description: End the workers that outlived their controller
version_added: 0.1.0
description:
  - Long modules of this collection go on when their controller is killed. This module ends them, with all programs that they started, and
    proves that they are gone, so that what they did can be undone.
  - It ends who holds a lease in O(work_dir), known by process number, start time and boot. A stranger that got the number of a dead worker
    is never touched.
  - They are told to end first. So the client tools of a database cancel what they do in the server. What still lives after 10 seconds is
    killed.
options:
  work_dir:
    description: The C(migration_work_dir) of the host.
    type: path
    required: true
  operations:
    description: Names of the modules whose workers are ended; all without it.
    type: list
    elements: str
    default: []
author:
  - Dihya Migration contributors (@dihya)
attributes:
  check_mode:
    support: full
    description: The workers are named, and live on.
  diff_mode: {support: none, description: The workers are named in RV(ended).}
"""

EXAMPLES = r"""
- name: End what still works
  dihya.migration.end_workers:
    work_dir: /var/lib/dihya-migration/crm-2026
"""

RETURN = r"""
msg:
  description: Which workers were ended.
  returned: always
  type: str
ended:
  description: The workers that were ended, as their leases describe them.
  returned: always
  type: list
  elements: dict
  contains:
    operation: {description: Name of the module., type: str, returned: always}
    run_id: {description: The run that started it., type: str, returned: always}
    pid: {description: Its process number., type: int, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._worker import end_workers

SPEC = {
    "work_dir": {"type": "path", "required": True},
    "operations": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        ended = end_workers(module.params["work_dir"], module.params["operations"], module.check_mode)
    except MigrationError as error:
        module.fail_json(**{"msg": error.message, "ended": [], **error.facts})
    names = ", ".join(f"{one.get('operation')} of run {one.get('run_id')}" for one in ended)
    module.exit_json(changed=bool(ended), ended=ended, msg=f"ended: {names}" if ended else "no worker lived")


if __name__ == "__main__":
    main()
