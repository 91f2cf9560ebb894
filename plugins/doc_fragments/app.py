# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that the application modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules that look at or run an application, and their journal key."""

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
