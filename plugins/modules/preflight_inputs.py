#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_inputs
short_description: Validate the variables of every stack and host at once
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - Checks every variable of the roles in O(stacks) on every host against their argument specs, and the inventory's groups.
  - Shows all findings together, each with variable, host and remedy; never a value, since it could be a secret.
  - Unknown names that begin with C(migration_) and near misses of any other option are findings.
  - So are variables that have no effect beside the others (a colour without the strategy that knows colours), and a strategy of which the
    mover was told another value than the target hosts.
  - Runs on the controller before anything is reached or written.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  stacks:
    description: The stacks of the migration.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Check every input
  dihya.migration.preflight_inputs:
    stacks: [postgresql, backend]
  run_once: true
"""

RETURN = r"""
findings:
  description: What must be corrected.
  returned: always
  type: list
  elements: dict
  contains:
    subject:
      description: The variable and the hosts, or the host.
      type: str
      returned: always
    finding:
      description: What is wrong.
      type: str
      returned: always
    remedy:
      description: How to put it right.
      type: str
      returned: always
    blocking:
      description: Always true.
      type: bool
      returned: always
"""
