#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch the traffic of a reverse proxy between two sides."""

from __future__ import annotations

DOCUMENTATION = r"""
module: proxy_switch
short_description: Switch the traffic of nginx, HAProxy or Caddy between two sides
description:
  - The proxy's configuration knows two sides, each by a word. One small file, written by nobody else, says which of them is public.
    This module replaces it in one step, has the configuration tested, lets the proxy read it, and asks through the proxy. Then it
    waits for the requests that the other side still answers.
  - A configuration that the proxy refuses moves no traffic. When an answer is not as expected, what was public before is public
    again at once.
  - For nginx the file is included in C(http) and defines the variable C($NAME), used as C(proxy_pass http://$NAME;) with one
    C(upstream) for each side. For HAProxy it is a map file, C(use_backend %[str(NAME),map(FILE)]), with one C(backend) for each side.
    For Caddy it is looked at for every request, C(@SIDE vars {file.FILE} SIDE), with one C(reverse_proxy) for each side.
  - HAProxy must run with a master process (C(-W), as Debian's unit does). With C(option idle-close-on-response) in the frontend it
    ends no connection between two requests. nginx ends those that are idle when it is reloaded, and a client whose request meets the
    end of its connection sends it again; since 1.27.4 C(keepalive_min_timeout 5s;) in C(http) keeps them. Caddy is not reloaded.
extends_documentation_fragment: [dihya.migration.app]
options:
  state:
    description: V(observed) changes nothing, and finds everything that would keep a switch from working.
    type: str
    choices: [switched, observed]
    default: switched
  proxy:
    description: Which proxy it is.
    type: str
    choices: [nginx, haproxy, caddy]
    required: true
  file:
    description: Path of the file that says which side is public.
    type: path
    required: true
  name:
    description: Name of the switch, the variable of nginx and the key of HAProxy's map. Letters a-z, digits and C(_).
    type: str
    default: public_side
  sides:
    description: The words of the two sides, of letters a-z, digits and C(_).
    type: list
    elements: str
    required: true
  side:
    description: The side that is to be public. Required for O(state=switched).
    type: str
  addresses:
    description: By side, the upstreams that Caddy dials, as its configuration writes them. Required for O(proxy=caddy).
    type: dict
    default: {}
  config:
    description: Path of the proxy's configuration, the usual one of Debian by default. HAProxy may have a directory.
    type: path
  pid_file:
    description: Path of the file with the pid of the master process of nginx or HAProxy, the usual one of Debian by default.
    type: path
  admin:
    description: Caddy's admin address, C(host:port), or C(unix//path) of a socket.
    type: str
    default: localhost:2019
  test_command:
    description: Command that tests the configuration, C(nginx -T) or C(haproxy -c) by default.
    type: list
    elements: str
  reload_command:
    description: Command that lets the proxy read its configuration. By default its master process gets the signal for that.
    type: list
    elements: str
  probes:
    description: What must be answered through the proxy afterwards. Without any, nothing is asked.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: The address.
        type: str
        required: true
      status:
        description: Expected status codes, 200 by default.
        type: list
        elements: int
      contains:
        description: Text that the body must contain.
        type: str
      header:
        description: Header that must be there, as C(Name) or C(Name:\ value).
        type: str
  ca:
    description: PEM file of the authority of the O(probes); the system's authorities count too.
    type: path
  min_tls:
    description: Oldest version of TLS that is accepted.
    type: str
    choices: ['1.2', '1.3']
    default: '1.3'
  timeout:
    description: Seconds in which the answers must become as expected.
    type: float
    default: 10
  switch_back:
    description: Whether what was public before becomes public again when they do not.
    type: bool
    default: true
  drain_timeout:
    description: Seconds to wait for the requests that are under way on the other side. They are never cut off.
    type: float
    default: 60
  subjects:
    description: Names of variables that findings are to name instead of options of this module.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Make the green release public
  dihya.migration.proxy_switch:
    proxy: nginx
    file: /etc/nginx/public_side.map
    sides: [blue, green]
    side: green
    probes:
      - {url: "https://crm.example/api/health", contains: '"version":"2.0"'}
"""

RETURN = r"""
msg:
  description: What was done or not, and why.
  returned: always
  type: str
side:
  description: The side that is public, empty when none is.
  returned: when it is known
  type: str
before:
  description: The side that was public before.
  returned: success, with O(state=switched)
  type: str
switched_back:
  description: True when a failure was undone.
  returned: failure, when traffic had moved and came back
  type: bool
drained:
  description: Whether no request is left on the other side.
  returned: success, with O(state=switched)
  type: bool
left:
  description: Requests left there with Caddy, worker processes that still answer such requests with nginx and HAProxy.
  returned: success, with O(state=switched)
  type: int
switch_duration:
  description: Seconds from the first byte written until the proxy has read it, the test of its configuration included.
  returned: success, with O(state=switched)
  type: float
findings:
  description: What must be corrected (C(subject), C(finding), C(remedy), C(blocking)).
  returned: success
  type: list
  elements: dict
journal:
  description: Facts for the journal.
  returned: success, and when the answers were not as expected
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._proxy.switch import switch

PROBE = {
    "url": {"type": "str", "required": True},
    "status": {"type": "list", "elements": "int"},
    "contains": {"type": "str"},
    "header": {"type": "str"},
}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["switched", "observed"], "default": "switched"},
    "proxy": {"type": "str", "choices": ["nginx", "haproxy", "caddy"], "required": True},
    "file": {"type": "path", "required": True},
    "name": {"type": "str", "default": "public_side"},
    "sides": {"type": "list", "elements": "str", "required": True},
    "side": {"type": "str"},
    "addresses": {"type": "dict", "default": {}},
    "config": {"type": "path"},
    "pid_file": {"type": "path", "no_log": False},
    "admin": {"type": "str", "default": "localhost:2019"},
    "test_command": {"type": "list", "elements": "str"},
    "reload_command": {"type": "list", "elements": "str"},
    "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE},
    "ca": {"type": "path"},
    "min_tls": {"type": "str", "choices": ["1.2", "1.3"], "default": "1.3"},
    "timeout": {"type": "float", "default": 10},
    "switch_back": {"type": "bool", "default": True},
    "drain_timeout": {"type": "float", "default": 60},
    "subjects": {"type": "dict", "default": {}},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, required_if=[("state", "switched", ["side"])])
    try:
        result = switch(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
