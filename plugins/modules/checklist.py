#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module checklist: the eight items of the guide, each with what is expected, what was observed, and a verdict."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checklist
short_description: Weigh the checklist before a migration
version_added: 0.1.0
description:
  - Weighs the eight items C(backup), C(access), C(documentation), C(rehearsal), C(rollback_plan), C(notification), C(window)
    and C(compliance), and fails with all findings at once.
  - C(backup), C(access), C(rollback_plan) and C(window) count only when a machine observed them. C(rehearsal) needs evidence
    or a waiver. Only C(documentation), C(notification) and C(compliance) can be attested.
  - What was observed to fail always blocks, the window only until O(frozen). What nobody demonstrated blocks with
    O(profile=audited), and is reported with O(profile=standard).
options:
  facts:
    description:
      - What this run observed, by item, each a list of C(verdict) (V(proved) or V(failed)), C(observed), C(sha256), C(until).
      - One failed entry fails its item; one without a verdict leaves it open.
      - Of C(backup) each entry names its C(stack), and one with C(elsewhere) is of a second copy; with V(not_applicable) as its verdict it
        says in C(observed) why the stack has nothing to back up.
    type: dict
    default: {}
  evidence:
    description: Evidence that the inventory names. Proves C(rehearsal) and C(rollback_plan) by a file; may fail any item.
    type: list
    elements: dict
    default: []
    suboptions:
      item:
        description: The item.
        type: str
        required: true
      path:
        description: A JSON file where the module runs, the C(report.json) of a rehearsal for instance. Needs O(evidence[].sha256).
        type: str
      sha256:
        description: Digest of the file.
        type: str
      json:
        description: A JSON answer, instead of a file.
        type: raw
      query:
        description: What to pick from it, in JMESPath.
        type: str
        required: true
      equals:
        description: What must stand there, V(true) by default.
        type: raw
      observed:
        description: What the evidence is, in a few words.
        type: str
      until:
        description: Until when it counts, RFC 3339 or a date.
        type: str
  attestations:
    description: Statements of people. A document that lies where the module runs must have the digest.
    type: list
    elements: dict
    default: []
    suboptions:
      item:
        description: The item.
        type: str
        required: true
      who:
        description: Who states it.
        type: str
      when:
        description: When, RFC 3339 or a date.
        type: str
      document:
        description: The document, a path or a reference.
        type: str
      sha256:
        description: Digest of the document.
        type: str
      until:
        description: Until when it counts, RFC 3339 or a date.
        type: str
  waivers:
    description: Items that someone with authority lets pass; only C(rehearsal) can be waived.
    type: list
    elements: dict
    default: []
    suboptions:
      item:
        description: The item.
        type: str
        required: true
      who:
        description: Who waives it.
        type: str
      why:
        description: Why.
        type: str
      until:
        description: Until when, RFC 3339 or a date.
        type: str
  window:
    description: The maintenance window.
    type: dict
    default: {}
    suboptions:
      start:
        description: Start, RFC 3339 with an offset.
        type: str
      end:
        description: End, RFC 3339 with an offset.
        type: str
  seconds:
    description: Predicted time of what is left to do, in seconds.
    type: float
    default: 0
  stacks:
    description:
      - The stacks that move. C(backup) is proved where O(facts) prove a backup of each of them, and a copy of it elsewhere, but of those
        that have nothing to back up. Without O(stacks) it is proved by one backup and one copy.
    type: list
    elements: str
    default: []
  copies:
    description: How many places beside the first were named for backups. That a copy lies there, only O(facts) show.
    type: int
    default: 0
  profile:
    description: What an item that is not demonstrated does.
    type: str
    choices: [standard, audited]
    default: standard
  planned:
    description: Items whose evidence a step of the run is planned to make, a restore drill C(rollback_plan) for instance.
    type: list
    elements: str
    default: []
  frozen:
    description: Whether clients may be frozen out already. What becomes of them when the window ends is then decided elsewhere.
    type: bool
    default: false
  phase:
    description: How far the migration is. A backup, and what O(planned) names, is not expected with V(before_backup).
    type: str
    choices: [before_backup, before_freeze, final]
    default: final
  now:
    description: The time that counts as now, RFC 3339 with an offset; by default the clock where the module runs.
    type: str
  report_only:
    description: Return the findings instead of failing.
    type: bool
    default: false
author:
  - Dihya Migration contributors (@dihya)
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
requirements:
  - jmespath, for evidence with a query
"""

EXAMPLES = r"""
- name: Weigh the checklist
  dihya.migration.checklist:
    profile: audited
    phase: before_freeze
    facts:
      backup:
        - {verdict: proved, observed: "manifest of 12 files", sha256: "{{ manifest_sha256 }}", stack: postgresql}
        - {verdict: proved, observed: "copy in the bucket backup:crm, read again", elsewhere: true, stack: postgresql}
      access: [{verdict: proved, observed: login as migrator works}]
    evidence:
      - item: rehearsal
        path: rehearsals/2026-11-20/report.json
        sha256: "{{ rehearsal_sha256 }}"
        query: outcome
        equals: ok
        until: "2026-12-20"
    attestations:
      - item: compliance
        who: data protection officer
        when: "2026-11-20"
        document: docs/dpia.pdf
        sha256: "{{ dpia_sha256 }}"
    window: {start: "2026-11-28T22:00:00+01:00", end: "2026-11-29T02:00:00+01:00"}
    seconds: 1800
    stacks: [postgresql]
    copies: 1
  delegate_to: localhost
"""

RETURN = r"""
items:
  description: The eight items in the guide's order.
  returned: always
  type: list
  elements: dict
  contains:
    item:
      description: The item.
      type: str
      returned: always
    expected:
      description: What must be shown.
      type: str
      returned: always
    observed:
      description: What was seen.
      type: str
      returned: always
    verdict:
      description: V(proved), V(attested), V(waived), V(not_demonstrated) or V(failed).
      type: str
      returned: always
    evidence:
      description: Who, when, document, digest, until, as far as known.
      type: dict
      returned: always
findings:
  description: Everything that is wrong or open, each with subject, finding, remedy, blocking.
  returned: always
  type: list
  elements: dict
blocked:
  description: Whether a finding blocks.
  returned: always
  type: bool
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._checklist.times import parse
from ansible_collections.dihya.migration.plugins.module_utils._checklist.weigh import Inputs, weigh


def text_options(*names: str) -> dict:
    """Text options of these names, the first one required."""
    return {name: {"type": "str", "required": place == 0} for place, name in enumerate(names)}


def argument_spec() -> dict:
    """The options, as documented above."""
    lists = {
        "evidence": {
            **text_options("item", "path", "sha256", "observed", "until"),
            "json": {"type": "raw"}, "query": {"type": "str", "required": True}, "equals": {"type": "raw"},
        },
        "attestations": text_options("item", "who", "when", "document", "sha256", "until"),
        "waivers": text_options("item", "who", "why", "until"),
    }
    window = {end: {"type": "str"} for end in ("start", "end")}
    return {
        "facts": {"type": "dict", "default": {}},
        **{name: {"type": "list", "elements": "dict", "default": [], "options": options} for name, options in lists.items()},
        "window": {"type": "dict", "default": {}, "options": window},
        "seconds": {"type": "float", "default": 0},
        "stacks": {"type": "list", "elements": "str", "default": []},
        "copies": {"type": "int", "default": 0},
        "planned": {"type": "list", "elements": "str", "default": []},
        "profile": {"type": "str", "choices": ["standard", "audited"], "default": "standard"},
        "phase": {"type": "str", "choices": ["before_backup", "before_freeze", "final"], "default": "final"},
        "frozen": {"type": "bool", "default": False},
        "now": {"type": "str"},
        "report_only": {"type": "bool", "default": False},
    }


def read(path: str) -> bytes | None:
    """The bytes of a file on this host, None when it is not here or not ours to read."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    given = dict(module.params)
    report_only, text = given.pop("report_only"), given.pop("now")
    now = parse(text) if text else datetime.datetime.now(datetime.timezone.utc)
    if now is None:
        module.fail_json(msg="now must be a time in RFC 3339 with an offset")
        return
    for name in ("evidence", "attestations", "waivers"):
        given[name] = [{key: value for key, value in entry.items() if value is not None} for entry in given[name] or []]
    result = weigh(Inputs(now=now, **given), read)
    if result["blocked"] and not report_only:
        lines = [f"{row['subject']}: {row['finding']} -> {row['remedy']}" for row in result["findings"] if row["blocking"]]
        module.fail_json(msg="\n".join([f"{len(lines)} finding(s) of the checklist block the migration.", *lines]), **result)
    module.exit_json(changed=False, msg=f"{len(result['findings'])} finding(s)", **result)


if __name__ == "__main__":
    main()
