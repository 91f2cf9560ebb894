# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Option specifications that the modules for trees share, and how they end."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._age import SEAL_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._tree.sealing import SECRETS

SOURCE: dict[str, Any] = {
    "exclude": {"type": "list", "elements": "str", "default": []},
    "source_host": {"type": "dict", "options": {
        "host": {"type": "str", "required": True},
        "user": {"type": "str", "required": True},
        "port": {"type": "int", "default": 22},
        "identity": {"type": "path", "required": True, "no_log": False},  # the path of a key, not the key
        "known_hosts": {"type": "path", "required": True},
        "outside_links": {"type": "bool", "default": False},
    }},
}
ENCRYPT: dict[str, Any] = {"patterns": {"type": "list", "elements": "str", "default": list(SECRETS)}, **SEAL_SPEC}
BUCKET: dict[str, Any] = {
    "remote": {"type": "str", "required": True},
    "config": {"type": "path", "required": True, "no_log": False},  # the path of credentials, not the credentials
}


def finish(module: AnsibleModule, result: dict[str, Any]) -> None:
    """Leave with ``result``: its warnings through Ansible, its diff only when it was asked for."""
    for warning in result.pop("warnings", []):
        module.warn(warning)
    diff = result.pop("diff", None)
    if module._diff and diff is not None:  # Ansible has no other way to ask
        result["diff"] = diff
    module.exit_json(**result)
