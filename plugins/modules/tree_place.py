#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module tree_place: option specification and nothing else; the engine is _tree/placing.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tree_place
short_description: Put a verified copy of a tree where an application uses it
version_added: 0.1.0
description:
  - Takes the tree of a copy that M(dihya.migration.build_copy) made beside its place, puts it there in one step, and proves it by reading
    every byte again from the disk.
  - A tree that is there already with the digest wanted stays; it is read completely to know it.
  - Where something else is, nothing is done unless O(overwrite) says so. M(dihya.migration.snapshot) keeps it and brings it back.
options:
  path:
    description: Where the tree is put. Its parent exists. Neither a link nor a mount point.
    type: path
    required: true
  state:
    description:
      - V(placed) puts the copy there.
      - V(kept) proves that the directory that was put there still is there, whatever was added to it since, and fails otherwise.
      - V(absent) removes O(stage) and O(record_file). The place itself is not touched.
    type: str
    choices: [placed, kept, absent]
    default: placed
  sha256:
    description: Digest of the tree that is wanted. Required with O(state=placed).
    type: str
  copy:
    description: The copy, a directory in O(stage). Needed when the place has not the content wanted.
    type: path
  stage:
    description:
      - The private directory, on the file system of O(path) and of this one use, in which the copies lie.
      - It is removed once the tree is in place. Files of an earlier copy in it may be further names of those in place.
    type: path
  record_file:
    description: Path of the file that says what was put there, mode 0600.
    type: path
    required: true
  owner:
    description: User that is to own the tree. The owners of the source, by number, by default.
    type: str
  group:
    description: Group of the tree. The login group of O(owner) by default.
    type: str
  overwrite:
    description: Whether a directory at O(path) that is not empty may be replaced.
    type: bool
    default: false
extends_documentation_fragment:
  - dihya.migration.tree
seealso:
  - module: dihya.migration.build_copy
  - module: dihya.migration.snapshot
author: Dihya Migration contributors (@dihya)
"""

EXAMPLES = r"""
- name: Bring the uploads beside their place
  dihya.migration.build_copy:
    src: /backup/shop/uploads_2026-11-28_2204/tree
    dest: /srv/shop/shared/.uploads-stage
    name: uploads
  register: copied

- name: Put them there
  dihya.migration.tree_place:
    path: /srv/shop/shared/uploads
    copy: "{{ copied.path }}"
    sha256: "{{ copied.sha256 }}"
    stage: /srv/shop/shared/.uploads-stage
    record_file: /var/lib/dihya-migration/shop/uploads.json
    owner: shop
"""

RETURN = r"""
files:
  description: Number of regular files.
  returned: with O(state=placed)
  type: int
bytes:
  description: Their size in bytes.
  returned: with O(state=placed)
  type: int
sha256:
  description: Digest of the tree that is, or was put, there.
  returned: unless O(state=absent)
  type: str
placed:
  description: Whether the tree is in place; false in check mode when it would be put there.
  returned: with O(state=placed)
  type: bool
journal:
  description: The result in the form of the journal.
  returned: with O(state=placed)
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.arguments import finish
from ansible_collections.dihya.migration.plugins.module_utils._tree.placing import Request, tree_place


def main() -> None:
    """Read the options, do it, say what was done."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True}, "record_file": {"type": "path", "required": True}, "sha256": {"type": "str"},
            "state": {"type": "str", "choices": ["placed", "kept", "absent"], "default": "placed"},
            "copy": {"type": "path"}, "stage": {"type": "path"}, "owner": {"type": "str"}, "group": {"type": "str"},
            "overwrite": {"type": "bool", "default": False},
        },
        required_if=[("state", "placed", ["sha256"])],
        supports_check_mode=True,
    )
    try:
        finish(module, tree_place(Request(check_mode=module.check_mode, **module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
