# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of module pg_freeze: never two at once; one that outlived its controller is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.plugin_utils.long_action import LongAction


class ActionModule(LongAction):
    """Runs the module as any other, with a lease by which a rollback finds it and ends it first."""

    MODULE = "dihya.migration.pg_freeze"
    LABEL = "postgresql"

    def _takes_long(self, args: Mapping[str, Any]) -> bool:
        return False
