# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a backup knows of its source: digests and catalogs that it was made with, or that a proof put beside it afterwards.

The dump of a frozen source is made without: the proof of the restore reads them anyway, and nothing wrote between. They are
not in the manifest, of which the digest was told when the backup was made, but name the files to which they belong.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import SUFFIX, Seal
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import read_manifest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import ALGORITHM
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import KIND
from ansible_collections.dihya.migration.plugins.module_utils._postgres.fence import digest_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.kept_catalog import PART, Kept, comparable, whole
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import has_part, keep_part, read_part

PROOF = "proof.json"
UNDER_WAY = ".proof.json"


def keep_proof(directory: str, tables: Mapping[str, Any], catalogs: Mapping[str, Kept]) -> None:
    """Put what was proved of its source beside the backup ``directory``, encrypted when that is, in the place of an earlier proof."""
    manifest = read_manifest(directory, KIND)
    how = Seal(tuple(manifest["encryption"]["recipients"])) if manifest.get("encryption") else None
    began, done = (os.path.join(directory, name + (SUFFIX if how else "")) for name in (UNDER_WAY, PROOF))
    if os.path.lexists(began):
        os.unlink(began)  # of a run that was killed
    content = {"algorithm": ALGORITHM, "files": digest_of(manifest["files"]), "digests": tables, "catalogs": whole(catalogs)}
    keep_part(how, directory, UNDER_WAY, content)
    os.replace(began, done)


def is_proved(directory: str, manifest: Mapping[str, Any]) -> bool:
    """Whether there are digests to compare with; a backup without databases has none, but was made with."""
    return bool(manifest.get("digest_algorithm")) or any(os.path.exists(os.path.join(directory, PROOF + end)) for end in ("", SUFFIX))


def known_of(directory: str, manifest: dict[str, Any], identity: str | None) -> tuple[str | None, dict[str, Any], dict[str, Kept]]:
    """Algorithm and row digests by database, and catalogs by database as far as they can be compared here."""
    if manifest.get("digest_algorithm") or not is_proved(directory, manifest):
        catalogs = comparable(read_part(directory, manifest, PART, identity)) if has_part(manifest, PART) else {}
        return manifest.get("digest_algorithm"), manifest.get("digests") or {}, catalogs
    proof = read_part(directory, manifest, PROOF, identity)
    if proof["files"] != digest_of(manifest["files"]):
        raise MigrationError(f"the proof beside the backup {directory} is that of another backup", subject="backup")
    return proof["algorithm"], proof["digests"], comparable(proof["catalogs"])
