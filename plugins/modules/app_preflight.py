#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at an application's place before anything changes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_preflight
short_description: Find everything that would stop the move of an application
description:
  - Looks at paths, programs, ports and names on one host, changes nothing, and returns all findings at once.
  - Never fails because of a finding; the caller decides.
extends_documentation_fragment: [dihya.migration.app]
options:
  looks:
    description: What to look at.
    type: list
    elements: dict
    required: true
    suboptions:
      check:
        description:
          - V(path) is a plain absolute path, V(name) is safe as one component of a path.
          - V(writable) is a directory that exists or can be made, with O(looks[].bytes) free.
          - V(vacant) is a directory, absent or empty, in whose place another one can be put, with O(looks[].bytes) free. Its parent exists,
            unless it lies below O(looks[].chdir). V(replaceable) is the same, whatever is in it.
          - V(readable) is a tree whose files can all be read, and which holds O(looks[].contains).
          - V(output) is a path at which a command in O(looks[].chdir) may make something anew.
          - V(program) can be executed, V(python) can make a virtual environment, V(file) can be read.
          - V(port) is free, or held by the process of O(looks[].pid_file).
          - V(systemd) means that units can be installed.
          - V(image) names an image by its digest.
          - V(podman) means that containers can be run in this form (V(quadlet), V(podman)), with room for an archive of O(looks[].bytes);
            V(compose) that Docker Compose can run them, likewise.
          - V(backup) is C(DIRECTORY/NAME), whose newest complete copy still has every byte of its manifest.
          - V(bucket) is a dictionary with C(remote) and C(config), as M(dihya.migration.build_copy) takes them, which rclone can list.
          - V(recipients) means that C(age) is installed and takes O(looks[].recipients).
        type: str
        required: true
        choices: [path, name, writable, vacant, replaceable, readable, output, program, python, port, systemd, file, image, podman, compose,
                  backup, bucket, recipients]
      subject:
        description: The variable that a finding names.
        type: str
        required: true
      value:
        description: What to look at.
        type: raw
      contains:
        description: Relative paths that a V(readable) tree must hold.
        type: list
        elements: str
        default: []
      bytes:
        description: What will be written to a V(writable), V(vacant) or V(replaceable) path, or by V(podman).
        type: int
        default: 0
      exclude:
        description: Names in a V(readable) tree that do not matter, as M(dihya.migration.build_copy) takes them.
        type: list
        elements: str
        default: []
      digest:
        description: >-
          Whether to read a V(readable) tree whole, without O(looks[].exclude), for C(sha256), its digest as a release.
        type: bool
        default: false
      made:
        description: >-
          Path of what is going to be made at a V(writable) path, C(*) standing for any name, or the image that is brought for V(podman) or
          V(compose).
          C(made) of RV(seen) says whether the image is there, and needs no room any more, C(made_bytes) how much room has what is there,
          of copies of one name the newest. It is for a tree that has grown since to ask for the rest.
        type: str
      recipients:
        description: Public keys, as M(dihya.migration.build_copy) takes them. Not shown, for one of them may be a secret key by mistake.
        type: list
        elements: str
        default: []
      pid_file:
        description: Record of the process that may hold a V(port).
        type: path
      chdir:
        description: >-
          Directory to which a relative V(program) belongs, or in which V(output) is made; the one below which the parent of a V(vacant)
          path will be made.
        type: path
      stale:
        description: Where it is given, a V(program) is needed only when C(run_checks) would run it for what is stale.
        type: dict
        suboptions:
          made:
            description: The file or directory that it makes, relative to O(looks[].chdir).
            type: path
            required: true
          source:
            description: The file from which it makes it, relative to O(looks[].chdir).
            type: path
            required: true
      releases:
        description: >-
          The application's directory, in whose C(releases) a V(name) may be taken by what was not put there for O(looks[].made_for).
        type: path
      made_for:
        description: As of M(dihya.migration.release).
        type: str
"""

EXAMPLES = r"""
- name: Look at the target
  dihya.migration.app_preflight:
    looks:
      - {check: writable, subject: backend_path, value: /srv/api}
      - {check: port, subject: backend_port, value: 8000, pid_file: /srv/api/shared/run/backend.json}
  register: result
"""

RETURN = r"""
findings:
  description: What must be corrected.
  returned: success
  type: list
  elements: dict
  contains:
    subject:
      description: The variable.
      type: str
      returned: always
    finding:
      description: What is wrong.
      type: str
      returned: always
    remedy:
      description: How to put it right.
      type: str
      returned: always
    blocking:
      description: Always true.
      type: bool
      returned: always
seen:
  description: >-
    What was measured, by subject (C(bytes), C(files), C(room) in whole blocks, C(sha256), C(free_bytes), C(filesystem), C(made),
    C(made_bytes), C(held) by what is replaced, C(python), C(port), C(podman), C(compose), C(path); C(tree) of what is read and
    C(places) of what is written, the same for the same directory by whatever name).
  returned: success
  type: dict
journal:
  description: Facts for the journal.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._app.inspect import CHECKS, inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look

LOOK = {
    "check": {"type": "str", "required": True, "choices": list(CHECKS)},
    "subject": {"type": "str", "required": True},
    "value": {"type": "raw"},
    "contains": {"type": "list", "elements": "str", "default": []},
    "bytes": {"type": "int", "default": 0},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "digest": {"type": "bool", "default": False},
    "made": {"type": "str"},
    "recipients": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "pid_file": {"type": "path", "no_log": False},
    "chdir": {"type": "path"},
    "stale": {"type": "dict", "options": {"made": {"type": "path", "required": True}, "source": {"type": "path", "required": True}}},
    "releases": {"type": "path"},
    "made_for": {"type": "str"},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={"looks": {"type": "list", "elements": "dict", "required": True, "options": LOOK}}, supports_check_mode=True
    )
    looks = [Look(**item, facts={}) for item in module.params["looks"]]
    findings = inspect(looks)
    seen: dict = {}
    for look in looks:
        seen.setdefault(look.subject, {}).update(look.facts)
    summary = f"{len(looks)} things were looked at, {len(findings)} must be corrected"
    written = sorted({look.facts["identity"] for look in looks if "identity" in look.facts})
    journal = {"summary": summary, "changed": False, "identities": written}
    module.exit_json(changed=False, msg=summary, findings=findings, seen=seen, journal=journal)


if __name__ == "__main__":
    main()
