# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which backups may go, and how they go.

Only a directory that we made may: our manifest is in it, of the same name and migration, and it says the device and
inode that the directory has (a copy or a restored one has others). A backup goes by a rename to a dead name and is
erased after it, its manifest last, so that a removal cut short shows no backup and is finished by a later run.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory
from ansible_collections.dihya.migration.plugins.module_utils._manifest import NAME, damaged_files, read_manifest

DEAD = ".dead-"
# Majors that a drill notes in the manifest: on which all of a backup could be restored, or all but what was left out by choice.
WHOLLY, PARTLY = "restorable_on", "partly_restorable_on"
DAY = 86400.0
STAMP = r"_\d{4}-\d\d-\d\d_\d{4}(-\d+)?$"


@dataclass(frozen=True)
class Policy:
    """What stays below ``root`` of the backups ``name`` of ``migration``: the newest ``keep`` verified ones, and all
    younger than ``expires`` days. 0 is no limit; with both 0 everything stays."""

    root: str
    name: str
    kind: str
    migration: str | None = None
    keep: int = 0
    expires: int = 0

    def made_by_us(self, path: str) -> dict[str, Any] | None:
        """The manifest of the directory ``path`` when it is a backup of this policy, made in this very directory."""
        try:
            manifest, found = read_manifest(path, self.kind), os.lstat(path)
        except (MigrationError, OSError):
            return None
        same = (manifest.get("name"), manifest.get("migration")) == (self.name, self.migration)
        return manifest if same and manifest.get("identity") == identity(found) else None


@dataclass(frozen=True)
class Found:
    """A complete backup; ``age`` in days. ``path`` None stands for the one that a check mode would make."""

    path: str | None
    age: float
    drilled: bool = False
    files: list[dict[str, Any]] = field(default_factory=list)

    def intact(self) -> bool:
        """Whether every byte of it is still there: it is read."""
        return self.path is None or not damaged_files(self.path, self.files)


def identity(found: os.stat_result) -> dict[str, int]:
    """What tells a directory from a copy of it."""
    return {"device": found.st_dev, "inode": found.st_ino}


def list_backups(policy: Policy) -> tuple[list[Found], list[str]]:
    """The backups of ``policy``, oldest first, and names of directories that look like one but were not made by us."""
    found, foreign = [], []
    now = datetime.datetime.now(datetime.timezone.utc)
    for entry in sorted(os.listdir(policy.root)) if os.path.isdir(policy.root) else []:
        if not re.fullmatch(re.escape(policy.name) + STAMP, entry):
            continue
        path = os.path.join(policy.root, entry)
        manifest = policy.made_by_us(path)
        created = moment(manifest["created"]) if manifest else None
        if manifest is None or created is None:
            foreign.append(entry)
            continue
        drilled = bool(manifest.get(WHOLLY) or manifest.get(PARTLY))
        found.append(Found(path, (now - created).total_seconds() / DAY, drilled, manifest["files"]))
    return sorted(found, key=lambda backup: -backup.age), foreign


def moment(text: Any) -> datetime.datetime | None:
    """The time that a manifest says, None when it is none."""
    with contextlib.suppress(TypeError, ValueError):
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return None


def expired(backups: list[Found], policy: Policy, intact: Callable[[Found], bool] = Found.intact) -> list[Found]:
    """Those of ``backups`` (oldest first) that may go; none unless the newest is intact.

    A damaged one among the newest stays and does not count. The newest intact one that a drill restored always stays.
    """
    if not backups or not (policy.keep > 0 or policy.expires > 0) or not intact(backups[-1]):
        return []
    verified, drilled, gone = 0, False, []
    for backup in reversed(backups):
        needed = verified < max(policy.keep, 1)
        if (needed or (backup.drilled and not drilled)) and intact(backup):
            verified, drilled = verified + 1, drilled or backup.drilled
        elif not needed and backup.age >= policy.expires:
            gone.append(backup)
    return gone[::-1]


def thin_out(policy: Policy) -> dict[str, list[str]]:
    """Remove what may go: ``removed`` paths, and ``left`` with what stayed against the policy, and why."""
    backups, foreign = list_backups(policy)
    removed = []
    left = [f"{entry} was not made here" for entry in foreign]
    for backup in expired(backups, policy):
        path = str(backup.path)
        reason = retire(policy, path)
        if reason:
            left.append(f"{os.path.basename(path)} {reason}")
        else:
            removed.append(path)
    return {"removed": removed, "left": left if policy.keep > 0 or policy.expires > 0 else []}


def would_remove(policy: Policy) -> list[str]:
    """What :func:`thin_out` would remove after one more backup was made."""
    backups, _foreign = list_backups(policy)
    return [str(backup.path) for backup in expired([*backups, Found(None, 0.0)], policy)]


def retire(policy: Policy, path: str) -> str | None:
    """Remove one backup; the reason when it stays (somebody uses it, it was exchanged, the system refuses)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if policy.made_by_us(path) is None or identity(os.fstat(descriptor)) != identity(os.lstat(path)):
            return "was not made here"
        dead = os.path.join(policy.root, DEAD + os.path.basename(path))
        os.rename(path, dead)
        fsync_directory(policy.root)
        erase(dead)
    except BlockingIOError:
        return "is in use"
    except OSError as error:
        return f"cannot be removed: {error.strerror}"
    finally:
        os.close(descriptor)
    return None


def erase(path: str) -> None:
    """Remove a dead backup, its manifest last: until then a later run knows it as ours."""
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != NAME:
            os.unlink(entry.path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(path, NAME))
    os.rmdir(path)


def finish_removals(policy: Policy) -> list[str]:
    """Erase what a killed run had given a dead name; returns the names."""
    finished = []
    for entry in sorted(os.listdir(policy.root)) if os.path.isdir(policy.root) else []:
        path = os.path.join(policy.root, entry)
        if not re.fullmatch(re.escape(DEAD + policy.name) + STAMP, entry) or os.path.islink(path):
            continue
        with contextlib.suppress(OSError):
            if policy.made_by_us(path) is not None:
                erase(path)
            else:
                os.rmdir(path)  # only an empty one, whose manifest had already gone
            finished.append(entry)
    return finished


@contextlib.contextmanager
def in_use(path: str) -> Iterator[None]:
    """Keep the backup ``path`` from being removed for as long as the context; the kernel lets go when we die."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MigrationError(f"the backup {path} cannot be opened: {error.strerror}", subject="backup") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if not os.path.isdir(path):
            raise BlockingIOError
    except BlockingIOError:
        os.close(descriptor)
        raise MigrationError(f"the backup {path} is being removed by another run", subject="backup") from None
    except OSError:
        pass  # a file system without locks: nobody can take the other lock either, so nothing is removed there
    try:
        yield
    finally:
        os.close(descriptor)
