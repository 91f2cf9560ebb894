# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Encrypted backups: what stands against them, in the words of the inventory, and their JSON parts, encrypted or not."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _age
from ansible_collections.dihya.migration.plugins.module_utils._age import SUFFIX, Problem, Seal, check_sealed, seal, unseal
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._manifest import damaged_files


def problems(how: Seal | None, identity: str | None, needed: bool = False) -> list[Problem]:
    """What :func:`_age.problems` finds, with the role's variables as subjects."""
    return [(f"postgresql_backup_{subject}", text, remedy) for subject, text, remedy in _age.problems(how, identity, needed)]


def keep_part(how: Seal | None, directory: str, name: str, value: Any) -> None:
    """Write a JSON part of the backup that is made in ``directory``, encrypted when the backup is."""
    path = os.path.join(directory, name)
    if how is None:
        publish_json(path, value)
        return
    seal(json.dumps(value).encode("ascii"), path + SUFFIX, how)
    check_sealed(path + SUFFIX, how)


def has_part(manifest: dict[str, Any], name: str) -> bool:
    """Whether a backup holds the part ``name``."""
    return any(entry["path"] in (name, name + SUFFIX) for entry in manifest["files"])


def read_part(directory: str, manifest: dict[str, Any], name: str, identity: str | None) -> Any:
    """The JSON value of the part ``name`` (``globals.json``, ``capture.json``) of a backup, encrypted or not."""
    encrypted = bool(manifest.get("encryption"))
    if name == "capture.json" and not encrypted:
        return manifest["capture"]
    if encrypted and not identity:
        raise MigrationError(f"the backup {directory} is encrypted: lend the identity of one of its recipients", subject="identity")
    file = name + SUFFIX if encrypted else name
    if damaged_files(directory, [entry for entry in manifest["files"] if entry["path"] == file]):
        raise MigrationError(f"the backup {directory} is damaged: {file}", damaged=[file], subject="backup")
    path = os.path.join(directory, file)
    return json.loads(unseal(path, str(identity))) if encrypted else read_json(path)
