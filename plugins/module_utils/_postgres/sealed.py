# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Encrypted backups: what stands against them, in the words of the inventory, and their JSON parts, encrypted or not."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _age
from ansible_collections.dihya.migration.plugins.module_utils._age import SUFFIX, Problem, Seal, unseal
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._manifest import damaged_files


def problems(how: Seal | None, identity: str | None, needed: bool = False) -> list[Problem]:
    """What :func:`_age.problems` finds, with the role's variables as subjects."""
    return [(f"postgresql_backup_{subject}", text, remedy) for subject, text, remedy in _age.problems(how, identity, needed)]


def read_part(directory: str, manifest: dict[str, Any], name: str, identity: str | None) -> Any:
    """The JSON value of the part ``name`` (``globals.json``, ``capture.json``) of a backup, encrypted or not."""
    if not manifest.get("encryption"):
        return manifest["capture"] if name == "capture.json" else read_json(os.path.join(directory, name))
    if not identity:
        raise MigrationError(f"the backup {directory} is encrypted: lend the identity of one of its recipients", subject="identity")
    if damaged_files(directory, [entry for entry in manifest["files"] if entry["path"] == name + SUFFIX]):
        raise MigrationError(f"the backup {directory} is damaged: {name}{SUFFIX}", damaged=[name + SUFFIX], subject="backup")
    return json.loads(unseal(os.path.join(directory, name + SUFFIX), identity))
