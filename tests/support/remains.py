# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What still runs of what was started for a directory."""

from __future__ import annotations

import contextlib
import os
import pathlib


def processes_of(directory: pathlib.Path) -> list[str]:
    """Processes that work in ``directory`` or below, or whose arguments or environment name it; pid and command line of each."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            line = (process / "cmdline").read_bytes()
            known = [line, (process / "environ").read_bytes(), os.fsencode(os.readlink(process / "cwd"))]
            if int(process.name) != os.getpid() and any(os.fsencode(directory) in text for text in known):
                found.append(f"{process.name} {os.fsdecode(line)!r}")
    return found
