#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module mobile_info: option specification and nothing else; the engine is _mobile/info.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mobile_info
short_description: Read signed packages and F-Droid repositories, and find what stands against publishing
description:
  - Reads an APK with C(aapt) and C(apksigner), an app bundle with C(aapt2), C(aapt), C(jarsigner) and C(keytool), an F-Droid
    repository as its clients read it, and the translations of a Flutter project.
  - Compares them with what is published, changes nothing, and returns all findings at once.
  - Never fails because of a finding; the caller decides.
extends_documentation_fragment: [dihya.migration.app]
options:
  package:
    description: The package to publish, an APK or an AAB.
    type: path
  subject:
    description: The variable that findings about O(package) name.
    type: str
    default: mobile_apk
  application:
    description: Identifier of the application, which O(package) must have and whose versions are read from O(repository).
    type: str
  published_package:
    description: The package that is published now, to compare with.
    type: path
  published:
    description: Facts of the published package instead, as RV(repository) of an earlier call lists its versions.
    type: dict
  first_publication:
    description: Nothing is published yet, so that there is nothing to compare with.
    type: bool
    default: false
  repository:
    description: Directory of an F-Droid repository, the one with C(index-v1.jar).
    type: path
  verify_signature:
    description: Whether the signatures of the indexes of O(repository) are verified, which needs C(jarsigner) and C(keytool).
    type: bool
    default: true
  repository_certificate:
    description: SHA-256 of the certificate with which the indexes of O(repository) must be signed. Any by default.
    type: str
  before:
    description: Versions that O(repository) must still list, as RV(repository) of an earlier call gives them.
    type: list
    elements: dict
    default: []
  compare:
    description:
      - V(update) means that devices with the published version take O(package) as its update. It has the same certificate,
        a greater version code, and no permission that is neither published nor in O(allowed_permissions).
      - V(listed) means that the signed indexes of O(repository) list exactly O(package), and everything in O(before).
    type: list
    elements: str
    choices: [update, listed]
    default: []
  allowed_permissions:
    description: Permissions that O(package) may have though the published version has not.
    type: list
    elements: str
    default: []
  pubspec:
    description: The C(pubspec.yaml) of which O(package) is built. Its version is compared while there is no O(package) yet, then with it.
    type: path
  translations:
    description: Application resource bundles that must have the keys and placeholders of their template.
    type: dict
    suboptions:
      subject:
        description: The variable that a finding names.
        type: str
        default: mobile_l10n_path
      directory:
        description: Directory of the bundles.
        type: path
        required: true
      template:
        description: Name of the template, which ends with C(_LANGUAGE.arb).
        type: str
        required: true
      languages:
        description: Languages that must be there.
        type: list
        elements: str
        required: true
  tree:
    description: A directory whose digest is wanted. One that M(dihya.migration.release) staged must still have the digest it had then.
    type: path
  fdroid_path:
    description:
      - Directory of fdroidserver with C(config.yml), which must name a keystore, keep its secrets to its owner and archive nothing.
    type: path
  programs:
    description: Programs that must be there.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name or path.
        type: str
        required: true
      subject:
        description: The variable that a finding names.
        type: str
        required: true
      remedy:
        description: How to put it right.
        type: str
        required: true
  secret_files:
    description: Files with secrets. They must be readable, and by nobody but their owner; their content is not read.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      subject:
        description: The variable that a finding names.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: May this package replace the published one?
  dihya.migration.mobile_info:
    package: /build/shop-1.5.apk
    application: org.example.shop
    published_package: /srv/fdroid/repo/org.example.shop_7.apk
    compare: [update]
    allowed_permissions: [android.permission.CAMERA]
  register: result
  failed_when: result.findings | length > 0
"""

RETURN = r"""
msg:
  description: What was read, or what must be corrected.
  returned: always
  type: str
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
package:
  description: >-
    C(path), C(kind) (C(apk) or C(appbundle)), C(sha256), C(size) in bytes, C(application), C(version_code), C(version_name),
    C(permissions), C(min_sdk), C(target_sdk), C(debuggable), C(schemes) that verified, and the C(certificates) as SHA-256.
  returned: when O(package) could be read, else null
  type: dict
published:
  description: The same of O(published_package).
  returned: when it could be read, else null
  type: dict
repository:
  description: >-
    C(path), C(timestamp) in milliseconds, C(certificate) of the index as SHA-256, C(versions) of O(application), the newest first
    (C(version_code), C(version_name), C(file), C(sha256), C(certificates), C(permissions)), C(problems), C(tree_sha256), C(files) and
    C(bytes).
  returned: when O(repository) could be read, else null
  type: dict
tree:
  description: C(tree_sha256) (empty when there is no directory), C(staged_sha256), C(files) and C(bytes) of O(tree).
  returned: when O(tree) is given, else null
  type: dict
journal:
  description: Facts for the journal.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._mobile.info import info

TEXT = {"type": "str"}
WANTED = {"type": "str", "required": True}
PATH = {"type": "path"}
NAMES = {"type": "list", "elements": "str"}
SECRET = {"path": {"type": "path", "required": True}, "subject": WANTED}  # the path, never the content
TRANSLATIONS = {
    "subject": {"type": "str", "default": "mobile_l10n_path"}, "directory": {"type": "path", "required": True}, "template": WANTED,
    "languages": {**NAMES, "required": True},
}
ARGUMENTS = {
    "package": PATH, "subject": {"type": "str", "default": "mobile_apk"}, "application": TEXT, "published_package": PATH,
    "published": {"type": "dict"}, "first_publication": {"type": "bool", "default": False}, "repository": PATH,
    "verify_signature": {"type": "bool", "default": True}, "repository_certificate": TEXT,
    "before": {"type": "list", "elements": "dict", "default": []},
    "compare": {**NAMES, "choices": ["update", "listed"], "default": []}, "allowed_permissions": {**NAMES, "default": []},
    "pubspec": PATH, "translations": {"type": "dict", "options": TRANSLATIONS}, "tree": PATH, "fdroid_path": PATH,
    "programs": {"type": "list", "elements": "dict", "default": [],
                 "options": {"name": WANTED, "subject": WANTED, "remedy": WANTED}},
    "secret_files": {"type": "list", "elements": "dict", "default": [], "options": SECRET, "no_log": False},
}


def main() -> None:
    """Read the options, look, say what was found."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**info(module.params))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
