#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove that addresses answer as expected, over verified TLS."""

from __future__ import annotations

DOCUMENTATION = r"""
module: http_probe
short_description: Prove that addresses answer as expected, over verified TLS
description:
  - Sends one request to each address and judges status, body and header. Redirects are not followed and no proxy is used.
  - TLS is always verified and never older than O(min_tls); its version, cipher and the certificate's expiry are returned.
  - A body is never returned. User information and queries of addresses are not shown.
extends_documentation_fragment: [dihya.migration.app]
options:
  url:
    description: One address; O(probes) takes several.
    type: str
  probes:
    description:
      - Addresses that are all probed, even when one of them fails.
      - What an entry does not say is taken from the options of the module.
    type: list
    elements: dict
    suboptions:
      url:
        description: The address.
        type: str
        required: true
      method:
        description: See O(method).
        type: str
        choices: [GET, HEAD, OPTIONS]
      status:
        description: See O(status).
        type: list
        elements: int
      contains:
        description: See O(contains).
        type: str
      header:
        description: See O(header).
        type: str
  method:
    description: A method that changes nothing on the server.
    type: str
    choices: [GET, HEAD, OPTIONS]
    default: GET
  status:
    description: Status codes that are expected.
    type: list
    elements: int
    default: [200]
  contains:
    description: Text that the body must contain, in its first 4 MiB.
    type: str
  header:
    description: A header that must be there, as C(Name) or C(Name:\ value).
    type: str
  ca:
    description: PEM file of the authority; the system's authorities count too.
    type: path
  timeout:
    description: Seconds for each step of the connection.
    type: float
    default: 10
  retries:
    description: How often to ask again while the answer is not as expected.
    type: int
    default: 0
  successes:
    description: Good answers in a row that it takes, 0.3 seconds apart. A wrong one counts as one of O(retries), and they begin anew.
    type: int
    default: 1
  interval:
    description: Seconds from a wrong answer to the next attempt.
    type: float
    default: 1
  min_tls:
    description: Oldest version of TLS that is accepted.
    type: str
    choices: ['1.2', '1.3']
    default: '1.3'
"""

EXAMPLES = r"""
- name: Prove that the new site answers
  dihya.migration.http_probe:
    probes:
      - {url: "https://crm.example/", contains: "<title>CRM"}
      - {url: "https://crm.example/api/health", header: "X-Site: new"}
    retries: 5
"""

RETURN = r"""
msg:
  description: How many addresses answered as expected; which did not, why, and what to do.
  returned: always
  type: str
probes:
  description: What each address answered.
  returned: when the requests were sent
  type: list
  elements: dict
  contains:
    url:
      description: The address without user information and query.
      type: str
      returned: always
    ok:
      description: Whether the answer was as expected.
      type: bool
      returned: always
    status:
      description: Status code, 0 without an answer.
      type: int
      returned: always
    tls:
      description: Version of TLS, empty for http.
      type: str
      returned: always
    cipher:
      description: Cipher suite, empty for http.
      type: str
      returned: always
    expires:
      description: End of the certificate's validity, RFC 3339 in UTC.
      type: str
      returned: always
    seconds:
      description: How long the last attempt took.
      type: float
      returned: always
    why:
      description: What was not as expected.
      type: str
      returned: always
    remedy:
      description: What to do about it.
      type: str
      returned: always
journal:
  description: Facts for the journal.
  returned: when the requests were sent
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app.verdicts import probe_all
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

METHODS = ["GET", "HEAD", "OPTIONS"]
PROBE = {
    "url": {"type": "str", "required": True},
    "method": {"type": "str", "choices": METHODS},
    "status": {"type": "list", "elements": "int"},
    "contains": {"type": "str"},
    "header": {"type": "str"},
}
ARGUMENTS = {
    "url": {"type": "str"},
    "probes": {"type": "list", "elements": "dict", "options": PROBE},
    "method": {"type": "str", "choices": METHODS, "default": "GET"},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "contains": {"type": "str"},
    "header": {"type": "str"},
    "ca": {"type": "path"},
    "timeout": {"type": "float", "default": 10},
    "retries": {"type": "int", "default": 0},
    "successes": {"type": "int", "default": 1},
    "interval": {"type": "float", "default": 1},
    "min_tls": {"type": "str", "choices": ["1.2", "1.3"], "default": "1.3"},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, mutually_exclusive=[("url", "probes")], required_one_of=[("url", "probes")]
    )
    given = module.params
    asked = given["probes"] if given["probes"] is not None else [{"url": given["url"]}]
    probes = [{**given, **{name: value for name, value in item.items() if value is not None}} for item in asked]
    try:
        result = probe_all(probes, given["retries"], given["interval"], given["successes"])
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
