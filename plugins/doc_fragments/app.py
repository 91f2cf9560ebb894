# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that the application modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragments ``dihya.migration.app`` (of modules that look at or run an application) and ``….serving``."""

    DOCUMENTATION = r"""
author: Dihya Migration contributors (@dihya)
version_added: 0.1.0
attributes:
  check_mode:
    support: full
    description: Says what it would do; nothing is written, started or stopped.
  diff_mode:
    support: none
    description: There is no text to compare.
requirements:
  - Linux with Python 3.9 or newer on the managed host
"""

    SERVING = r"""
options:
  port:
    description: TCP port of the application; the result says who listens on it, and a start is refused while a stranger does.
    type: int
  health_url:
    description: Address that answers 200 when the application serves.
    type: str
  health_timeout:
    description: Seconds in which the application must become healthy.
    type: float
    default: 60
  ca:
    description: PEM file of the authority of an https O(health_url); the system's authorities count too.
    type: path
"""
