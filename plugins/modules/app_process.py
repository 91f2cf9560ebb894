#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Supervise an application's process without root."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_process
short_description: Start, supervise, stop and bring back the process of an application without root
description:
  - Starts a command detached from the session, waits until it answers well several times in a row, and knows it again by pid,
    start time and boot. A process that it did not start is never signalled, even when it carries the recorded pid.
  - The pid file also records what ran before, so that O(state=reverted) brings that back.
  - A small process of Python watches it. Once it was healthy, it is started again whenever it ends by itself, after one second, then
    two, at most sixty; each time a line with C(ERROR) says so in its log. HUP, USR1 and USR2 are passed on to it. Nothing starts it with
    the machine.
  - Where systemd may be used, prefer a unit (M(dihya.migration.app_unit)). A host with C(KillUserProcesses=yes) ends such processes at
    logout.
extends_documentation_fragment: [dihya.migration.app, dihya.migration.app.serving]
options:
  state:
    description:
      - V(started) runs the command; a process with another command, directory, environment or content of O(env_file) is replaced.
      - V(stopped) ends it and all its children.
      - V(reverted) ends it and starts again what it replaced, with what was recorded then.
      - V(resumed) starts again what is recorded when it does not run, with what was recorded then; it must have been stopped with
        O(keep_record=true).
      - V(observed) changes nothing and says whether it runs.
    type: str
    choices: [started, stopped, reverted, resumed, observed]
    default: observed
  name:
    description:
      - Name of this process, best with the release in it. Required for O(state=started).
      - With O(state=stopped) and O(state=reverted), a recorded process of another name is left alone.
    type: str
  command:
    description: Program and arguments. Never put a secret here, other users see it.
    type: list
    elements: str
  chdir:
    description: Directory to run in; links are followed once, at the start.
    type: path
  pid_file:
    description: Path of the 0600 record of the process.
    type: path
    required: true
  log_file:
    description: Path of the 0600 file to which the process's output is appended.
    type: path
  env_file:
    description: Path of a file of C(KEY=VALUE) lines, mode 0600; its values are secrets and appear nowhere.
    type: path
  environment:
    description: Additional variables that are no secrets.
    type: dict
    default: {}
  keep_record:
    description: Whether the record stays when the process is stopped, so that O(state=resumed) can start it again.
    type: bool
    default: false
  health_successes:
    description: Good answers in a row that make it healthy.
    type: int
    default: 3
  stop_timeout:
    description: Seconds between TERM and KILL.
    type: float
    default: 15
"""

EXAMPLES = r"""
- name: Start the API
  dihya.migration.app_process:
    state: started
    name: api 2026-11-28
    command: [venv/bin/gunicorn, --bind, 127.0.0.1:8000, "app:create_app()"]
    chdir: /srv/api/current
    env_file: /srv/api/shared/.env
    pid_file: /srv/api/shared/run/api.json
    log_file: /srv/api/shared/log/api.log
    health_url: http://127.0.0.1:8000/health

- name: Bring back what ran before
  dihya.migration.app_process:
    state: reverted
    name: api 2026-11-28
    pid_file: /srv/api/shared/run/api.json
"""

RETURN = r"""
msg:
  description: Why something was done or not.
  returned: always
  type: str
running:
  description: Whether the recorded process runs; it does not while it waits to be started again.
  returned: always
  type: bool
name:
  description: Name of the recorded process, empty when there is none.
  returned: success
  type: str
pid:
  description: Process id of what watches it, 0 when it does not run.
  returned: success
  type: int
port:
  description: Who listens on O(port), one of V(free), V(own), V(foreign).
  returned: when O(port) is given
  type: str
log_file:
  description: Where its output is.
  returned: success
  type: str
log_offset:
  description: Size of that file in bytes when the process was started.
  returned: success
  type: int
health:
  description: The last answer of O(health_url), without its body.
  returned: when a process was made or found healthy
  type: dict
journal:
  description: Facts for the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app.process import SERVING_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._app.supervise import supervise
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

ARGUMENTS = {
    **SERVING_SPEC,
    "state": {"type": "str", "choices": ["started", "stopped", "reverted", "resumed", "observed"], "default": "observed"},
    "name": {"type": "str"},
    "command": {"type": "list", "elements": "str"},
    "chdir": {"type": "path"},
    "pid_file": {"type": "path", "required": True, "no_log": False},
    "log_file": {"type": "path"},
    "env_file": {"type": "path"},
    "environment": {"type": "dict", "default": {}},
    "keep_record": {"type": "bool", "default": False},
    "health_successes": {"type": "int", "default": 3},
    "stop_timeout": {"type": "float", "default": 15},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_if=[("state", "started", ("name", "command", "chdir", "log_file"))],
    )
    try:
        result = supervise(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
