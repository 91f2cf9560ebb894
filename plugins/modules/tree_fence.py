#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module tree_fence: option specification and nothing else; the engine is _tree/fence.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tree_fence
short_description: Prove that nothing in a tree changed since it was copied
version_added: 0.1.0
description:
  - Keeps what every name in a tree is known by (type, size, mode, owners, modification time, change time, inode), and compares it later.
    No file is read, so a tree of a million files takes seconds.
  - The change time is the kernel's. Programs cannot set it, and every write, new, removed or renamed name and change of rights advances it,
    so an equal look proves that none of these happened in between.
  - It does not see a write through a memory map that was begun before and not written to the disk yet, although the file system is synced
    first; nor what another machine writes to a network file system before this one learns of it; nor anything once the clock of the
    host was set back.
options:
  path:
    description: The directory; a link to it is followed.
    type: path
    required: true
  state:
    description:
      - V(taken) looks at the tree and keeps what it found, once nothing in it is moving.
      - V(sealed) proves that nothing changed since, and keeps with it O(sha256), the digest of the copy that was made meanwhile.
      - V(held) proves that nothing changed since, and fails when something did, or when the fence was never sealed.
      - V(absent) forgets it.
    type: str
    choices: [taken, sealed, held, absent]
    default: held
  record_file:
    description: Path of the file that keeps it, mode 0600.
    type: path
    required: true
  sha256:
    description: Digest of the copy. Required with O(state=sealed).
    type: str
  settle:
    description: Seconds to wait with O(state=taken) until nothing is being written.
    type: float
    default: 30.0
extends_documentation_fragment:
  - dihya.migration.tree
seealso:
  - module: dihya.migration.build_copy
  - module: dihya.migration.tree_place
author: Dihya Migration contributors (@dihya)
"""

EXAMPLES = r"""
- name: From here on every change counts
  dihya.migration.tree_fence:
    path: /srv/api/uploads
    record_file: /var/lib/dihya-migration/shop/uploads.json
    state: taken

- name: Nothing changed until now
  dihya.migration.tree_fence:
    path: /srv/api/uploads
    record_file: /var/lib/dihya-migration/shop/uploads.json
"""

RETURN = r"""
files:
  description: Number of regular files.
  returned: unless O(state=absent)
  type: int
bytes:
  description: Their size in bytes.
  returned: unless O(state=absent)
  type: int
since:
  description: The moment since which nothing changed (RFC 3339, UTC).
  returned: unless O(state=absent)
  type: str
sha256:
  description: Digest of the copy with which it was sealed.
  returned: unless O(state=absent)
  type: str
journal:
  description: The result in the form of the journal.
  returned: unless O(state=absent)
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.arguments import finish
from ansible_collections.dihya.migration.plugins.module_utils._tree.fence import Request, tree_fence


def main() -> None:
    """Read the options, do it, say what was found."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True}, "record_file": {"type": "path", "required": True}, "sha256": {"type": "str"},
            "state": {"type": "str", "choices": ["taken", "sealed", "held", "absent"], "default": "held"},
            "settle": {"type": "float", "default": 30.0},
        },
        required_if=[("state", "sealed", ["sha256"])],
        supports_check_mode=True,
    )
    try:
        finish(module, tree_fence(Request(check_mode=module.check_mode, **module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
