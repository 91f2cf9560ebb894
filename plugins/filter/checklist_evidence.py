# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter checklist_evidence: what the journal of an attempt says about the items of the checklist now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._checklist.evidence import NOTHING_TO_DO

DOCUMENTATION = r"""
name: checklist_evidence
short_description: What the journal of an attempt says about the items of the checklist now
version_added: 0.1.0
description:
  - Of each verb of a stack on a host the last result of the attempt alone counts. What an earlier run saw is replaced by what a later one
    sees at the same place, a right that was missing as well as a backup that was whole. What is only under way replaces nothing - no freeze
    may be refused its end because the run that made its backup anew was killed.
  - A stack whose verb C(backup) had nothing to do, on the mover and on every other host but those of the target, has nothing to back up.
    That is said of it as evidence with the verdict V(not_applicable) and the first reason, which is the mover's.
  - A stack that this run has not shows nothing.
positional: attempt, stacks
options:
  _input:
    description: The events of the journal, in their order.
    type: list
    elements: dict
    required: true
  attempt:
    description: The attempt.
    type: int
    required: true
  stacks:
    description: The stacks of this run.
    type: list
    elements: str
    required: true
  targets:
    description: The hosts of the new site. What they do in C(backup) prepares what is to come there.
    type: list
    elements: str
    default: []
author: Dihya Migration contributors
"""

EXAMPLES = r"""
- name: Gather the evidence of the first attempt
  ansible.builtin.set_fact:
    evidence: "{{ journal.events | dihya.migration.checklist_evidence(1, ['postgresql', 'traffic']) }}"
"""

RETURN = r"""
_value:
  description: The evidence as it was recorded, and the C(stack) that it is of.
  type: list
  elements: dict
"""


def checklist_evidence(events: Sequence[Mapping[str, Any]], attempt: int, stacks: Sequence[str], *,
                       targets: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The evidence in the last result of each unit (stack, verb, host) of ``stacks`` in ``attempt``; see RETURN."""
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for event in events:
        if event["attempt"] == attempt and event["stack"] in stacks and event["status"] != "started":
            last[event["stack"], event["verb"], event["host"]] = event
    found = [dict(entry, stack=stack) for (stack, _verb, _host), event in last.items() for entry in event["facts"].get("evidence", [])]
    reasons: dict[str, list[str]] = {}
    for (stack, verb, host), event in last.items():
        if verb == "backup" and host not in targets:
            idle = event["status"] == NOTHING_TO_DO
            reasons.setdefault(stack, []).append(event["facts"].get("not_applicable", "") if idle else "")
    return found + [{"item": "backup", "stack": stack, "verdict": NOTHING_TO_DO, "observed": why[0]}
                    for stack, why in reasons.items() if all(why)]


class FilterModule:
    """The filters of this file."""

    @staticmethod
    def filters() -> dict[str, Any]:
        """Filters by name."""
        return {"checklist_evidence": checklist_evidence}
