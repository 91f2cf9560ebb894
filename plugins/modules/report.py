#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module report: keeps a rendered report on the state host. The action plugin of the same name renders it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Make the report of a migration from its journal
version_added: 0.1.0
description:
  - Reads the journal on the state host, and writes C(report.md) in the guide's template, C(report.html) and C(report.json),
    on the controller below O(report_dir) and on the state host below the journal, one per run, with a link C(latest).
  - Belongs after the end of the run in the journal; a run without an end is reported as interrupted.
  - May be called again at any time. The same journal makes the same files, and then nothing changes.
options:
  state_dir:
    description: Directory of the journals on the state host.
    type: path
    required: true
  migration_id:
    description: Name of the migration.
    type: str
    required: true
  report_dir:
    description: Directory of the reports on the controller, relative to where C(ansible-playbook) was started.
    type: path
    default: reports
  language:
    description: Language of the report, V(fr) or V(en), or any other that has a catalog.
    type: str
    default: fr
  attempt:
    description: The attempt to report; V(0) is the last one.
    type: int
    default: 0
  stop_block:
    description: Whether to return the lines that tell an operator what stopped, where users are and what to type.
    type: bool
    default: true
  refused:
    description:
      - Why a run was refused before it began, or how a complete migration no longer holds. The stop block then says this, and
        how the migration stands besides.
      - In check mode, which is how a run asks that is on no record, it is no failure that the journal cannot be read. The block then
        says what this controller saw of the migration, if it saw any.
    type: str
    default: ''
  reopen:
    description: The command that undoes the freeze without Ansible, for the stop block.
    type: str
    default: ''
  run_id:
    description: The run whose report this is. Set by the action plugin.
    type: str
  files:
    description: The files of the report by name. Set by the action plugin.
    type: dict
    default: {}
author:
  - Dihya Migration contributors (@dihya)
attributes:
  check_mode:
    support: full
    description: Nothing is written; the result says what would change.
  diff_mode:
    support: none
    description: A report is new text.
requirements:
  - Babel and Jinja2 on the controller
"""

EXAMPLES = r"""
- name: Make the report
  dihya.migration.report:
    state_dir: /var/lib/dihya-migration/state
    migration_id: crm-2026-11-28
    report_dir: reports
    language: fr
    reopen: ssh mover sh /var/lib/dihya-migration/crm-2026-11-28/reopen
  register: made
"""

RETURN = r"""
paths:
  description: Paths of the report on the controller, by C(md), C(html) and C(json); empty while the journal is empty.
  returned: success
  type: dict
directory:
  description: Directory of the report on the state host.
  returned: success
  type: str
outcome:
  description: How the attempt ended; empty while the journal is empty.
  returned: success
  type: str
verdict:
  description: V(OK) or V(KO).
  returned: success
  type: str
stop_block:
  description: At most twelve plain lines.
  returned: success
  type: list
  elements: str
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import differs, link, private_directory, publish

NAMES = ("report.md", "report.html", "report.json")


def keep(state_dir: str, migration_id: str, run_id: str, files: dict, check_mode: bool) -> dict:
    """Publish ``files`` below the journal and point ``latest`` at them; raises :class:`MigrationError`."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", migration_id) or not re.fullmatch(r"[\w-]{1,100}", run_id):
        raise MigrationError("migration_id and run_id must be names, not paths")
    base = os.path.join(state_dir, migration_id)
    directory = os.path.join(base, "runs", run_id)
    wanted = {os.path.join(directory, name): files[name].encode() for name in NAMES if name in files}
    latest, target = os.path.join(base, "latest"), os.path.join("runs", run_id)
    stale = [path for path, data in wanted.items() if differs(path, data)]
    moved = not os.path.islink(latest) or os.readlink(latest) != target
    if not check_mode:
        private_directory(directory)
        for path in stale:
            publish(path, wanted[path])
        if moved:
            link(latest, target)
    return {"changed": bool(stale or moved), "directory": directory}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True}, "migration_id": {"type": "str", "required": True},
            "report_dir": {"type": "path", "default": "reports"}, "language": {"type": "str", "default": "fr"},
            "attempt": {"type": "int", "default": 0}, "stop_block": {"type": "bool", "default": True},
            "reopen": {"type": "str", "default": ""}, "refused": {"type": "str", "default": ""}, "run_id": {"type": "str"},
            "files": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        module.exit_json(**keep(given["state_dir"], given["migration_id"], given["run_id"] or "", given["files"], module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    except OSError as error:
        module.fail_json(msg=f"the report could not be kept below {given['state_dir']}: {error.strerror}")


if __name__ == "__main__":
    main()
