#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module cache_headers: option specification and nothing else; the engine is _pages/cache_headers.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_headers
short_description: Prove what a server lets browsers keep of a single-page application
description:
  - Asks for a page and for the files with a digest in their names that it loads from the same server, at most 20.
  - The page is right when browsers must ask before they show it again. Its C(Cache-Control) says C(no-cache), C(no-store) or C(max-age=0).
    Otherwise users go on with the old release.
  - Such a file is right when browsers may keep it for O(seconds), or for good (C(immutable)). Otherwise every visit loads it again.
  - A header that was right in O(baseline) and is wrong now is refused, and so is a file that the server
    does not have, or answers with a page. Others are told.
  - In check mode, tells all of this and fails for none of it.
extends_documentation_fragment: [dihya.migration.app]
options:
  url:
    description: Address of the page.
    type: str
    required: true
  ca:
    description: PEM file of the authority of O(url).
    type: path
  seconds:
    description: How long browsers must be allowed to keep a file whose name changes with its content.
    type: int
    default: 604800
  judge:
    description: Whether anything is refused or told, or only recorded.
    type: bool
    default: true
  required:
    description: Whether a wrong header is refused whatever O(baseline) says.
    type: bool
    default: false
  baseline:
    description: Record (O(dest)) of the old site.
    type: path
  dest:
    description: File for the record (JSON, mode 0600). Its directory is made with mode 0700 when it is missing.
    type: path
    required: true
  timeout:
    description: Seconds for each step of a connection.
    type: float
    default: 10
  subject:
    description: The variable that a finding names.
    type: str
    default: url
"""

EXAMPLES = r"""
- name: Refuse a new site whose pages browsers would keep though the old one's they did not
  dihya.migration.cache_headers:
    url: https://new.crm.example/
    baseline: /var/lib/dihya-migration/crm-2026/quality/cache-before.json
    dest: /var/lib/dihya-migration/crm-2026/quality/cache-after.json
"""

RETURN = r"""
msg:
  description: What was read; what became worse, and what to do.
  returned: always
  type: str
page:
  description: The page (C(url)), its C(Cache-Control) (C(header), null without one), and whether that is C(right).
  returned: when it answered
  type: dict
assets:
  description: The same of the files with a digest in their names, with their C(status), and whether each is C(html).
  returned: when the page answered
  type: list
  elements: dict
findings:
  description: That the page does not answer, in check mode (C(subject), C(finding), C(remedy), C(blocking)).
  returned: success
  type: list
  elements: dict
journal:
  description: Facts for the journal.
  returned: when the page answered, and in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._pages.cache_headers import measure

ARGUMENTS = {
    "url": {"type": "str", "required": True}, "ca": {"type": "path"}, "seconds": {"type": "int", "default": 604800},
    "judge": {"type": "bool", "default": True}, "required": {"type": "bool", "default": False}, "baseline": {"type": "path"},
    "dest": {"type": "path", "required": True}, "timeout": {"type": "float", "default": 10}, "subject": {"type": "str", "default": "url"},
}


def main() -> None:
    """Read the options, ask, say what the server sends."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**measure(module.params, module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
