#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Test only: a long module as the contract wants it, which does nothing but take time."""

from __future__ import annotations

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import Lease
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

SPEC = {
    "dest": {"type": "path", "required": True},
    "until": {"type": "path"},
    "fail": {"type": "bool", "default": False},
    "progress_file": {"type": "path"},
    "lease_file": {"type": "path"},
    "run_id": {"type": "str"},
}


def work(params: dict) -> bool:
    """Work, once, until file ``until`` is there; every start leaves a line in ``<dest>.starts``."""
    if os.path.exists(params["dest"]):
        return False
    with open(params["dest"] + ".starts", "a", encoding="utf-8") as stream:
        stream.write(f"{os.getpid()}\n")
    if params["fail"]:
        raise MigrationError("it was asked to fail", detail={"n": 1})
    progress = Progress(params["progress_file"], "working", 1000)
    while params["until"] and not os.path.exists(params["until"]):
        progress.advance(1)
        time.sleep(0.1)
    with open(params["dest"], "w", encoding="utf-8"):
        return True


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        if module.check_mode:
            changed = not os.path.exists(module.params["dest"])
        elif module.params["lease_file"]:
            with Lease(module.params["lease_file"], module.params["run_id"], "slow_work"):
                changed = work(module.params)
        else:
            changed = work(module.params)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    given = {key: module.params[key] for key in ("lease_file", "run_id")}
    module.exit_json(changed=changed, msg="done", journal={"counts": {"n": 3}}, given=given)


if __name__ == "__main__":
    main()
