#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stop, start and bring back the jobs of an application."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_jobs
short_description: Stop, start and bring back the jobs of an application
description:
  - Jobs are what an application does by itself, its queue workers and timers, its crontabs, whatever else two commands start and stop.
  - Before the first change, how each job was found is written to a record, from which it is brought back exactly.
  - Every job is tried, then everything that stands against the wanted state is named at once.
extends_documentation_fragment: [dihya.migration.app]
options:
  state:
    description:
      - V(stopped) stops the jobs and keeps them from starting by themselves. What a timer began is waited for, not killed.
      - V(started) starts them, and lets them start with the machine where they can.
      - V(restored) brings back each job as the record says it was, and removes the record; what is not in the record is left alone.
      - V(quiet) changes nothing, and fails while a job runs or would run by itself.
      - V(observed) changes nothing, and finds everything that would keep the jobs from moving.
    type: str
    choices: [stopped, started, restored, quiet, observed]
    default: observed
  site:
    description: The side of the migration on which this host stands; jobs of the target must be off until its commit.
    type: str
    choices: [source, target]
    required: true
  units:
    description: Units of systemd with their endings. Name a timer, not the service that it begins.
    type: list
    elements: str
    default: []
  scope:
    description: Whose units these are, those of the system or of the connecting user.
    type: str
    choices: [system, user]
    default: system
  crontabs:
    description: Crontab files, as those in C(/etc/cron.d). The file is removed to stop its jobs, and written to start them.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the file.
        type: path
        required: true
      content:
        description: What O(state=started) writes.
        type: str
  commands:
    description: Jobs of any other kind. The commands must be idempotent and hold no secrets.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What findings call it.
        type: str
        required: true
      status:
        description:
          - Command that changes nothing and prints, as its last word, C(on) while the job runs or would run by itself, else C(off).
        type: list
        elements: str
        required: true
      start:
        description: Command that starts it.
        type: list
        elements: str
        required: true
      stop:
        description: Command that stops it and ends when it has stopped.
        type: list
        elements: str
        required: true
  record_file:
    description: Path of the 0600 record, in a private directory. Beside it lies a script that starts again by hand what was stopped.
    type: path
    required: true
  timeout:
    description: Seconds for a command, and for what a timer began to come to its end.
    type: float
    default: 300
"""

EXAMPLES = r"""
- name: Stop the jobs of the old site
  dihya.migration.app_jobs:
    state: stopped
    site: source
    units: [shop-worker.service, shop-report.timer]
    crontabs: [{path: /etc/cron.d/shop}]
    record_file: /var/lib/dihya-migration/shop/jobs/record.json

- name: Start them again
  dihya.migration.app_jobs:
    state: restored
    site: source
    record_file: /var/lib/dihya-migration/shop/jobs/record.json
"""

RETURN = r"""
msg:
  description: What was done.
  returned: always
  type: str
jobs:
  description: Whether each job runs, or would run by itself, by name.
  returned: success
  type: dict
changes:
  description: Names of the jobs that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
findings:
  description: What stands against moving the jobs (C(subject), C(finding), C(remedy), C(blocking)).
  returned: success
  type: list
  elements: dict
journal:
  description: Facts for the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app.jobs import work
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

COMMAND = {"type": "list", "elements": "str", "required": True}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["stopped", "started", "restored", "quiet", "observed"], "default": "observed"},
    "site": {"type": "str", "choices": ["source", "target"], "required": True},
    "units": {"type": "list", "elements": "str", "default": []},
    "scope": {"type": "str", "choices": ["system", "user"], "default": "system"},
    "crontabs": {"type": "list", "elements": "dict", "default": [], "options": {
        "path": {"type": "path", "required": True}, "content": {"type": "str", "no_log": True}}},
    "commands": {"type": "list", "elements": "dict", "default": [], "options": {
        "name": {"type": "str", "required": True}, "status": COMMAND, "start": COMMAND, "stop": COMMAND}},
    "record_file": {"type": "path", "required": True, "no_log": False},
    "timeout": {"type": "float", "default": 300},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = work(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
