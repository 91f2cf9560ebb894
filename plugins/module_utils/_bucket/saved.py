# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of what a bucket held before: ``frontend-bucket_YYYY-MM-DD_HHMM/tree`` with the files, and their headers in its manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timezone

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._bucket.objects import Site, Stored, digest, weight
from ansible_collections.dihya.migration.plugins.module_utils._bucket.store import Store
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._tree import content, copying, naming, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import first_names, raw, text
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan

KIND, TREE = "bucket", "tree"
NAME = "frontend-bucket"


def save(store: Store, dest: str, progress: Progress) -> tuple[str, Site]:
    """Copy all objects into a new directory of ``dest`` and prove the copy by reading it from the disk; its path, and the objects."""
    listed = store.listing(sweep=True)
    total = sum(one["size"] for one in listed.values())
    progress.begin("read the bucket", total)
    digests = store.digests(listed, progress.advance)
    parent = os.path.realpath(raw(private_directory(dest)))
    with system.locked(parent):
        system.remove_abandoned(parent, raw(NAME))
        stage = system.Stage(parent, raw(NAME))
    try:
        copying.require_bytes(stage.path, total)
        here = os.fsdecode(stage.path)
        tree = os.path.join(here, TREE)
        os.mkdir(tree, 0o700)
        progress.begin("copy the bucket", total)
        store.fetch(listed, tree, progress.advance)
        system.sync_filesystem(stage.path)
        entries = scan(raw(tree))
        copying.read_digests(raw(tree), entries, content.from_the_disk)
        copied = {text(entry.path): entry for entry in entries if entry.is_file}
        unlike = sorted(key for key in listed if key not in copied or copied[key].sha256 != digests.get(key))
        if unlike:
            raise MigrationError(f"{store.place.remote} changes while it is copied ({first_names(map(raw, unlike))}): "
                                 "let nobody write to it, and run again", subject="bucket")
        site = {key: Stored(key, copied[key].size, digests[key], one["headers"]) for key, one in listed.items()}
        files = [{"path": f"{TREE}/{one.key}", "size": one.size, "sha256": one.sha256} for one in site.values()]
        _manifest.write_manifest(here, KIND, files, name=NAME, remote=store.place.remote, digest=digest(site),
                                 counts={"files": len(site), "bytes": weight(site.values())},
                                 objects=[site[key].to_json() for key in sorted(site)])
        with system.locked(parent):
            taken = naming.copies(NAME, os.listdir(dest))
            path = os.path.join(os.fsdecode(parent), naming.copy_name(NAME, datetime.now(timezone.utc), taken))
            stage.publish(raw(path))
    finally:
        stage.close()
    return path, site


def load(path: str) -> Site:
    """The objects of a copy, by its manifest. Raises :class:`MigrationError` when that is missing or damaged."""
    manifest = _manifest.read_manifest(path, KIND)
    try:
        site = {one.key: one for one in map(Stored.from_json, manifest["objects"])}
        if digest(site) == manifest["digest"]:
            return site
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise MigrationError(f"the manifest of {path} is damaged: its objects do not have its digest")


def require_intact(path: str, objects: Iterable[Stored]) -> None:
    """Raise unless the copy has every byte of ``objects``."""
    damaged = _manifest.damaged_files(path, [{"path": f"{TREE}/{one.key}", "size": one.size, "sha256": one.sha256} for one in objects])
    if damaged:
        raise MigrationError(f"the copy {path} is damaged ({first_names(map(raw, damaged))}): nothing was put back from it")
