# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands that go on with a migration or undo it, as the operator would type them. Pure but for one look at a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

COLLECTION = "dihya.migration"
OTHERS = ("backup", "verify", "commit", "rollback", "status", "report", "init")
"""Playbooks of the collection that do not migrate; any other name may be a user's own that does."""


def command_for(purpose: str, playbook: str, inventories: Sequence[str]) -> str:
    """``ansible-playbook`` for ``purpose`` (migrate, commit, rollback), given how this run was started.

    Without the name of this run's playbook (some launchers hide it) the collection's own is named. Extra variables are
    never repeated: they may hold secrets.
    """
    inventory = [part for source in inventories for part in ("-i", shlex.quote(source))]
    return " ".join(["ansible-playbook", shlex.quote(_playbook(purpose, playbook)), *inventory])


def _playbook(purpose: str, playbook: str) -> str:
    directory, name = os.path.split(playbook)
    stem, extension = os.path.splitext(name) if name.endswith((".yml", ".yaml")) else (name, "")
    if purpose == "migrate" and playbook and stem.removeprefix(f"{COLLECTION}.") not in OTHERS:
        return playbook
    sibling = os.path.join(directory, purpose + extension)
    return sibling if extension and os.path.isfile(sibling) else f"{COLLECTION}.{purpose}"


def hints_for(playbook: str, inventories: Sequence[str]) -> dict[str, str]:
    """The commands of a report's reader, by name: ``resume``, ``commit``, ``rollback``."""
    purposes = {"resume": "migrate", "commit": "commit", "rollback": "rollback"}
    return {name: command_for(purpose, playbook, inventories) for name, purpose in purposes.items()}


def started_with(arguments: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Playbook and inventories from Ansible's own command line arguments."""
    playbook = next(iter(arguments.get("args") or ()), "")
    return playbook, [source for source in arguments.get("inventory") or () if isinstance(source, str)]
