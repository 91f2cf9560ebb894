#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module pull_access: option specification and nothing else; the engine is _transport/access.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pull_access
short_description: Prepare and remove the access with which one host pulls one tree
version_added: 0.1.0
description:
  - On the receiving host (O(side=receiver)) makes an ed25519 key that never leaves it, and keeps the pinned host key of the other.
  - On the sending host (O(side=sender)) adds one line to C(authorized_keys) that lets this key do one thing,
    send a tar stream of exactly one directory (C(restrict), forced command), and returns the host's public keys to pin.
  - With O(state=absent) takes away the key or the line. Other keys and lines are never touched.
options:
  side:
    description: Which end this host is.
    type: str
    choices: [receiver, sender]
    required: true
  state:
    description: Whether the access is to be there.
    type: str
    choices: [present, absent]
    default: present
  run_id:
    description: The run that the access is for; the line's comment is C(dihya/RUN_ID).
    type: str
    required: true
  migration_id:
    description:
      - Sender. The migration that the run belongs to; the line's comment is then C(dihya/MIGRATION_ID/RUN_ID).
      - Lines of its other runs, which were killed before they took them away, go too. Only one run of a migration may work at a time.
    type: str
  dir:
    description: Receiver. A private directory for C(id_ed25519) and C(known_hosts); made when missing, removed when it becomes empty.
    type: path
  known_hosts:
    description: Receiver. Content of C(known_hosts), as the sender's side returned it.
    type: str
  path:
    description: Sender. The directory that may be pulled.
    type: path
  exclude:
    description:
      - Sender. Names that are not even sent, with the meaning they have for M(dihya.migration.build_copy).
      - Give the puller the same list, so that changes in what is excluded do not count either.
    type: list
    elements: str
    default: []
  public_key:
    description: Sender. The receiver's public key. With O(state=absent) only lines of this key go.
    type: str
  user:
    description: Sender. The account that the receiver connects to. The one that runs the module by default.
    type: str
  authorized_keys:
    description: Sender. The file, C(~/.ssh/authorized_keys) of O(user) by default. Not a link.
    type: path
  host:
    description: Sender. The name or address that the receiver connects to, for C(known_hosts).
    type: str
  port:
    description: Sender. The port that the receiver connects to.
    type: int
    default: 22
  host_key_files:
    description: Sender. The public host keys of its SSH server, C(/etc/ssh/ssh_host_*_key.pub) by default.
    type: list
    elements: path
    default: []
extends_documentation_fragment:
  - dihya.migration.tree
notes:
  - The sender needs GNU tar and GNU find, the receiver C(ssh) and C(ssh-keygen).
author: Dihya Migration contributors (@dihya)
"""

EXAMPLES = r"""
- name: Make the key on the mover
  dihya.migration.pull_access:
    side: receiver
    run_id: "{{ migration_run_id }}"
    dir: "{{ migration_run_dir }}/pull"
  register: receiver

- name: Let it pull the API's directory from the old site (a task on that host)
  dihya.migration.pull_access:
    side: sender
    run_id: "{{ migration_run_id }}"
    path: /srv/api
    public_key: "{{ hostvars.mover.receiver.public_key }}"
    host: "{{ ansible_host }}"
  register: sender

- name: Pin the host key on the mover
  dihya.migration.pull_access:
    side: receiver
    run_id: "{{ migration_run_id }}"
    dir: "{{ migration_run_dir }}/pull"
    known_hosts: "{{ hostvars.old_api.sender.known_hosts }}"

- name: Take the line away
  dihya.migration.pull_access:
    side: sender
    state: absent
    run_id: "{{ migration_run_id }}"
"""

RETURN = r"""
public_key:
  description: Type and body of the public key; null in check mode when there is none yet.
  returned: receiver, present
  type: str
identity:
  description: Path of the private key.
  returned: receiver, present
  type: str
known_hosts_file:
  description: Path of the file with the pinned host keys.
  returned: receiver, present
  type: str
authorized_keys:
  description: The file that holds the line.
  returned: sender
  type: str
host_keys:
  description: Types and bodies of the host's public keys.
  returned: sender, present
  type: list
  elements: str
known_hosts:
  description: The same as lines of known_hosts for O(host) and O(port); null without O(host).
  returned: sender, present
  type: str
journal:
  description: The result in the form of the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._transport.access import Request, pull_access
from ansible_collections.dihya.migration.plugins.module_utils._tree.arguments import finish


def main() -> None:
    """Read the options, do it, say what was done."""
    module = AnsibleModule(
        argument_spec={
            "side": {"type": "str", "choices": ["receiver", "sender"], "required": True}, "run_id": {"type": "str", "required": True},
            "migration_id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"}, "dir": {"type": "path"},
            "known_hosts": {"type": "str"}, "path": {"type": "path"},
            "exclude": {"type": "list", "elements": "str", "default": []}, "public_key": {"type": "str", "no_log": False},
            "user": {"type": "str"}, "authorized_keys": {"type": "path", "no_log": False}, "host": {"type": "str"},
            "port": {"type": "int", "default": 22}, "host_key_files": {"type": "list", "elements": "path", "default": [], "no_log": False},
        },
        required_if=[("side", "receiver", ["dir"])],
        supports_check_mode=True,
    )
    try:
        finish(module, pull_access(Request(check_mode=module.check_mode, **module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
