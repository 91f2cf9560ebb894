# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Test only: the action of module slow_work, impatient."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.plugin_utils import long_action

long_action.EVERY = 0.5
long_action.LOOK_FOR_WORKER = 1.0


class ActionModule(long_action.LongAction):
    """Runs the module as a long one."""

    MODULE = "slow_work"
    LABEL = "slow"
