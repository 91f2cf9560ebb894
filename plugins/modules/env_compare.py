#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare an application's environment with the one that it will get."""

from __future__ import annotations

DOCUMENTATION = r"""
module: env_compare
short_description: Compare an application's live environment file with the environment that it will get
description:
  - Reads the live file on its host and compares each variable by a salted digest with what is to come. Only names and verdicts are
    returned, never a value or a digest.
  - Never fails because of a difference or of the file; the caller decides from the findings.
extends_documentation_fragment: [dihya.migration.app]
options:
  path:
    description: Path of the live file of C(KEY=VALUE) lines, whoever may read it.
    type: path
    required: true
  digests:
    description: By name, the sha256 in hexadecimal digits of O(salt) followed by the value that is to come.
    type: dict
    required: true
  salt:
    description: A random text of this run, so that the digests tell nobody anything.
    type: str
    required: true
  may_differ:
    description: Names that are meant to differ, to come or to go (the address of the database, for instance).
    type: list
    elements: str
    default: []
  subjects:
    description: Names of variables that findings are to name instead of options of this module.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Is every secret in the vault that the application has today
  dihya.migration.env_compare:
    path: /srv/crm/.env
    salt: "{{ sealed.salt }}"
    digests: "{{ sealed.digests }}"
    may_differ: [DATABASE_URL]
  register: compared
"""

RETURN = r"""
msg:
  description: How many variables are the same.
  returned: always
  type: str
verdicts:
  description:
    - By name, V(same), V(differs), V(missing) in what is to come, V(new), or V(expected) when it is other and named in O(may_differ).
  returned: success
  type: dict
findings:
  description: What must be corrected (C(subject), C(finding), C(remedy), C(blocking)).
  returned: success
  type: list
  elements: dict
journal:
  description: Facts for the journal.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app.env_compare import compare

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "digests": {"type": "dict", "required": True, "no_log": True},
    "salt": {"type": "str", "required": True, "no_log": True},
    "may_differ": {"type": "list", "elements": "str", "default": []},
    "subjects": {"type": "dict", "default": {}},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(**compare(module.params))


if __name__ == "__main__":
    main()
