#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run an application as a unit of systemd that can be brought back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_unit
short_description: Start, stop and bring back the unit of systemd that an application runs as
description:
  - Installs a unit, starts it, and waits until it answers well several times in a row from one and the same process. A unit that
    systemd starts again and again is not in service.
  - The record also keeps whether a unit of this name ran before, and whether it started with the machine, so that O(state=reverted)
    brings that back. Its file and secrets must be in their places again then, see M(dihya.migration.snapshot).
  - A unit that no record names is taken as it is found.
extends_documentation_fragment: [dihya.migration.app, dihya.migration.app.serving]
options:
  state:
    description:
      - V(started) installs the unit and starts it, also with the machine; one with another O(unit) or content of O(env_file) is replaced.
      - V(stopped) ends it, also for the next start of the machine.
      - V(reverted) ends it and starts again what it replaced.
      - V(resumed) starts again what is there when it does not run, and with the machine.
      - V(observed) changes nothing and says whether it runs.
    type: str
    choices: [started, stopped, reverted, resumed, observed]
    default: observed
  name:
    description:
      - Name of this release, also the C(Description) of O(unit). Required for O(state=started).
      - With O(state=stopped) and O(state=reverted), a recorded unit of another name is left alone.
    type: str
  service:
    description: Name of the unit without C(.service).
    type: str
    required: true
  unit:
    description: Text of the unit, with a section C([Service]), no secrets.
    type: str
  unit_file:
    description: Path of the file of the unit.
    type: path
  record_file:
    description: Path of the 0600 record of the unit.
    type: path
    required: true
  log_file:
    description: Path of the file to which O(unit) appends what the application prints.
    type: path
  user:
    description: User that is to own the directory of O(log_file), when it is missing.
    type: str
  env_file:
    description: Path of the file of C(KEY=VALUE) lines, mode 0600, that O(unit) names as C(EnvironmentFile); its values are secrets.
    type: path
  health_successes:
    description: Good answers in a row that make it healthy.
    type: int
    default: 3
  stop_timeout:
    description: Seconds in which systemd must have stopped it; the unit says when it is killed.
    type: float
    default: 300
"""

EXAMPLES = r"""
- name: Start the API
  dihya.migration.app_unit:
    state: started
    name: api 2026-11-28
    service: api
    unit: "{{ lookup('ansible.builtin.template', 'api.service.j2') }}"
    unit_file: /etc/systemd/system/api.service
    env_file: /srv/api/shared/.env
    record_file: /srv/api/shared/run/unit.json
    log_file: /srv/api/shared/log/api.log
    health_url: http://127.0.0.1:8000/health

- name: Bring back what ran before
  dihya.migration.app_unit:
    state: reverted
    name: api 2026-11-28
    service: api
    record_file: /srv/api/shared/run/unit.json
"""

RETURN = r"""
msg:
  description: Why something was done or not.
  returned: always
  type: str
running:
  description: Whether the unit runs.
  returned: success
  type: bool
name:
  description: Name of the recorded release, or the C(Description) of a unit without record; empty when there is none.
  returned: success
  type: str
pid:
  description: Its process id, 0 when it does not run.
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
  description: Size of that file in bytes when the unit was started.
  returned: success
  type: int
health:
  description: The last answer of O(health_url), without its body.
  returned: when a unit was made or found healthy
  type: dict
journal:
  description: Facts for the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app import unit
from ansible_collections.dihya.migration.plugins.module_utils._app.process import SERVING_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._app.supervise import supervise
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

ARGUMENTS = {
    **SERVING_SPEC,
    "state": {"type": "str", "choices": ["started", "stopped", "reverted", "resumed", "observed"], "default": "observed"},
    "name": {"type": "str"},
    "service": {"type": "str", "required": True},
    "unit": {"type": "str"},
    "unit_file": {"type": "path"},
    "record_file": {"type": "path", "required": True, "no_log": False},
    "log_file": {"type": "path"},
    "user": {"type": "str"},
    "env_file": {"type": "path"},
    "health_successes": {"type": "int", "default": 3},
    "stop_timeout": {"type": "float", "default": 300},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_if=[("state", "started", ("name", "unit", "unit_file", "log_file"))],
    )
    try:
        result = supervise(module.params, module.check_mode, unit)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
