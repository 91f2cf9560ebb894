# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One thing that preflight looks at, and what every look says in the same way."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id

Finding = Optional[tuple[str, str]]
"""What is wrong and how to put it right, None when all is well."""


@dataclass
class Look:
    """One thing to look at; ``value`` as given, ``facts`` collects what was measured."""

    check: str
    subject: str
    value: Any
    contains: list[str]
    bytes: int
    pid_file: str | None
    chdir: str | None
    facts: dict[str, Any]
    recipients: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    digest: bool = False
    made: str | None = None
    stale: dict[str, str] | None = None
    releases: str | None = None
    made_for: str | None = None


def free_room(look: Look, directory: str) -> int:
    """The bytes that are free for ``directory``, kept with its file system, the same for all directories of this machine that share it."""
    free = shutil.disk_usage(directory).free
    look.facts.update(free_bytes=free, filesystem=f"{boot_id()} {os.stat(directory).st_dev}")
    return free
