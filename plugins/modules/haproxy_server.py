#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a server out of HAProxy's rotation, and put it back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_server
short_description: Take a server out of HAProxy's rotation once its sessions have ended, and put it back
description:
  - Speaks to HAProxy over its unix socket (C(stats socket PATH level admin)). Nothing of its configuration is changed.
  - A server is drained only while another one takes sessions. When its sessions do not end in time, it takes sessions again and
    the module fails.
extends_documentation_fragment: [dihya.migration.app]
options:
  state:
    description:
      - V(drained) takes no new sessions, waits until those under way have ended, then takes the server out whole.
      - V(ready) puts it back and waits until HAProxy finds it up.
      - V(observed) changes nothing, and finds everything that would keep the servers O(expected) from being replaced one by one.
    type: str
    choices: [drained, ready, observed]
    default: observed
  socket:
    description: Path of HAProxy's socket.
    type: path
    default: /run/haproxy/admin.sock
  backend:
    description: Name of the backend in HAProxy's configuration.
    type: str
    required: true
  server:
    description: Name of the server in it. Required for O(state=drained) and O(state=ready).
    type: str
  expected:
    description: With O(state=observed), servers that must be there and take sessions.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds in which sessions must end, or the server must come up.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Take a server out
  dihya.migration.haproxy_server: {state: drained, backend: api, server: app1}

- name: Put it back
  dihya.migration.haproxy_server: {state: ready, backend: api, server: app1}
"""

RETURN = r"""
msg:
  description: What was done or not, and why.
  returned: always
  type: str
servers:
  description: The servers of the backend, by name, each with C(status) as HAProxy shows it and its number of C(sessions).
  returned: success
  type: dict
findings:
  description: What must be corrected (C(subject), C(finding), C(remedy), C(blocking)).
  returned: success
  type: list
  elements: dict
journal:
  description: Facts for the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._proxy.runtime import set_server

ARGUMENTS = {
    "state": {"type": "str", "choices": ["drained", "ready", "observed"], "default": "observed"},
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    "backend": {"type": "str", "required": True},
    "server": {"type": "str"},
    "expected": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 60},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_if=[("state", "drained", ["server"]), ("state", "ready", ["server"])]
    )
    try:
        result = set_server(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
