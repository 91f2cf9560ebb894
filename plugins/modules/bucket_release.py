#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module bucket_release: option specification and nothing else; the engine is _bucket/release.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bucket_release
short_description: Deploy a static site into a bucket (S3, MinIO) and take it back
version_added: 0.1.0
description:
  - Puts the files of a build into a bucket that serves them, through C(rclone) 1.59 or later, which must be installed on this host.
    What is there already with the right bytes and headers is not sent again.
  - What a page loads goes before the page. Files with a digest in their names come first, then other files; when these were read back
    from the store, pages, C(index.html), and workers of the browser (C(sw.js) and the like) in this order. An object appears whole or
    not at all.
  - Each object gets the C(Content-Type) of its ending. Files with a digest in their names (O(assets)) get
    C(Cache-Control) C(public, max-age=31536000, immutable), all others C(no-cache). Content is not compressed.
  - Everything is proved by reading it from the store, every byte of every object, and the headers.
  - What was in the bucket before is saved first (O(state=saved)) and brought back exactly by O(state=rolled_back), bytes and headers.
  - Files with a digest in their names that were there before stay, for browsers that still hold the old page.
options:
  bucket:
    description: The place that serves the site. What makes it public, a policy or the C(acl) of the configuration, is not touched.
    type: dict
    required: true
    suboptions:
      remote:
        description: Remote, bucket and prefix, for instance C(cloud:www.crm.example). The bucket must exist.
        type: str
        required: true
      config:
        description:
          - Path, on this host, of the configuration of rclone that has the remote with its credentials. Only its owner may be able to
            read it. Credentials are never arguments, and C(RCLONE_*) of the environment is not read.
        type: path
        required: true
  name:
    description: The release; letters, digits and C(. _ + -).
    type: str
    required: true
  state:
    description:
      - V(probed) looks for what stands against a release and returns it as C(findings). Outside of check mode a small object without
        meaning is put, read with its headers, and removed.
      - V(saved) copies what the bucket holds to O(dest), proved by reading both. Once the release is being put, that copy is kept.
      - V(present) puts the release. With O(public), only its files whose names have a digest and were not there before, which nobody
        asks for yet.
      - V(activated) puts all of it that is not there.
      - V(rolled_back) brings back what was saved. Objects that others have put or changed since are left alone and counted.
    type: str
    choices: [probed, saved, present, activated, rolled_back]
    required: true
  record_file:
    description: Path of a file on this host, mode 0600, that says what was put. A release that was killed goes on and comes back by it.
    type: path
    required: true
  dest:
    description: Directory for the copy of before. Required with O(state=saved); with O(state=probed) its room is looked at.
    type: path
  src:
    description: Directory of the build. Required with O(state=present) and O(state=activated). Links in it are refused.
    type: path
  exclude:
    description: Names to leave out, as of M(dihya.migration.release).
    type: list
    elements: str
    default: []
  assets:
    description:
      - Directories of the build whose files have a digest in their names. A file below them that does not look like that, or that was
        in the bucket with another content, is sent like any other.
    type: list
    elements: str
    default: []
  assets_from:
    description: A copy of a live build that M(dihya.migration.build_copy) made, whose O(assets) that the build lacks are put too.
    type: path
  public:
    description:
      - Whether users are served from the bucket now. With O(state=probed), a bucket that holds anything must say so.
    type: bool
  remove_others:
    description:
      - Whether other objects of before that the build lacks are removed when the release is put. They are saved and come back.
        Otherwise they are still served, which is told.
    type: bool
    default: false
  apart_from:
    description: Remotes of backups, which must not be where the site is; looked at with O(state=probed).
    type: list
    elements: str
    default: []
  subject:
    description: The variable that a finding names.
    type: str
    default: bucket
  progress_file:
    description: Path of a file that tells how far it is.
    type: path
  lease_file:
    description: Path of a lock file that makes sure of one worker.
    type: path
  run_id:
    description: The run that holds the lease.
    type: str
extends_documentation_fragment:
  - dihya.migration.tree
notes:
  - Nobody else may write to the place while a release is put. An object that is neither as it was saved nor of the release is refused.
  - Access rights (ACL), tags and versions of single objects are not saved, and the store gives every object that is put back a new time.
seealso:
  - module: dihya.migration.release
  - module: dihya.migration.build_copy
author: Dihya Migration contributors (@dihya)
"""

EXAMPLES = r"""
- name: Save what is there
  dihya.migration.bucket_release:
    bucket: {remote: "cloud:www.crm.example", config: /etc/dihya-migration/rclone.conf}
    name: "2.4.0"
    record_file: /var/lib/dihya-migration/crm/bucket.json
    dest: /backup/crm
    state: saved

- name: Put the release
  dihya.migration.bucket_release:
    bucket: {remote: "cloud:www.crm.example", config: /etc/dihya-migration/rclone.conf}
    name: "2.4.0"
    record_file: /var/lib/dihya-migration/crm/bucket.json
    src: /build/crm/dist
    assets: [assets]
    state: activated

- name: Go back to what was there
  dihya.migration.bucket_release:
    bucket: {remote: "cloud:www.crm.example", config: /etc/dihya-migration/rclone.conf}
    name: "2.4.0"
    record_file: /var/lib/dihya-migration/crm/bucket.json
    state: rolled_back
"""

RETURN = r"""
findings:
  description: What stands against a release (C(subject), C(finding), C(remedy), C(blocking)).
  returned: with O(state=probed)
  type: list
  elements: dict
path:
  description: The copy of what was there before; its files are in C(tree/) below, their headers in C(manifest.json).
  returned: with another state than V(probed)
  type: str
files:
  description: Number of objects in the bucket, or that would be in it.
  returned: when the bucket can be used
  type: int
bytes:
  description: Their size in bytes.
  returned: when the bucket can be used
  type: int
sha256:
  description: Digest of the site (names, sizes, contents, headers).
  returned: with another state than V(probed)
  type: str
put:
  description: Number of objects put.
  returned: with another state than V(probed)
  type: int
removed:
  description: Number of objects removed.
  returned: with another state than V(probed)
  type: int
left:
  description: Number of objects of before, or with O(state=rolled_back) of others, that were left alone.
  returned: with another state than V(probed)
  type: int
duration:
  description: Seconds.
  returned: with another state than V(probed)
  type: float
journal:
  description: The result in the form of the journal.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._bucket.record import Request
from ansible_collections.dihya.migration.plugins.module_utils._bucket.release import bucket_release
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.arguments import BUCKET, finish


def main() -> None:
    """Read the options, do it, say what was done."""
    module = AnsibleModule(
        argument_spec={
            "bucket": {"type": "dict", "required": True, "options": BUCKET}, "name": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["probed", "saved", "present", "activated", "rolled_back"]},
            "record_file": {"type": "path", "required": True}, "dest": {"type": "path"}, "src": {"type": "path"},
            "exclude": {"type": "list", "elements": "str", "default": []}, "assets": {"type": "list", "elements": "str", "default": []},
            "assets_from": {"type": "path"}, "public": {"type": "bool"}, "remove_others": {"type": "bool", "default": False},
            "apart_from": {"type": "list", "elements": "str", "default": []}, "subject": {"type": "str", "default": "bucket"},
            "progress_file": {"type": "path"}, "lease_file": {"type": "path"}, "run_id": {"type": "str"},
        },
        required_by={"lease_file": "run_id"},
        required_if=[("state", "saved", ["dest"]), ("state", "present", ["src"]), ("state", "activated", ["src"])],
        supports_check_mode=True,
    )
    try:
        finish(module, bucket_release(Request(check_mode=module.check_mode, **module.params)))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
