#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module secret_files: the short task that places secrets for long ones, which take only paths."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_files
short_description: Place and remove private files that hold secrets
version_added: 0.1.0
description:
  - Long modules of this collection take paths of secret files, because what a module is given stays on its host when the
    controller is killed. This short module places such files, and removes them.
  - Files are replaced atomically with mode 0600, missing directories are made with mode 0700. Contents never appear in a result.
options:
  state:
    description: Whether the files are to be there. With V(absent), directories that become empty are removed too.
    type: str
    choices: [present, absent]
    default: present
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: Whole content of the file. Required for O(state=present).
        type: str
author:
  - Dihya Migration contributors (@dihya)
attributes:
  check_mode:
    support: full
    description: Nothing is written.
  diff_mode:
    support: none
    description: A difference would show the secrets.
notes:
  - Enable pipelining (this collection's C(ansible.cfg) does), so that the contents are never written to a temporary file.
"""

EXAMPLES = r"""
- name: Place the password file of the restore
  dihya.migration.secret_files:
    files:
      - path: /var/lib/dihya-migration/crm/run/secrets/target.pgpass
        content: "{{ postgresql_target.host }}:5432:*:migrator:{{ vault_target }}"

- name: Remove it
  dihya.migration.secret_files:
    state: absent
    files:
      - path: /var/lib/dihya-migration/crm/run/secrets/target.pgpass
"""

RETURN = r"""
paths:
  description: Paths that were written or removed.
  returned: always
  type: list
  elements: str
"""

import os
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish

SPEC = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "files": {"type": "list", "elements": "dict", "required": True, "no_log": False, "options": {
        "path": {"type": "path", "required": True},
        "content": {"type": "str", "no_log": True},
    }},
}


def is_current(path: str, content: str) -> bool:
    """Whether ``path`` is a regular file with this content and mode 0600."""
    try:
        with open(path, "rb") as stream:
            mode = os.lstat(path).st_mode
            return stat.S_ISREG(mode) and stat.S_IMODE(mode) == 0o600 and stream.read() == content.encode()
    except FileNotFoundError:
        return False


def place(path: str, content: str | None, check_mode: bool) -> bool:
    """Make ``path`` hold ``content``; returns whether that is a change."""
    if content is None:
        raise MigrationError(f"{path} has no content")
    if is_current(path, content):
        return False
    if not check_mode:
        private_directory(os.path.dirname(path))
        publish(path, content.encode())
    return True


def remove(path: str, check_mode: bool) -> bool:
    """Remove ``path`` and its directory when that becomes empty; returns whether there was something to remove."""
    if not os.path.lexists(path):
        return False
    if not check_mode:
        os.unlink(path)
        if not os.listdir(os.path.dirname(path)):
            os.rmdir(os.path.dirname(path))
    return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    paths = []
    try:
        for entry in module.params["files"]:
            path = entry["path"]
            if not os.path.isabs(path):
                raise MigrationError("every path must be absolute")
            present = module.params["state"] == "present"
            done = place(path, entry["content"], module.check_mode) if present else remove(path, module.check_mode)
            paths += [path] if done else []
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'a secret file'} cannot be handled: {error.strerror}")
    module.exit_json(changed=bool(paths), paths=paths, msg=f"{len(paths)} of {len(module.params['files'])} files changed")


if __name__ == "__main__":
    main()
