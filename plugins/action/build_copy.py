# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of module build_copy: shows its progress, and attaches to a worker that outlived its controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.plugin_utils.long_action import LongAction


class ActionModule(LongAction):
    """Runs the module as a long one."""

    MODULE = "dihya.migration.build_copy"
    LABEL = "copy"

    def _run_watched(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """A look at the times of the files costs less than to start a worker for it, which is for what has to be read."""
        if _may_be_a_look(args):
            if args.get("lease_file"):
                self._make_directories(args, variables)
            seen = self._run_plainly({**args, "only_look": True, "progress_file": None}, variables)
            if seen.get("failed") or seen.get("reused"):
                return seen
        return super()._run_watched(args, variables)


def _may_be_a_look(args: Mapping[str, Any]) -> bool:
    return args.get("reuse_by") == "change_time" and not args.get("copies") and not args.get("buckets")
