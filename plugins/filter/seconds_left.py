# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter seconds_left: how much of a maintenance window is left."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._checklist.times import parse

DOCUMENTATION = r"""
name: seconds_left
short_description: How much of a maintenance window is left
version_added: 0.1.0
description: Seconds until the end of a maintenance window, negative when it is over.
options:
  _input:
    description: The window, a dictionary with C(end), a time as in RFC 3339 with its offset.
    type: dict
    required: true
author: Dihya Migration contributors
"""

EXAMPLES = r"""
- name: Stop when the window is over
  ansible.builtin.assert:
    that: migration_window | dihya.migration.seconds_left > 0
"""

RETURN = r"""
_value:
  description: Seconds; more than three years for a window that has no end, or none that can be read.
  type: float
"""

ENDLESS = 1e8


def seconds_left(window: Mapping[str, Any]) -> float:
    """Seconds until ``window["end"]``, :data:`ENDLESS` without one."""
    end = parse((window or {}).get("end"))
    return (end - datetime.datetime.now(datetime.timezone.utc)).total_seconds() if end else ENDLESS


class FilterModule:
    """Tells Ansible the filter's name."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"seconds_left": seconds_left}
