#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module page_audit: option specification and nothing else; the engine is _pages/audit.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: page_audit
short_description: Audit pages in a real browser, and refuse what became worse
description:
  - Opens every page in every language in Chromium and reads what axe-core finds in it, what the page says of itself to search
    engines and assistive technology (language, direction, title, description, canonical address, robots, alternates), and what it weighs.
  - Keeps a record of the whole site in O(dest). With the record of the old site in O(baseline), a rule that is broken more often than
    there is refused; what the old site broke too is reported and not refused, unless O(budgets) says so.
  - axe-core names the criteria of RGAA 4.1 and WCAG in the tags of its rules. Those that it runs look at about a quarter of the criteria of
    the RGAA, by O(tags) fewer, and at many of these only in part, which every result says.
  - Chromium is driven over pipes, needs no other package and opens no port. Certificates are always verified, O(ca) is trusted in
    addition. Each page is opened without cookies, its content security policy is set aside so that axe-core can look at it.
  - In check mode no browser is started. The programs are looked at, every page is asked for, and what must be corrected is returned.
extends_documentation_fragment: [dihya.migration.app]
requirements:
  - Chromium (or Google Chrome) with C(--remote-debugging-pipe)
  - C(axe.min.js) of the npm package axe-core, 4.14 or newer for the criteria of the RGAA
  - C(certutil) (Debian package libnss3-tools), with O(ca)
options:
  url:
    description: Address of the site, below which the pages lie.
    type: str
    required: true
  pages:
    description: Paths of the pages, each beginning with C(/). C({language}) stands for the language in which the page is opened.
    type: list
    elements: str
    default: [/]
  languages:
    description:
      - Languages in which every page is opened, as BCP 47 tags (V(fr), V(en), V(ar), V(tzm)). The browser asks for that language
        (C(Accept-Language)), and the page must declare it and its direction.
      - C(tzm), C(zgh) and C(ber) are taken for one language. None by default, which judges no language.
    type: list
    elements: str
    default: []
  ca:
    description: PEM file of the authority of O(url); the system's authorities count too.
    type: path
  chromium:
    description: Name or path of the browser.
    type: str
    default: chromium
  axe:
    description: Path of C(axe.min.js).
    type: path
    required: true
  tags:
    description: Tags of the rules of axe-core that are run.
    type: list
    elements: str
    default: [wcag2a, wcag2aa, wcag21a, wcag21aa, RGAAv4]
  seo:
    description:
      - Rules for search engines that are judged.
      - V(seo-title) and V(seo-description) want one that is not empty, V(seo-canonical) one absolute address, V(seo-hreflang) an
        alternate for each of O(languages) on pages with C({language}).
      - V(seo-robots) wants a page that may be indexed (C(meta), C(X-Robots-Tag), and a C(/robots.txt) that does not shut out every
        robot), V(seo-robots-txt) a C(/robots.txt), V(seo-sitemap) a sitemap that lists the pages.
    type: list
    elements: str
    choices: [seo-title, seo-description, seo-canonical, seo-robots, seo-hreflang, seo-robots-txt, seo-sitemap]
    default: [seo-title, seo-description, seo-canonical, seo-robots, seo-hreflang, seo-robots-txt, seo-sitemap]
  impacts:
    description: Impacts whose increase since O(baseline) is refused; one that is not named is reported.
    type: list
    elements: str
    choices: [minor, moderate, serious, critical]
    default: [minor, moderate, serious, critical]
  baseline:
    description: Record (O(dest)) of the old site. It must have been made with the same axe-core, and have all pages and languages.
    type: path
  budgets:
    description: Limits of this site, whatever the old one's were; none by default.
    type: dict
    default: {}
    suboptions:
      violations:
        description: Violations of all pages together.
        type: int
      bytes:
        description: Bytes of each page with everything that it loads, as they come over the network.
        type: int
      requests:
        description: Requests of each page.
        type: int
      growth:
        description: Percent by which a page may weigh more than in O(baseline).
        type: float
  dest:
    description:
      - File for the record (JSON, mode 0600), replaced by every audit. Its directory is made with mode 0700 when it is missing.
      - What the browser prints goes to a file of the same name with C(.log) behind it.
    type: path
    required: true
  timeout:
    description: Seconds for each page.
    type: float
    default: 30
  ask:
    description: Whether every page is asked for in check mode; a site that does not exist yet cannot answer.
    type: bool
    default: true
  subjects:
    description: Variable that findings name instead of an option, by option.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Audit the old site
  dihya.migration.page_audit:
    url: https://old.crm.example
    pages: [/, "/{language}/contact"]
    languages: [fr, en, ar, tzm]
    axe: /opt/page_tools/node_modules/axe-core/axe.min.js
    dest: /var/lib/dihya-migration/crm-2026/quality/pages-before.json

- name: Refuse the new site when it is worse
  dihya.migration.page_audit:
    url: https://new.crm.example
    pages: [/, "/{language}/contact"]
    languages: [fr, en, ar, tzm]
    axe: /opt/page_tools/node_modules/axe-core/axe.min.js
    baseline: /var/lib/dihya-migration/crm-2026/quality/pages-before.json
    dest: /var/lib/dihya-migration/crm-2026/quality/pages-after.json
    budgets: {bytes: 1500000, growth: 10}
"""

RETURN = r"""
msg:
  description: How many violations there are; what is refused and what to do.
  returned: always
  type: str
findings:
  description: What must be corrected before an audit (C(subject), C(finding), C(remedy), C(blocking)).
  returned: in check mode, and when a program is missing
  type: list
  elements: dict
violations:
  description: The first 40, the worst first; the record has all of them.
  returned: when the pages were opened
  type: list
  elements: dict
  contains:
    rule:
      description: Rule of axe-core, or one of this module.
      type: str
      returned: always
    impact:
      description: One of V(minor), V(moderate), V(serious), V(critical).
      type: str
      returned: always
    page:
      description: The page, empty for the whole site.
      type: str
      returned: always
    language:
      description: Language in which it was opened, empty without one.
      type: str
      returned: always
    before:
      description: How often the old site breaks it, null without O(baseline).
      type: int
      returned: always
    after:
      description: How often this site breaks it.
      type: int
      returned: always
    verdict:
      description: V(new) (more often than before), V(known), V(gone), or V(found) without O(baseline).
      type: str
      returned: always
    criteria:
      description: Criteria of RGAA 4.1 and WCAG that it belongs to.
      type: str
      returned: always
counts:
  description: Violated rules by their verdict.
  returned: when the pages were opened
  type: dict
pages:
  description: What each page weighs (C(page), C(language), C(bytes), C(requests)).
  returned: when the pages were opened
  type: list
  elements: dict
criteria:
  description: How many criteria of the RGAA the rules that were run look at (C(covered)) and how many there are (C(total)).
  returned: when the pages were opened
  type: dict
journal:
  description: Facts for the journal.
  returned: when the pages were opened, and in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._pages.audit import audit
from ansible_collections.dihya.migration.plugins.module_utils._pages.compare import IMPACTS
from ansible_collections.dihya.migration.plugins.module_utils._pages.rules import SEO_RULES

NAMES = {"type": "list", "elements": "str"}
BUDGETS = {"violations": {"type": "int"}, "bytes": {"type": "int"}, "requests": {"type": "int"}, "growth": {"type": "float"}}
ARGUMENTS = {
    "url": {"type": "str", "required": True}, "pages": {**NAMES, "default": ["/"]}, "languages": {**NAMES, "default": []},
    "ca": {"type": "path"}, "chromium": {"type": "str", "default": "chromium"}, "axe": {"type": "path", "required": True},
    "tags": {**NAMES, "default": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "RGAAv4"]},
    "seo": {**NAMES, "choices": list(SEO_RULES), "default": list(SEO_RULES)},
    "impacts": {**NAMES, "choices": list(IMPACTS), "default": list(IMPACTS)},
    "baseline": {"type": "path"}, "budgets": {"type": "dict", "default": {}, "options": BUDGETS},
    "dest": {"type": "path", "required": True}, "timeout": {"type": "float", "default": 30}, "ask": {"type": "bool", "default": True},
    "subjects": {"type": "dict", "default": {}},
}


def main() -> None:
    """Read the options, look at the pages, say what was found."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**audit(module.params, module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()
