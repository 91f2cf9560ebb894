#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module build_copy: option specification and nothing else; the engine is _tree/backup.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: build_copy
short_description: Make a timestamped, verified copy of a tree of files
version_added: 0.1.0
description:
  - Copies a build, code, configuration, asset or log tree into C(DEST/NAME_YYYY-MM-DD_HHMM/tree) (UTC; C(-2), C(-3) … when taken),
    with C(manifest.json) beside it, published last.
  - The copy is proved by reading it again from the disk after one sync, with the cache dropped. Modes, owners, times and extended
    attributes (ACLs and capabilities are some) are part of the proof.
  - What the file system or the rights of the user refuse to the copy (an owner, an attribute) is no failure. The manifest has it all
    the same, and a warning and C(not_proved) of the journal count it and name the first.
  - A source that changes while it is copied is refused, and so are sockets, fifos, devices and unreadable files, all named at once.
options:
  src:
    description: The directory to copy; a link to it is followed. With O(source_host) it only names what the forced command sends.
    type: path
    required: true
  dest:
    description:
      - The directory that will hold the copy. Made with mode 0700 when missing.
      - Empty sends a local O(src) to O(buckets) alone, without a copy on this host.
    type: path
    default: ""
  name:
    description: What the copy is called, the last component of O(src) by default.
    type: str
  reuse:
    description:
      - When the newest complete copy of the same name is identical (content, modes, owners, times, extended attributes), keep it
        instead of making another.
        Source and copy are read completely to know it.
    type: bool
    default: true
  reuse_by:
    description:
      - How O(reuse) knows that source and copy are identical. V(content) reads both completely, which proves the copy anew.
      - V(change_time) reads no file. It keeps the copy when every file, link and directory of the source has the inode, the attributes and
        the change time (kept by the kernel, set by nobody) of when it was copied, and the copy has its names, sizes and times. It is no
        evidence for the checklist, sees no decay of the disk, and not what a process writes through a memory map that it had open while
        the copy was made. Where it cannot tell, V(content) decides.
      - V(change_time) needs a local O(src) and O(dest).
    type: str
    choices: [content, change_time]
    default: content
  only_look:
    description:
      - With O(reuse_by=change_time), copy nothing where the change times do not tell that the newest copy can be kept. RV(reused) is false
        then, and the rest of the result what it is in check mode.
      - The action asks this first of its own accord, before it starts a worker for what takes long.
    type: bool
    default: false
  incremental:
    description:
      - Build on the newest complete copy of the same name. A file that is unchanged (mode, owner, time, size, and the digest of the bytes
        that the source holds now) does not travel and is not written again, it becomes a further hard link of the copied file.
        The result is proved like a whole copy, every byte read again from the disk.
      - Files of copies are never edited, and must not be. Of the source no file is ever linked.
      - With O(source_host) the sender reads all its files to tell their digests. A change of nothing but extended attributes is not seen.
    type: bool
    default: false
  tolerate_changes:
    description:
      - Leave out files that change while they are copied, and count them, instead of refusing the source. What is copied is proved all the
        same. For a first pass over a tree that is in use; a second one, when nothing writes there any more, takes the rest.
    type: bool
    default: false
  encrypt:
    description:
      - Store the files that O(encrypt.patterns) name encrypted by the program C(age), which must be installed on this host;
        C(config/.env) becomes C(config/.env.age). They are in clear on no disk of this host at any moment, and the manifest has no
        digest by which their content could be guessed, but one (scrypt, salted) by which a later source can be compared.
      - C(age --decrypt --identity FILE config/.env.age) opens one again. Their names, sizes, owners and times stay readable.
      - A file to encrypt with several names (hard links), or beside one of the same name with C(.age), is refused.
    type: dict
    suboptions:
      patterns:
        description: Which files, as in O(exclude); of a directory all files in it.
        type: list
        elements: str
        default:
          - ".env"
          - ".env.*"
          - "*.pem"
          - "*.key"
          - "*.p12"
          - "*.pfx"
          - "*.jks"
          - "*.keystore"
          - "id_rsa"
          - "id_ecdsa"
          - "id_ed25519"
          - ".netrc"
          - ".pgpass"
          - ".npmrc"
          - ".vault_pass*"
          - "credentials.json"
          - "key.properties"
          - "secrets.y*ml"
      recipients:
        description: Public keys (C(age1…), as C(age-keygen) prints them). Each of them opens every file.
        type: list
        elements: str
        default: []
      recipients_files:
        description: Files on this host with one recipient a line.
        type: list
        elements: path
        default: []
  tell_secrets:
    description:
      - Without O(encrypt), count the files that it would encrypt by default, and say in C(not_proved) of the journal how many lie in clear
        in the copy.
    type: bool
    default: false
  keep:
    description: How many complete copies of this name to keep, the oldest go first. The one just verified is never removed. All by default.
    type: int
  allow_empty:
    description: Accept a tree without a file.
    type: bool
    default: false
  second_copy:
    description:
      - O(src) is a backup and this its second copy. It counts as evidence of the checklist only on another file system.
    type: bool
    default: false
  copies:
    description:
      - Directories that get a second copy each, made from the first one and read again like it.
      - One counts as evidence of the checklist only on another file system than the first copy.
    type: list
    elements: path
    default: []
  buckets:
    description:
      - Places in S3, MinIO or another store that get a second copy each, through rclone, which must be installed on this host.
      - A copy there is C(NAME_YYYY-MM-DD_HHMM/tree.tar), sent in parts and proved by reading it again from the store, and then
        C(manifest.json), put last. C(rclone cat) and GNU tar bring it back exactly. What has no manifest is no copy. What a killed
        upload of this host left is removed by the next one, unfinished uploads of its very objects included; those of other
        objects are nobody's but their sender's, and left alone.
      - The newest complete copy there is kept, as with O(reuse), when it is identical. O(keep) counts in each bucket by itself.
      - Counts as evidence of the checklist.
    type: list
    elements: dict
    default: []
    suboptions:
      remote:
        description: Remote, bucket and prefix, for instance C(backup:shop-backups/2026-11). The bucket must exist.
        type: str
        required: true
      config:
        description:
          - Path, on this host, of the configuration of rclone that has the remote with its credentials. Only its owner may be able to
            read it. Credentials are never arguments, and C(RCLONE_*) of the environment is not read.
        type: path
        required: true
  progress_file:
    description: Path of a file that tells how far the copy is.
    type: path
  lease_file:
    description: Path of a lock file that makes sure of one worker.
    type: path
  run_id:
    description: The run that holds the lease.
    type: str
notes:
  - Owners are kept when run as root, by number, and so are the users and groups of ACLs. The labels of SELinux, IMA and EVM belong to
    the place and are not copied. Holes in sparse files are written out.
extends_documentation_fragment:
  - dihya.migration.tree
  - dihya.migration.tree.source
seealso:
  - module: dihya.migration.pull_access
  - module: dihya.migration.snapshot
author: Dihya Migration contributors (@dihya)
"""

EXAMPLES = r"""
- name: Back up the live build, keep the last five
  dihya.migration.build_copy:
    src: /srv/shop/current
    dest: /backup/shop-2026-11
    name: frontend
    exclude: [node_modules, "*.log"]
    keep: 5

- name: Copy the build, and send it to a bucket
  dihya.migration.build_copy:
    src: /srv/shop/current
    dest: /backup/shop-2026-11
    name: frontend
    keep: 5
    buckets:
      - remote: backup:shop-backups/2026-11
        config: /etc/dihya-migration/rclone.conf

- name: Copy the code, with its secrets encrypted for two people
  dihya.migration.build_copy:
    src: /srv/api
    dest: /backup/shop-2026-11
    encrypt:
      patterns: [".env", "*.pem", config/secrets]
      recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
      recipients_files: [/etc/migration/operators.txt]

- name: Pull the code of the old site to the mover
  dihya.migration.build_copy:
    src: /srv/api
    dest: /backup/shop-2026-11
    name: backend
    source_host:
      host: old.example
      user: deploy
      identity: /var/lib/dihya-migration/shop/pull/id_ed25519
      known_hosts: /var/lib/dihya-migration/shop/pull/known_hosts
"""

RETURN = r"""
path:
  description: The copy, its tree is in C(tree/) below. In check mode the name it would get now.
  returned: always
  type: str
  sample: /backup/shop-2026-11/frontend_2026-11-28_2204
files:
  description: Number of regular files.
  returned: always
  type: int
bytes:
  description: Their size in bytes.
  returned: always
  type: int
encrypted:
  description: How many of the files are stored encrypted.
  returned: always
  type: int
sha256:
  description: Digest of the tree (paths, types, modes, sizes, contents, link targets). Null where check mode cannot know it.
  returned: always
  type: str
reused:
  description: Whether the newest copy is identical and was kept.
  returned: always
  type: bool
left_out:
  description: Number of files left out because of O(tolerate_changes).
  returned: always
  type: int
since_before:
  description: How many files and links were C(added), C(changed) and C(removed) since the newest copy before this one; null without one.
  returned: always
  type: dict
copies:
  description: The second copies, C(path), C(changed), C(reused) and C(manifest) each.
  returned: always, empty in check mode
  type: list
  elements: dict
buckets:
  description: The copies in buckets, C(path), C(changed), C(reused), C(msg), C(manifest_sha256) and C(removed) each.
  returned: always
  type: list
  elements: dict
removed:
  description: Older copies removed because of O(keep).
  returned: always
  type: list
  elements: str
manifest:
  description: Path and SHA-256 of the manifest.
  returned: when a copy exists
  type: dict
duration:
  description: Seconds.
  returned: always
  type: float
journal:
  description: The result in the form of the journal.
  returned: when a copy exists
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.arguments import BUCKET, ENCRYPT, SOURCE, finish
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request, build_copy


def main() -> None:
    """Read the options, make the copy, say what was done."""
    module = AnsibleModule(
        argument_spec=dict(
            SOURCE,
            src={"type": "path", "required": True}, dest={"type": "path", "default": ""}, name={"type": "str"},
            encrypt={"type": "dict", "options": ENCRYPT}, tell_secrets={"type": "bool", "default": False},
            reuse={"type": "bool", "default": True},
            reuse_by={"type": "str", "choices": ["content", "change_time"], "default": "content"},
            only_look={"type": "bool", "default": False}, incremental={"type": "bool", "default": False}, keep={"type": "int"},
            allow_empty={"type": "bool", "default": False}, tolerate_changes={"type": "bool", "default": False},
            second_copy={"type": "bool", "default": False}, copies={"type": "list", "elements": "path", "default": []},
            buckets={"type": "list", "elements": "dict", "default": [], "options": BUCKET},
            progress_file={"type": "path"}, lease_file={"type": "path"}, run_id={"type": "str"},
        ),
        required_by={"lease_file": "run_id"},
        supports_check_mode=True,
    )
    try:
        finish(module, build_copy(Request(check_mode=module.check_mode, **module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
