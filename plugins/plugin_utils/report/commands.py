# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands that go on with a migration or undo it, as the operator would type them. Pure but for one look at a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

COLLECTION = "dihya.migration"


def command_for(purpose: str, playbook: str, inventories: Sequence[str]) -> str:
    """``ansible-playbook`` for ``purpose`` (migrate, commit, rollback), given how this run was started.

    Without the name of this run's playbook (some launchers hide it) the collection's own is named. Extra variables are
    never repeated: they may hold secrets.
    """
    inventory = [part for source in inventories for part in ("-i", shlex.quote(source))]
    return " ".join(["ansible-playbook", shlex.quote(_playbook(purpose, playbook)), *inventory])


def _playbook(purpose: str, playbook: str) -> str:
    own = f"{COLLECTION}.{purpose}"
    if purpose == "migrate" and playbook:
        return playbook
    directory, name = os.path.split(playbook)
    sibling = os.path.join(directory, purpose + os.path.splitext(name)[1])
    return sibling if name.endswith((".yml", ".yaml")) and os.path.isfile(sibling) else own
