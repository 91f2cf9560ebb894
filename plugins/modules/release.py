#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module release: option specification and nothing else; the engine is _tree/release.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Stage, activate, roll back and prune immutable releases
version_added: 0.1.0
description:
  - Keeps the releases of one application in C(PATH/releases/NAME) and the link C(PATH/current) to the active one.
  - The link is switched in one step, so that C(current) always leads to a whole release, the old or the new.
  - What is current is known by reading the link. What was current before is recorded when a release is activated.
  - A release never changes once staged. Only what this module made (C(.release.json)) is ever removed.
options:
  path:
    description: The application's directory.
    type: path
    required: true
  name:
    description: The release; letters, digits and C(. _ + -). Required except with O(state=pruned).
    type: str
  state:
    description:
      - V(present) stages the tree as a complete release that is not active.
      - V(activated) makes the release current.
      - V(rolled_back) brings back what was current before this release was activated, or removes the link when there was nothing,
        then removes the release (see O(keep_failed)).
      - V(absent) removes a release that is neither current nor the one before it.
      - V(pruned) keeps the newest O(keep) releases; the current one, the one before it and failed ones are never removed.
    type: str
    choices: [present, activated, rolled_back, absent, pruned]
    default: present
  src:
    description:
      - The local directory to put in, with O(state=present); with O(state=activated) it is staged first, in the same task.
      - Exclusive with O(source_host).
    type: path
  shared:
    description:
      - Paths of the release that are links into C(PATH/shared), a list of paths or a dictionary from the path in the release to the
        path below C(shared).
      - They must exist there; one whose path below C(shared) ends with C(/) is made as an empty directory. It goes with the release
        as long as nothing lies in it and no other release leads there.
        The tree must not hold them itself.
    type: raw
  keep_assets:
    description:
      - Directories of the release, for instance V(assets), whose files have a digest in their names. Files of the active release in them
        that the new one lacks are kept in it, as hard links, for clients that still hold the old page. Releases are never edited.
      - Those of one generation are kept. A file that is not what was put in is left out, with a warning.
    type: list
    elements: str
    default: []
  assets_from:
    description:
      - A directory that M(dihya.migration.build_copy) made of a live build that no release here holds, for instance of another host's.
      - Its files in O(keep_assets) that the new release lacks are kept in it too, as copies.
    type: path
  assets_host:
    description: The host that lends such a directory over SSH, instead of O(assets_from); the options are those of O(source_host).
    type: dict
    suboptions:
      host:
        description: Name or address.
        type: str
        required: true
      user:
        description: Account there.
        type: str
        required: true
      port:
        description: Port of its SSH server.
        type: int
        default: 22
      identity:
        description: Path on this host of the key made by M(dihya.migration.pull_access).
        type: path
        required: true
      known_hosts:
        description: Path on this host of the file that pins the host key.
        type: path
        required: true
      outside_links:
        description: Accept symbolic links that lead outside the tree.
        type: bool
        default: false
  owner:
    description: User that owns the staged tree. The owners of the source by default, when run as root.
    type: str
  group:
    description: Group of the staged tree. The login group of O(owner) by default.
    type: str
  shared_owner:
    description: User that owns what is made below C(PATH/shared), the user of the application. O(owner) by default.
    type: str
  keep:
    description: How many releases O(state=pruned) keeps.
    type: int
  keep_failed:
    description: With O(state=rolled_back), keep the release for analysis and mark it as failed. It cannot be activated again.
    type: bool
    default: false
  run_id:
    description: Written into C(.release.json).
    type: str
  made_for:
    description:
      - The migration that the release belongs to, any text; written into C(.release.json). A release of this name that was put there
        for another one, or for none, is refused by V(present) and V(activated), and left alone by V(rolled_back).
      - Without it nobody is asked.
    type: str
extends_documentation_fragment:
  - dihya.migration.tree
  - dihya.migration.tree.source
notes:
  - With O(source_host) a release that is there already is pulled again, to compare the two; check mode cannot tell.
author: Dihya Migration contributors (@dihya)
"""

EXAMPLES = r"""
- name: Stage the new build
  dihya.migration.release:
    path: /srv/shop
    name: "2.4.0"
    src: /build/shop/dist
    shared: [.env, uploads/]

- name: Make it current
  dihya.migration.release:
    path: /srv/shop
    name: "2.4.0"
    state: activated

- name: Go back to what was current before
  dihya.migration.release:
    path: /srv/shop
    name: "2.4.0"
    state: rolled_back
"""

RETURN = r"""
release:
  description: Directory of the release.
  returned: when O(name) is given
  type: str
  sample: /srv/shop/releases/2.4.0
current:
  description: The current release afterwards, or the text of the link when it leads elsewhere; null without a link.
  returned: always
  type: str
previous:
  description: What a rollback of the current release would bring back.
  returned: always
  type: str
removed:
  description: Releases removed.
  returned: always
  type: list
  elements: str
ours:
  description: V(false) when a release of this name was there that was put there for another than O(made_for).
  returned: always
  type: bool
identity:
  description: Device and inode of the release's directory.
  returned: when it exists
  type: dict
sha256:
  description: Digest of the tree as it was put in, without what is shared.
  returned: when the release is there
  type: str
inherited:
  description: Number of files kept of the release before and of the live build, because of O(keep_assets).
  returned: with O(state=present)
  type: int
files:
  description: Number of regular files put in.
  returned: with O(state=present)
  type: int
bytes:
  description: Their size in bytes.
  returned: with O(state=present)
  type: int
switch_duration:
  description: Seconds from reading the state to the link being on the disk; what is removed goes after that.
  returned: with another state than V(present)
  type: float
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
from ansible_collections.dihya.migration.plugins.module_utils._tree.arguments import SOURCE, finish
from ansible_collections.dihya.migration.plugins.module_utils._tree.release import Request, release

STATES = ["present", "activated", "rolled_back", "absent", "pruned"]


def main() -> None:
    """Read the options, do it, say what was done."""
    module = AnsibleModule(
        argument_spec=dict(
            SOURCE,
            path={"type": "path", "required": True}, name={"type": "str"}, src={"type": "path"}, shared={"type": "raw"},
            state={"type": "str", "choices": STATES, "default": "present"}, owner={"type": "str"}, group={"type": "str"},
            shared_owner={"type": "str"},
            keep_assets={"type": "list", "elements": "str", "default": []},
            assets_from={"type": "path"}, assets_host=SOURCE["source_host"],
            keep={"type": "int"}, keep_failed={"type": "bool", "default": False}, run_id={"type": "str"}, made_for={"type": "str"},
        ),
        mutually_exclusive=[("src", "source_host"), ("assets_from", "assets_host")],
        required_if=[("state", state, ["name"]) for state in STATES[:-1]] + [("state", "pruned", ["keep"])],
        supports_check_mode=True,
    )
    try:
        finish(module, release(Request(check_mode=module.check_mode, **module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
