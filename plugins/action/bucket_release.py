# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of module bucket_release: shows its progress, and attaches to a worker that outlived its controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.plugin_utils.long_action import LongAction


class ActionModule(LongAction):
    """Runs the module as a long one."""

    MODULE = "dihya.migration.bucket_release"
    LABEL = "bucket"

    def _takes_long(self, args: Mapping[str, Any]) -> bool:
        """A look does not."""
        return args.get("state") != "probed"
