#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run an application's own tests and tools, with a verdict for each."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_checks
short_description: Run the tests and tools of an application and judge them
description:
  - Runs commands one after the other, or some at once, keeps their whole output in 0600 files and gives each a verdict.
  - A test run passes when its exit status is 0 and at least one test was executed and counted. Counts are read from the summary of
    pytest, vitest, jest, node:test or unittest, or from a JUnit file.
  - At the timeout the whole process group is killed; no child of a command outlives it.
  - In a migration it holds a lease, so that a run after one whose controller died waits for the commands that still run, and never starts
    them a second time beside the first.
  - Log files in O(logs) are searched for lines that speak of errors.
extends_documentation_fragment: [dihya.migration.app]
options:
  commands:
    description: What to run, in this order.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name in reports and of the log file.
        type: str
        required: true
      argv:
        description: Program and arguments. Never put a secret here, other users see it.
        type: list
        elements: str
        required: true
      chdir:
        description: Directory to run in.
        type: path
      env_file:
        description: Path of a file of C(KEY=VALUE) lines, mode 0600; its values are secrets and appear nowhere.
        type: path
      environment:
        description: Additional variables that are no secrets.
        type: dict
        default: {}
      timeout:
        description: Seconds after which the command is killed and has failed.
        type: float
        default: 600
      expect:
        description:
          - V(tests) demands executed and counted tests.
          - V(exit_status) is for tools that are no tests, an exit status of 0 is enough.
            The journal lists them as tests only when they fail.
        type: str
        choices: [tests, exit_status]
        default: tests
      statuses:
        description: Exit statuses that are a success with O(commands[].expect=exit_status); some tools tell a finding by theirs.
        type: list
        elements: int
        default: [0]
      junit:
        description: JUnit XML file that the command writes, relative to O(commands[].chdir); one of an earlier run is removed first.
        type: path
      tells:
        description: >-
          What the output tells, by name: a regular expression each, whose first group finds it. Several matches are joined by commas;
          more than 64 characters become a count and a digest.
        type: dict
        default: {}
      together:
        description: Whether it may run at the same time as the command before it, because it only looks.
        type: bool
        default: false
      done_file:
        description: >-
          An empty file written after success, its directory made with mode 0700 when it is missing; while it exists the command is not
          run again.
        type: path
      unless_same:
        description: >-
          Names of O(commands[].tells) of commands before it. Where all of them told the same, and something, it is not run: it has nothing
          to do, and what it would tell is just that.
        type: list
        elements: str
        default: []
      stale:
        description: Where it is given, the command is run only when there is a source and what is made of it is absent or older.
        type: dict
        suboptions:
          made:
            description: The file or directory that the command makes, relative to O(commands[].chdir).
            type: path
            required: true
          source:
            description: The file from which it makes it, relative to O(commands[].chdir).
            type: path
            required: true
      output:
        description: >-
          The file or directory that the command makes, relative to O(commands[].chdir). What lies there is moved away before, so that
          nothing of an earlier run is taken for this one's, and comes back when the command fails. One that leaves nothing there has
          failed.
        type: path
  keep_going:
    description: Whether the commands after a failed one are run.
    type: bool
    default: true
  long:
    description:
      - Whether the commands may take long. Their progress is shown then, one line each 10 seconds with the command's name and time. They
        need a moment more to begin.
    type: bool
    default: false
  progress_file:
    description: File in which the module says which commands run and how long, replaced every second.
    type: path
  lease_file:
    description: File on which the module holds a lock while commands run, so that there is never a second one. Its directory is made.
    type: path
  run_id:
    description: Who holds the lease, for whoever finds it taken.
    type: str
  log_dir:
    description: Directory for the output of the commands, made with mode 0700 when it is missing.
    type: path
    required: true
  logs:
    description: Log files of the application to be searched for errors.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file; one that does not exist holds no error and is reported as not proved.
        type: path
        required: true
      since:
        description: Bytes at its beginning that are older than this migration.
        type: int
        default: 0
      record:
        description:
          - Record of M(dihya.migration.app_process), M(dihya.migration.app_unit) or M(dihya.migration.app_container), which tells how long
            the file was when the application was started. Where there is one, it counts instead of O(logs[].since).
        type: path
      pattern:
        description: Regular expression of a line that speaks of an error.
        type: str
        default: '\b(ERROR|CRITICAL|FATAL)\b|^Traceback '
      container:
        description: Whether it is the log of a container, where each line of the application stands after C(TIME STREAM F).
        type: bool
        default: false
      allowed:
        description: Number of such lines that is no failure.
        type: int
        default: 0
"""

EXAMPLES = r"""
- name: Test the release
  dihya.migration.run_checks:
    log_dir: /var/lib/dihya-migration/crm-2026/log
    commands:
      - name: pytest
        argv: [venv/bin/python, -m, pytest, tests/readonly]
        chdir: /srv/api/current
        env_file: /srv/api/shared/.env
        timeout: 300
"""

RETURN = r"""
msg:
  description: How many commands and logs passed; which failed, why, and where their output is.
  returned: always
  type: str
tests:
  description: One verdict for each command and log.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the command, or path of the log file.
      type: str
      returned: always
    verdict:
      description: One of V(passed), V(failed), V(skipped).
      type: str
      returned: always
    passed:
      description: Tests passed.
      type: int
      returned: always
    failed:
      description: Tests failed.
      type: int
      returned: always
    skipped:
      description: Tests skipped.
      type: int
      returned: always
    log:
      description: File with the whole output.
      type: str
      returned: always
told:
  description: What each O(commands[].tells) found, by name; V(none) when nothing.
  returned: always
  type: dict
executed:
  description: Names of the commands that were run now, not done before.
  returned: always
  type: list
  elements: str
journal:
  description: Facts for the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app.verdicts import check
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

COMMAND = {
    "name": {"type": "str", "required": True},
    "argv": {"type": "list", "elements": "str", "required": True},
    "chdir": {"type": "path"},
    "env_file": {"type": "path"},
    "environment": {"type": "dict", "default": {}},
    "timeout": {"type": "float", "default": 600},
    "expect": {"type": "str", "choices": ["tests", "exit_status"], "default": "tests"},
    "statuses": {"type": "list", "elements": "int", "default": [0]},
    "junit": {"type": "path"},
    "tells": {"type": "dict", "default": {}},
    "together": {"type": "bool", "default": False},
    "done_file": {"type": "path"},
    "unless_same": {"type": "list", "elements": "str", "default": []},
    "stale": {"type": "dict", "options": {"made": {"type": "path", "required": True}, "source": {"type": "path", "required": True}}},
    "output": {"type": "path"},
}
LOG = {
    "path": {"type": "path", "required": True},
    "since": {"type": "int", "default": 0},
    "record": {"type": "path"},
    "pattern": {"type": "str", "default": r"\b(ERROR|CRITICAL|FATAL)\b|^Traceback "},
    "container": {"type": "bool", "default": False},
    "allowed": {"type": "int", "default": 0},
}
ARGUMENTS = {
    "commands": {"type": "list", "elements": "dict", "default": [], "options": COMMAND},
    "keep_going": {"type": "bool", "default": True},
    "long": {"type": "bool", "default": False},
    "log_dir": {"type": "path", "required": True},
    "logs": {"type": "list", "elements": "dict", "default": [], "options": LOG},
    "progress_file": {"type": "path"},
    "lease_file": {"type": "path"},
    "run_id": {"type": "str"},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = check(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
