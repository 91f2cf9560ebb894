#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module lighthouse: option specification and nothing else; the engine is _pages/lighthouse.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lighthouse
short_description: Measure pages with Lighthouse, and refuse scores that dropped
description:
  - Runs Lighthouse on every page and keeps the scores of its categories in O(dest), the median where there are several runs.
  - With the record of the old site in O(baseline), a score that dropped by more than O(drop) is refused.
  - Certificates are always verified, O(ca) is trusted in addition. Lighthouse sends no report of errors.
  - The browser listens on a free port of loopback while Lighthouse measures, which needs one. It ends with the run, a killed one too.
  - In check mode nothing is measured. The programs are looked at, and what must be corrected is returned.
extends_documentation_fragment: [dihya.migration.app]
requirements:
  - Chromium (or Google Chrome)
  - the npm package lighthouse and the Node.js that it asks for (18.16 for Lighthouse 12, 22.19 for 13)
  - C(certutil) (Debian package libnss3-tools), with O(ca)
options:
  url:
    description: Address of the site, below which the pages lie.
    type: str
    required: true
  pages:
    description: Paths of the pages, each beginning with C(/).
    type: list
    elements: str
    default: [/]
  ca:
    description: PEM file of the authority of O(url); the system's authorities count too.
    type: path
  chromium:
    description: Name or path of the browser.
    type: str
    default: chromium
  node:
    description: Name or path of Node.js.
    type: str
    default: node
  package:
    description: Directory of the npm package, C(node_modules/lighthouse).
    type: path
    required: true
  categories:
    description: Categories that are scored.
    type: list
    elements: str
    choices: [performance, accessibility, best-practices, seo]
    default: [performance, accessibility, best-practices, seo]
  runs:
    description: Runs of each page, whose median counts. The score of performance varies from run to run, three make it steadier.
    type: int
    default: 1
  form_factor:
    description: The device that is imitated.
    type: str
    choices: [mobile, desktop]
    default: mobile
  baseline:
    description: Record (O(dest)) of the old site. It must have been made with the same Lighthouse and O(form_factor), and have all pages.
    type: path
  drop:
    description: Points by which the score of a category may be lower than in O(baseline); a category that is not named is only reported.
    type: dict
    default: {performance: 10, accessibility: 0, best-practices: 0, seo: 0}
  minimum:
    description: Points that a category must have, whatever the old site's were; none by default.
    type: dict
    default: {}
  dest:
    description:
      - File for the record (JSON, mode 0600), replaced by every measurement. Its directory is made with mode 0700 when it is missing.
      - What Lighthouse prints goes to a file of the same name with C(.log) behind it, what the browser prints to C(.browser.log).
    type: path
    required: true
  timeout:
    description: Seconds for each run.
    type: float
    default: 180
  subjects:
    description: Variable that findings name instead of an option, by option.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Refuse the new site when its scores dropped
  dihya.migration.lighthouse:
    url: https://new.crm.example
    package: /opt/page_tools/node_modules/lighthouse
    runs: 3
    baseline: /var/lib/dihya-migration/crm-2026/quality/lighthouse-before.json
    dest: /var/lib/dihya-migration/crm-2026/quality/lighthouse-after.json
    drop: {performance: 5, accessibility: 0}
    minimum: {accessibility: 90}
"""

RETURN = r"""
msg:
  description: The lowest scores; which dropped too far, and what to do.
  returned: always
  type: str
findings:
  description: What must be corrected before a measurement (C(subject), C(finding), C(remedy), C(blocking)).
  returned: in check mode, and when a program is missing
  type: list
  elements: dict
scores:
  description: One entry for each page and category.
  returned: when the pages were measured
  type: list
  elements: dict
  contains:
    page:
      description: The page.
      type: str
      returned: always
    language:
      description: Always empty.
      type: str
      returned: always
    what:
      description: The category.
      type: str
      returned: always
    before:
      description: Score of the old site from 0 to 100, null without O(baseline).
      type: float
      returned: always
    after:
      description: Score from 0 to 100.
      type: float
      returned: always
journal:
  description: Facts for the journal.
  returned: when the pages were measured, and in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._pages.lighthouse import measure
from ansible_collections.dihya.migration.plugins.module_utils._pages.scores import CATEGORIES

NAMES = {"type": "list", "elements": "str"}
ARGUMENTS = {
    "url": {"type": "str", "required": True}, "pages": {**NAMES, "default": ["/"]}, "ca": {"type": "path"},
    "chromium": {"type": "str", "default": "chromium"}, "node": {"type": "str", "default": "node"},
    "package": {"type": "path", "required": True},
    "categories": {**NAMES, "choices": list(CATEGORIES), "default": list(CATEGORIES)}, "runs": {"type": "int", "default": 1},
    "form_factor": {"type": "str", "choices": ["mobile", "desktop"], "default": "mobile"}, "baseline": {"type": "path"},
    "drop": {"type": "dict", "default": {"performance": 10, "accessibility": 0, "best-practices": 0, "seo": 0}},
    "minimum": {"type": "dict", "default": {}}, "dest": {"type": "path", "required": True}, "timeout": {"type": "float", "default": 180},
    "subjects": {"type": "dict", "default": {}},
}


def main() -> None:
    """Read the options, measure, say what was found."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**measure(module.params, module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
