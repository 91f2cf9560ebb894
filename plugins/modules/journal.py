#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module journal: the hash-chained record of a migration, its lock and its resume decisions."""

from __future__ import annotations

DOCUMENTATION = r"""
module: journal
short_description: Write and read the journal of a migration
version_added: 0.1.0
description:
  - Keeps the one record of a migration, an append-only, hash-chained file of events, on the state host.
  - The journal decides whether a run may begin (lock), what it resumes (attempt, decisions) and what a report can say.
  - Only facts of a fixed schema enter it. Unknown names, wrong types and texts of more than 300 characters are refused.
  - An action plugin of the same name adds what only the controller knows, the process that holds the lock and the digests
    of the inputs, and refuses runs with C(--limit), C(--tags), C(--skip-tags) or C(--start-at-task).
options:
  state_dir:
    description: Directory of the journals and locks on the state host, an absolute path. Created with mode 0700.
    type: path
    required: true
  migration_id:
    description: Name of the migration, of V(a-z), V(0-9) and V(-), at most 63 characters.
    type: str
    required: true
  command:
    description:
      - V(begin) takes the lock and opens a run, V(record) writes the events of one verb on all its hosts, V(end) closes the
        run and releases the lock. V(show) returns all events, V(status) a summary; both only read.
    type: str
    choices: [begin, record, end, show, status]
    required: true
  purpose:
    description: What the run is for. Required for O(command=begin).
    type: str
    choices: [migrate, backup, verify, commit, rollback]
  run:
    description:
      - Facts of the run for the V(begin) event, of the names C(operator), C(controller), C(ansible_version), C(stacks),
        C(strategy), C(profile), C(language), C(description), C(ticket), C(window).
      - The action plugin sets C(controller) and C(ansible_version), and C(operator) when it is missing.
    type: dict
  identities:
    description: Identities of all sources and targets. Each is locked beside the migration itself.
    type: list
    elements: str
    default: []
  takeover:
    description: Runs whose lock is taken over although they are not provably dead, by run_id.
    type: list
    elements: str
    default: []
  token:
    description: The token that O(command=begin) returned. Required for O(command=record) and O(command=end).
    type: str
  stack:
    description: Stack of the recorded events, or V(migration) for V(checklist), V(frozen), V(commit_point) and V(reopened).
    type: str
  verb:
    description: Verb of the recorded events.
    type: str
  status:
    description:
      - Status of the recorded events. An event whose facts have C(not_applicable) gets that status instead of V(ok).
      - V(not_applicable) itself is for what was known beforehand to have nothing to do, it needs no V(started) before it.
    type: str
    choices: [started, ok, failed, skipped, not_applicable]
  events:
    description: One entry per host.
    type: list
    elements: dict
    suboptions: &events
      host:
        description: Inventory name of the host.
        type: str
        required: true
      stack:
        description: The stack of this event, where it is not O(stack).
        type: str
      facts:
        description:
          - What was done and measured, in the schema of facts.
          - Sources and targets that C(identities) names are locked by this run first; one that another run holds is an error.
        type: dict
        default: {}
      again:
        description: The probe of this unit failed, so that it runs again whatever the journal says. For O(status=started).
        type: bool
        default: false
      inputs_sha256:
        description:
          - Digest of the inputs of the verb on this host. A unit is probed instead of run only when it did not change.
          - By default the action plugin computes it for O(status=started), from the variables of the host whose names begin
            with the name of the stack, without those whose names speak of a password, secret, token or key. To a backup belong the
            places of its second copies too (C(migration_backup_copies)).
        type: str
  records:
    description:
      - Several records at once, written in this order, all or none. For O(command=record), instead of O(stack), O(verb), O(status)
        and O(events), each with what these say.
      - At most one of them may be V(started); the returned C(decisions) are of that one.
    type: list
    elements: dict
    suboptions:
      stack:
        description: As O(stack).
        type: str
        required: true
      verb:
        description: As O(verb).
        type: str
        required: true
      status:
        description: As O(status).
        type: str
        required: true
        choices: [started, ok, failed, skipped, not_applicable]
      events:
        description: As O(events).
        type: list
        elements: dict
        required: true
        suboptions: *events
  outcome:
    description: How the run ended. Required for O(command=end).
    type: str
    choices: [ok, rolled_back, rollback_incomplete, interrupted, waiting, failed_after_commit, refused]
  cause:
    description: What stopped the run, of the names C(stack), C(verb), C(host), C(task), C(message).
    type: dict
  rollback:
    description: What was rolled back, each with C(stack), C(host), C(verdict).
    type: list
    elements: dict
    default: []
  not_proved:
    description: What this run itself could not prove at its end, that its secrets are gone from a host for instance. For O(command=end).
    type: list
    elements: str
    default: []
  state_host:
    description: Inventory name of the state host, for events of the whole run. Set by the action plugin.
    type: str
    default: state
  holder:
    description: The process that runs the playbook. Set by the action plugin.
    type: dict
  dead_runs:
    description: Runs whose process on this controller is proved to be gone. Set by the action plugin.
    type: list
    elements: str
    default: []
author:
  - Dihya Migration contributors (@dihya)
attributes:
  check_mode:
    support: full
    description: Nothing is written and no lock taken; the result says what would be.
  diff_mode:
    support: none
    description: The journal only grows.
"""

EXAMPLES = r"""
- name: Begin
  dihya.migration.journal:
    command: begin
    state_dir: /var/lib/dihya-migration/state
    migration_id: crm-2026-11-28
    purpose: migrate
    run: {stacks: [postgresql, backend], strategy: offline}
    identities: ["db.old.example:5432", "db.new.example:5432"]
  register: begun

- name: Nothing of the verb is done before this is on disk
  dihya.migration.journal:
    command: record
    state_dir: /var/lib/dihya-migration/state
    migration_id: crm-2026-11-28
    token: "{{ begun.token }}"
    stack: postgresql
    verb: backup
    status: started
    events: [{host: mover}]
  register: started

- name: End
  dihya.migration.journal:
    command: end
    state_dir: /var/lib/dihya-migration/state
    migration_id: crm-2026-11-28
    token: "{{ begun.token }}"
    outcome: ok
"""

RETURN = r"""
run_id:
  description: Name of this run.
  returned: begin
  type: str
  sample: 20261128T220000Z-0c1f2e
token:
  description: What record and end ask for. Random; only its digest is stored.
  returned: begin
  type: str
attempt:
  description: Number of the attempt. A rollback that came to its end ends an attempt.
  returned: begin, record
  type: int
resumed:
  description: Whether this attempt already did something and is not complete.
  returned: begin
  type: bool
complete:
  description:
    - Whether this attempt already ended with V(ok) for the same stacks, for purposes V(migrate) and V(commit). Such a run
      only probes; as long as it records nothing new, neither its begin nor its end is written. It ends nevertheless, to
      release the lock.
  returned: begin
  type: bool
going_back:
  description: Whether the rollback of this attempt began and did not come to its end. Nothing but another rollback goes on from there.
  returned: begin
  type: bool
migrated:
  description: Whether this attempt already ended with V(ok), for every purpose and whatever its stacks.
  returned: begin
  type: bool
held:
  description: Whether the migration waits before its commit point.
  returned: begin
  type: bool
unverified:
  description: The units of this attempt whose last verification failed or did not end, C(STACK on HOST) each.
  returned: begin
  type: list
  elements: str
past_commit_point:
  description: Whether a client write may have been admitted to the target in this attempt, what was recorded last included.
  returned: begin, record, and by a record that failed where the journal could be read all the same
  type: bool
previous:
  description: C(outcome), C(time) and C(run_id) of the last run that ended; empty when there was none.
  returned: begin
  type: dict
created:
  description: What this attempt created, a list per stack of C(kind), C(name), C(identity), C(host).
  returned: begin
  type: dict
plan_seconds:
  description: Seconds that the last plan of this attempt foresaw for everything that is left to do after preflight; 0 when there is none.
  returned: begin
  type: float
frozen_since:
  description: Since when this attempt keeps the source frozen (RFC 3339), empty when it does not.
  returned: begin
  type: str
freeze_begun:
  description: Whether this attempt came as far as its freeze, of which even a part keeps clients out.
  returned: begin
  type: bool
interrupted_after:
  description: Where an interrupted run stood, C(stack), C(verb), C(host), C(status); empty when the last run ended properly.
  returned: begin
  type: dict
decisions:
  description: V(run) or V(probe) for each host. A probed unit was done in this attempt with the same inputs.
  returned: record with O(status=started)
  type: dict
  sample: {mover: run}
news:
  description: The events that were written, C(stack), C(verb), C(host), C(status); not those of what was only probed.
  returned: record
  type: list
  elements: dict
events:
  description: All events.
  returned: show
  type: list
  elements: dict
chain:
  description: C(intact), C(events) (their number), C(head) (its hash), C(torn) (bytes of an unterminated last line), C(problem).
  returned: show, status
  type: dict
status:
  description:
    - C(attempt), C(outcome), C(running) (run_id), C(going_back), the last event of each of C(stacks),
      and the times C(frozen_since), C(commit_point), C(last_event).
  returned: status
  type: dict
lock:
  description: Whether the lock is C(held), by whom, since when, and whether that process is C(alive) (null when that cannot be told).
  returned: status
  type: dict
lines:
  description: The same for a person, at most a line per stack and four more.
  returned: status
  type: list
  elements: str
lock_holders:
  description: Who holds the locks that this run asked for.
  returned: when begin is refused for that reason
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal.commands import execute
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import OUTCOMES, PURPOSES, STATUSES

EVENTS = {
    "host": {"type": "str", "required": True},
    "stack": {"type": "str"},
    "facts": {"type": "dict", "default": {}},
    "again": {"type": "bool", "default": False},
    "inputs_sha256": {"type": "str"},
}

SPEC = {
    "state_dir": {"type": "path", "required": True},
    "migration_id": {"type": "str", "required": True},
    "command": {"type": "str", "required": True, "choices": ["begin", "record", "end", "show", "status"]},
    "purpose": {"type": "str", "choices": list(PURPOSES)},
    "run": {"type": "dict"},
    "identities": {"type": "list", "elements": "str", "default": []},
    "takeover": {"type": "list", "elements": "str", "default": []},
    "token": {"type": "str", "no_log": True},
    "stack": {"type": "str"},
    "verb": {"type": "str"},
    "status": {"type": "str", "choices": list(STATUSES)},
    "events": {"type": "list", "elements": "dict", "options": EVENTS},
    "records": {"type": "list", "elements": "dict", "options": {
        "stack": {"type": "str", "required": True},
        "verb": {"type": "str", "required": True},
        "status": {"type": "str", "required": True, "choices": list(STATUSES)},
        "events": {"type": "list", "elements": "dict", "required": True, "options": EVENTS},
    }},
    "outcome": {"type": "str", "choices": list(OUTCOMES)},
    "cause": {"type": "dict"},
    "rollback": {"type": "list", "elements": "dict", "default": []},
    "not_proved": {"type": "list", "elements": "str", "default": []},
    "state_host": {"type": "str", "default": "state"},
    "holder": {"type": "dict"},
    "dead_runs": {"type": "list", "elements": "str", "default": []},
}

REQUIRED_IF = [
    ("command", "begin", ["purpose"]),
    ("command", "record", ["events", "records"], True),
    ("command", "end", ["outcome"]),
]

REQUIRED_TOGETHER = [("stack", "verb", "status", "events")]

MUTUALLY_EXCLUSIVE = [("events", "records")]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, required_if=REQUIRED_IF, required_together=REQUIRED_TOGETHER,
                           mutually_exclusive=MUTUALLY_EXCLUSIVE)
    try:
        result = execute(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the journal'} cannot be used: {error.strerror}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
