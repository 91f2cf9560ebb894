# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A verb that leaves a line behind: one task, because tests of whole transactions pass hundreds of them."""

from __future__ import annotations

import pathlib
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Append ``line`` to ``path`` here on the controller, and reach the host where ``touch`` wants it."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do as the options say; that a host is lost is seen by a ping as by any module."""
        wanted = self._task.args
        with pathlib.Path(wanted["path"]).open("a", encoding="utf-8") as trace:
            trace.write(wanted["line"] + "\n")
        return self._execute_module(module_name="ansible.builtin.ping", module_args={}, task_vars=task_vars) if wanted["touch"] else {}
