#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module snapshot: option specification and nothing else; the engine is _tree/snapshot.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Make and restore restore points of named paths
version_added: 0.1.0
description:
  - Records files, directories with everything in them, symbolic links, and also that nothing is there.
  - Restoring is exact. What was added is removed, what was removed comes back, contents, modes, owners, times, links and extended
    attributes (ACLs and capabilities are some) are those of the snapshot, which is proved by reading what was restored.
  - A path is replaced in one step, so that it is the whole old or the whole new one, where the file system can exchange two names.
options:
  dir:
    description: The private directory that holds the snapshots. Made with mode 0700 when missing.
    type: path
    required: true
  name:
    description: The snapshot. Required except with O(state=listed) and O(state=pruned).
    type: str
  paths:
    description: Absolute paths to record, none inside another. Required with O(state=present), ignored otherwise.
    type: list
    elements: path
    default: []
  state:
    description:
      - V(present) makes the snapshot. One that is there with the same paths is verified and never made again.
      - V(restored) brings all its paths back. A damaged snapshot is refused before anything is touched.
      - V(absent) removes the snapshot.
      - V(listed) tells which snapshots are there and changes nothing.
      - V(pruned) keeps the newest O(keep) snapshots. What this module did not make, or not complete, is left alone.
    type: str
    choices: [present, restored, absent, listed, pruned]
    default: present
  keep:
    description: How many snapshots O(state=pruned) keeps, at least 1.
    type: int
extends_documentation_fragment:
  - dihya.migration.tree
notes:
  - Paths whose owners only root can set are refused to other users.
author: Dihya Migration contributors (@dihya)
"""

EXAMPLES = r"""
- name: A restore point of what the deployment is going to change
  dihya.migration.snapshot:
    dir: /var/lib/dihya-migration/shop/snapshots
    name: backend
    paths: [/etc/shop, /etc/systemd/system/shop.service]

- name: Keep the last three
  dihya.migration.snapshot:
    dir: /var/lib/dihya-migration/shop/snapshots
    state: pruned
    keep: 3

- name: Bring it all back
  dihya.migration.snapshot:
    dir: /var/lib/dihya-migration/shop/snapshots
    name: backend
    state: restored
"""

RETURN = r"""
snapshot:
  description: Directory of the snapshot.
  returned: when O(name) is given
  type: str
snapshots:
  description: The complete snapshots that are there, the oldest first, C(name), C(created) (RFC 3339, UTC) and C(paths) each.
  returned: with O(state=listed), and with O(state=pruned) those that are kept
  type: list
  elements: dict
removed:
  description: Names of the snapshots removed (in check mode, that would be).
  returned: with O(state=listed) and O(state=pruned)
  type: list
  elements: str
paths:
  description: Per path its state, and for what is there files, bytes and digest.
  returned: always
  type: list
  elements: dict
restored:
  description: Paths that differed and were (in check mode would be) restored.
  returned: with O(state=restored)
  type: list
  elements: str
duration:
  description: Seconds.
  returned: always
  type: float
journal:
  description: The result in the form of the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.arguments import finish
from ansible_collections.dihya.migration.plugins.module_utils._tree.snapshot import Request, snapshot

STATES = ["present", "restored", "absent", "listed", "pruned"]


def main() -> None:
    """Read the options, do it, say what was done."""
    module = AnsibleModule(
        argument_spec={
            "dir": {"type": "path", "required": True}, "name": {"type": "str"}, "keep": {"type": "int"},
            "paths": {"type": "list", "elements": "path", "default": []},
            "state": {"type": "str", "choices": STATES, "default": "present"},
        },
        required_if=[("state", "present", ["paths"]), ("state", "pruned", ["keep"])] + [("state", state, ["name"]) for state in STATES[:3]],
        supports_check_mode=True,
    )
    try:
        finish(module, snapshot(Request(check_mode=module.check_mode, **module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
