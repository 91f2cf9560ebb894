# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter divide_work: who has to do what in one phase of a migration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: divide_work
short_description: Who has to do what in one phase of a migration
version_added: 0.1.0
description:
  - A verb of a stack runs on the mover and on the hosts of the group of that stack's name.
  - A stack role may say in its preflight that a verb has nothing to do on a host, by the fact C(migration_nothing_to_do), a
    dictionary of stack to verb to reason. Such a host is left out of the verb, and the reason goes to the journal.
positional: verb, movers, groups, hostvars
options:
  _input:
    description: The stacks, in the order in which they are migrated.
    type: list
    elements: str
    required: true
  verb:
    description: The verb.
    type: str
    required: true
  movers:
    description: Names of the movers.
    type: list
    elements: str
    required: true
  groups:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description: The variables of the hosts.
    type: dict
    required: true
author: Dihya Migration contributors
"""

EXAMPLES = r"""
- name: Divide the work
  ansible.builtin.set_fact:
    work: "{{ ['postgresql', 'frontend'] | dihya.migration.divide_work('freeze', ['mover'], groups, hostvars) }}"
"""

RETURN = r"""
_value:
  description:
    - C(busy), the hosts by stack, without stacks that have nothing to do on any host.
    - C(idle), events for M(dihya.migration.journal) of those that have nothing to do, with C(stack), C(host) and C(facts).
  type: dict
"""


def divide_work(stacks: Sequence[str], verb: str, movers: Sequence[str], groups: Mapping[str, Sequence[str]],
                hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """``{busy: {stack: [host]}, idle: [{stack, host, facts}]}`` of ``verb``."""
    busy: dict[str, list[str]] = {}
    idle = []
    for stack in stacks:
        for host in stack_hosts(stack, movers, groups):
            why = hostvars[host].get("migration_nothing_to_do", {}).get(stack, {}).get(verb, "")
            if why:
                idle.append({"stack": stack, "host": host, "facts": {"not_applicable": str(why)}})
            else:
                busy.setdefault(stack, []).append(host)
    return {"busy": busy, "idle": idle}


def stack_hosts(stack: str, movers: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The movers and the hosts of the group ``stack``, each once."""
    return list(dict.fromkeys([*movers, *groups.get(stack, [])]))


class FilterModule:
    """The filters of this file."""

    @staticmethod
    def filters() -> dict[str, Any]:
        """Filters by name."""
        return {"divide_work": divide_work}
