# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Let Ansible's processes keep their garbage: each worker lives for one task and each module for less, and ends with all of it.

A collection in a worker reads every object that it shares with the controller, and so copies the pages they lie in. ``dev/setup.py``
puts this into ``.venv`` beside ``keep_compiled``: a migration takes a tenth less of the processors. It is no part of the collection.
"""

from __future__ import annotations

import gc
import os
import sys

SELDOM = (50_000, 20, 100)
"""Thresholds of the three generations, 700, 10 and 10 by default."""


def relax(arguments: list[str]) -> None:
    """Collect seldom where ``arguments`` start Ansible or a module, which comes on standard input, and not at all in a worker."""
    controller = any(os.path.basename(argument).startswith("ansible") for argument in arguments[:3])
    if controller:
        os.register_at_fork(after_in_child=gc.disable)
    if controller or len(arguments) == 1:
        gc.set_threshold(*SELDOM)


relax(sys.orig_argv)
