# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of module run_checks: never two at once, and where it may take long, as a worker of which progress is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.dihya.migration.plugins.plugin_utils.long_action import LongAction


class ActionModule(LongAction):
    """Runs the module as a long one where its task says so: for a look of a moment that would cost more than the look."""

    MODULE = "dihya.migration.run_checks"
    LABEL = "checks"

    def _takes_long(self, args: Mapping[str, Any]) -> bool:
        return boolean(args.get("long") or False, strict=False)
