# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore is asked for, and the backup that it takes: read, checked, adapted to its target."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import refuse
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import NAME, damaged_files, read_manifest, sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import (
    SERVICE_ROLES,
    Adaptation,
    adapt_capture,
    adapt_globals,
    not_carried,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import KIND
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.fence import digest_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import with_capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import nothing_placed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import PARTLY, WHOLLY
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import problems, read_part


@dataclass(frozen=True)
class RestoreRequest:
    """What a restore is asked for; the fields are the options of the module."""

    target: Endpoint
    created_file: str
    backup: str | None = None
    identity: str | None = None
    baseline: str | None = None
    databases: list[str] | None = None
    rename: dict[str, str] = field(default_factory=dict)
    roles: str = "restore"
    pin_settings: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    service_roles: Sequence[str] = SERVICE_ROLES
    leave_out: Sequence[str] = ()
    tablespaces: dict[str, str] = field(default_factory=dict)
    jobs: int = 2
    bin_dir: str | None = None
    progress_file: str | None = None
    application_name: str = "dihya"

    def log(self, name: str) -> str:
        """The 0600 file that keeps what the tool ``name`` prints."""
        return f"{os.path.splitext(self.progress_file or self.created_file)[0]}.{name}.log"

    def settles(self, backup: Backup) -> bool:
        """Whether owners and privileges are given from the capture, not by the archive."""
        return self.roles != "skip" and backup.change.needed


@dataclass(frozen=True)
class Backup:
    """A backup whose every file is as it was written.

    ``seal`` is a digest of its manifest without what a drill notes there, ``file_seal`` the SHA-256 of the file, by which older
    records of what was created know it.
    ``change`` is how it was adapted to its target, ``left`` names what stays behind for that.
    """

    directory: str
    seal: str
    manifest: dict[str, Any]
    globals: dict[str, Any]
    file_seal: str = ""
    change: Adaptation = Adaptation()
    left: tuple[str, ...] = ()

    @property
    def captured(self) -> dict[str, Any]:
        """What was captured of each database, by name."""
        return self.manifest["capture"]["databases"]

    def placed(self, database: str) -> dict[str, Any]:
        """What of ``database`` lay in which tablespace."""
        return self.captured[database].get("placed") or nothing_placed()

    def adapted(self, change: Adaptation) -> Backup:
        """The backup as its target is to be."""
        taken = self.manifest["capture"]
        manifest = dict(self.manifest, capture=adapt_capture(taken, change))
        left = tuple(subject for _kind, subject in not_carried(taken, change))
        return replace(self, manifest=manifest, globals=adapt_globals(self.globals, change), change=change, left=left)


def open_backup(directory: str, identity: str | None = None) -> Backup:
    """Read a backup and check every file of it; raises :class:`MigrationError` naming the damaged ones.

    ``identity`` is the file that opens an encrypted one.
    """
    manifest = read_manifest(directory, KIND)
    if manifest.get("archive") not in ("directory", "sealed"):
        raise MigrationError(f"{directory} is a backup of format {manifest.get('archive')}: restore its backup.sql with "
                             "psql -v ON_ERROR_STOP=1", subject="backup")
    damaged = damaged_files(directory, manifest["files"])
    if damaged:
        raise MigrationError(f"the backup {directory} is damaged, nothing was restored: {', '.join(damaged[:5])}"
                             + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""), damaged=damaged, subject="backup")
    refuse(problems(None, identity if manifest.get("encryption") else None))
    seal = digest_of({key: value for key, value in manifest.items() if key not in (WHOLLY, PARTLY)})
    manifest["capture"] = read_part(directory, manifest, "capture.json", identity)
    source = with_capture(read_part(directory, manifest, "globals.json", identity), manifest["capture"])
    return Backup(directory, seal, manifest, source, sha256_file(os.path.join(directory, NAME)))
