# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter same_trees: where the new site would be put into the tree of the old one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding

DOCUMENTATION = r"""
name: same_trees
short_description: Where the new site would be put into the tree of the old one
version_added: 0.1.0
description:
  - A stack role keeps in its preflight what M(dihya.migration.app_preflight) saw, in the fact C(migration_seen). What a source host reads
    must not be what a target host writes to, or what C(current) leads to there, by whatever names of hosts and paths.
positional: hostvars
options:
  _input:
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
- name: Gather the findings
  ansible.builtin.set_fact:
    findings: "{{ groups | dihya.migration.same_trees(hostvars) }}"
"""

RETURN = r"""
_value:
  description: A finding for each such place, with C(subject), C(finding), C(remedy) and C(blocking).
  type: list
  elements: dict
"""


def same_trees(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any]) -> list[Finding]:
    """Findings about directories of target hosts that are trees of source hosts."""
    trees = {tree: (host, subject) for host, subject, seen in _seen("source", groups, hostvars) if (tree := seen.get("tree"))}
    found = []
    for host, subject, seen in _seen("target", groups, hostvars):
        for source, variable in (trees[place] for place in seen.get("places") or [] if place in trees):
            found.append(finding(f"{subject} ({host})", f"it is where {variable} of {source} leads, the tree that is left",
                                 "name the new machine in the group target, or give the new site a directory of its own"))
    return found


def _seen(side: str, groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Host, subject and facts of all that was looked at on one side."""
    for host in groups.get(side, []):
        for subject, seen in hostvars[host].get("migration_seen", {}).items():
            yield host, subject, seen


class FilterModule:
    """The filters of this file."""

    @staticmethod
    def filters() -> dict[str, Any]:
        """Filters by name."""
        return {"same_trees": same_trees}
