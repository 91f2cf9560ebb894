# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter transaction_steps: what a transaction does in some of its phases, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.filter.divide_work import divide_work

DOCUMENTATION = r"""
name: transaction_steps
short_description: What a transaction does in some of its phases, step by step
version_added: 0.1.0
description:
  - One list over all the phases that are given, so that every host is asked once what there is to do, and not once for each phase,
    stack and condition; each question costs every host a process.
  - What the journal takes between two verbs is one step of C(do=record) with all of it, the result of the one and the start of the
    other, since each task on the state host has its price too.
  - Which verbs have nothing to do is known once preflight has ended, so preflight is planned before all that follows it.
positional: stacks
options:
  _input:
    description: The phases, in their order.
    type: list
    elements: str
    required: true
  stacks:
    description: The stacks, in the order in which they are migrated.
    type: list
    elements: str
    required: true
  behind:
    description: Those of them whose commit comes behind the commit point, in the order of these commits.
    type: list
    elements: str
    default: []
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
  state_host:
    description: The host of the journal, of which events of the whole run are told.
    type: str
    required: true
  resumed:
    description: Whether this attempt did something already, which then is probed.
    type: bool
    default: false
  watched:
    description: Whether the end of the maintenance window is looked at once the source is frozen.
    type: bool
    default: false
  timed:
    description: Whether a timer of the freeze takes a run for dead of which the mover hears nothing.
    type: bool
    default: false
  places:
    description: Whether preflight looks at second places of backups.
    type: bool
    default: false
author: Dihya Migration contributors
"""

EXAMPLES = r"""
- name: Show what follows preflight
  ansible.builtin.debug:
    msg: "{{ ['backup', 'freeze'] | dihya.migration.transaction_steps(['postgresql'], movers=['mover'], groups=groups, hostvars=hostvars,
             state_host='mover') }}"
"""

RETURN = r"""
_value:
  description:
    - What to C(do) (V(record), V(quiet), V(name_unit), V(again), V(unit), V(places), V(gate), V(overrun)), in
      which C(phase).
    - The steps of a unit have its C(stack) and C(hosts); V(record) with C(records), each with C(stack), C(verb), C(status) and
      C(hosts), or with C(events) where these are known beforehand; V(quiet), between which the mover hears nothing, with C(begins).
  type: list
  elements: dict
"""

FROZEN = ("freeze", "migrate", "verify", "commit")
"""Phases in which the source is frozen, or becomes so."""


def transaction_steps(phases: Sequence[str], stacks: Sequence[str], *, movers: Sequence[str], groups: Mapping[str, Sequence[str]],
                      hostvars: Mapping[str, Any], state_host: str, behind: Sequence[str] = (), resumed: bool = False,
                      watched: bool = False, timed: bool = False, places: bool = False) -> list[dict[str, Any]]:
    """The steps of ``phases``; see RETURN."""

    def moment(name: str) -> dict[str, Any]:
        return _record(name, "migration", name, "ok", events=[{"host": state_host, "facts": {}}])

    def of_phase(phase: str) -> Iterator[dict[str, Any]]:
        work = divide_work(stacks, phase, movers, groups, hostvars)
        last = [stack for stack in behind if phase == "commit" and stack in work["busy"]]
        if watched and phase in ("migrate", "verify", "commit"):
            yield {"do": "overrun", "phase": phase}
        if work["idle"]:
            yield _record(phase, "migration", phase, "not_applicable", events=work["idle"])
        if phase == "freeze" and work["busy"]:
            yield moment("frozen")
        for stack in work["busy"]:
            if stack not in last:
                unheard = timed and phase in FROZEN and not set(work["busy"][stack]) <= set(movers)
                yield from _unit(phase, stack, work["busy"][stack], resumed, unheard)
        if places and phase == "preflight":
            yield {"do": "places", "phase": phase}
        if phase in ("preflight", "backup"):
            yield {"do": "gate", "phase": phase}
        if phase == "commit":
            yield moment("commit_point")
        for stack in last:
            yield from _unit(phase, stack, work["busy"][stack], resumed)

    return _joined(step for phase in phases for step in of_phase(phase))


def _record(phase: str, stack: str, verb: str, status: str, **what: Any) -> dict[str, Any]:
    return {"do": "record", "phase": phase, "records": [{"stack": stack, "verb": verb, "status": status, **what}]}


def _unit(phase: str, stack: str, hosts: list[str], resumed: bool, unheard: bool = False) -> Iterator[dict[str, Any]]:
    yield _record(phase, stack, phase, "started", hosts=hosts)
    unit = {"phase": phase, "stack": stack, "hosts": hosts}
    if unheard:
        yield {"do": "quiet", "begins": True, **unit}
    for do in ("name_unit", "again", "unit") if resumed else ("name_unit", "unit"):
        yield {"do": do, **unit}
    if unheard:
        yield {"do": "quiet", "begins": False, **unit}
    yield _record(phase, stack, phase, "ok", hosts=hosts)


def _joined(steps: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records that follow each other are one."""
    joined: list[dict[str, Any]] = []
    for step in steps:
        if joined and joined[-1]["do"] == step["do"] == "record":
            joined[-1]["records"] += step["records"]
        else:
            joined.append(step)
    return joined


class FilterModule:
    """The filters of this file."""

    @staticmethod
    def filters() -> dict[str, Any]:
        """Filters by name."""
        return {"transaction_steps": transaction_steps}
