# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter checklist_evidence: what the journal of an attempt says about the items of the checklist now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import RUN

DOCUMENTATION = r"""
name: checklist_evidence
short_description: What the journal of an attempt says about the items of the checklist now
version_added: 0.1.0
description:
  - Of each verb of a stack on a host the last event of the attempt alone counts. What an earlier run saw is replaced by what a later one
    sees at the same place, a right that was missing as well as a backup that was whole; what is under way shows nothing yet.
positional: attempt
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
author: Dihya Migration contributors
"""

EXAMPLES = r"""
- name: Gather the evidence of the first attempt
  ansible.builtin.set_fact:
    evidence: "{{ journal.events | dihya.migration.checklist_evidence(1) }}"
"""

RETURN = r"""
_value:
  description: The evidence as it was recorded, and the C(stack) that it is of.
  type: list
  elements: dict
"""


def checklist_evidence(events: Sequence[Mapping[str, Any]], attempt: int) -> list[dict[str, Any]]:
    """The evidence in the last event of each unit (stack, verb, host) of ``attempt``."""
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for event in events:
        if event["attempt"] == attempt and event["stack"] != RUN:
            last[event["stack"], event["verb"], event["host"]] = event
    return [dict(entry, stack=stack) for (stack, _verb, _host), event in last.items() for entry in event["facts"].get("evidence", [])]


class FilterModule:
    """The filters of this file."""

    @staticmethod
    def filters() -> dict[str, Any]:
        """Filters by name."""
        return {"checklist_evidence": checklist_evidence}
