# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backup directories: staged under a hidden name, and published by one rename."""

from __future__ import annotations

import os
import secrets
import shutil
import time

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory, private_directory, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive, this_process

PREFIX = ".partial-"
OWNER = ".owner"  # suffix of the file that tells who works in a staging directory


def final_name(name: str, moment: time.struct_time, taken: set[str]) -> str:
    """``<name>_YYYY-MM-DD_HHMM``, with ``-2``, ``-3``, … where that is taken."""
    base = f"{name}_{time.strftime('%Y-%m-%d_%H%M', moment)}"
    candidates = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def stage(root: str, name: str) -> str:
    """A new private staging directory in ``root``, marked as ours."""
    try:
        private_directory(root)
        path = os.path.join(root, f"{PREFIX}{name}-{secrets.token_hex(6)}")
        publish_json(path + OWNER, this_process())
        os.mkdir(path, 0o700)
    except OSError as error:
        raise MigrationError(f"the backup directory {root} cannot be written: {error.strerror}") from None
    return path


def publish_stage(path: str, root: str, name: str) -> str:
    """Give a finished staging directory its final name and return the final path."""
    fsync_directory(path)
    final = os.path.join(root, final_name(name, time.localtime(), set(os.listdir(root))))
    os.rename(path, final)
    fsync_directory(root)
    os.unlink(path + OWNER)
    return final


def discard_stage(path: str) -> None:
    """Remove a staging directory and its mark; a program that is just ending may still write in it."""
    for _attempt in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            break
        time.sleep(0.1)
    if os.path.lexists(path + OWNER):
        os.unlink(path + OWNER)


def remove_stale(root: str) -> list[str]:
    """Remove what killed runs left in ``root``: staging directories whose marked owner is dead. Returns their names."""
    removed = []
    for entry in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        if not (entry.startswith(PREFIX) and entry.endswith(OWNER)):
            continue
        try:
            owner = read_json(os.path.join(root, entry))
        except (OSError, ValueError):
            continue
        if not is_alive(owner):
            discard_stage(os.path.join(root, entry[: -len(OWNER)]))
            removed.append(entry[: -len(OWNER)])
    return removed
