# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of module pg_schema: shows its progress, and attaches to a worker that outlived its controller."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.plugin_utils.long_action import LongAction


class ActionModule(LongAction):
    """Runs the module as a long one."""

    MODULE = "dihya.migration.pg_schema"
    LABEL = "postgresql"
