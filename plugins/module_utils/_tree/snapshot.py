# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``snapshot``: restore points of named paths, whatever is there or not, and their exact restoration."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying, document, naming, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import (
    MTIME,
    OWNER,
    Entry,
    counts,
    first_names,
    raw,
    summary,
    tree_digest,
)
from ansible_collections.dihya.migration.plugins.module_utils._tree.putting import clear_beside, put_back
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan

KIND = "snapshot"
ABSENT = "absent"
STAGE = b"snapshot"


@dataclass
class Request:
    """What is asked for; the options of the module of the same names."""

    dir: str
    name: str | None
    state: str
    paths: list[str] = field(default_factory=list)
    keep: int | None = None
    check_mode: bool = False


@dataclass
class Item:
    """One path of a snapshot: its entries, None when nothing was there."""

    path: str
    entries: list[Entry] | None

    def facts(self) -> dict[str, Any]:
        """What results and manifests say of it."""
        if self.entries is None:
            return {"path": self.path, "state": ABSENT}
        number = counts(self.entries)
        return {
            "path": self.path, "state": "present", "files": number["files"], "bytes": number["bytes"], "sha256": tree_digest(self.entries),
        }


def snapshot(request: Request) -> dict[str, Any]:
    """Do what ``request`` says and return the module's result. Raises :class:`MigrationError`."""
    started = time.monotonic()
    if request.state not in ("listed", "pruned"):
        naming.require_plain(request.name or "", "name")
    with system.plain_errors():
        work = {"present": _create, "restored": _restore, "absent": _delete, "listed": _list, "pruned": _prune}[request.state]
        result = work(request)
    result["duration"] = result["journal"]["duration"] = round(time.monotonic() - started, 3)
    return result


def require_paths(paths: Sequence[str], directory: str) -> list[str]:
    """The paths, normalised and sorted; raises unless they are absolute, apart from each other and from the snapshots' directory."""
    normal = sorted({os.path.normpath(path) for path in paths})
    if not normal:
        raise MigrationError("paths is required with state: present", subject="paths")
    own = os.path.normpath(directory)
    for path in normal:
        if not os.path.isabs(path) or path == "/" or ".." in path.split("/"):
            raise MigrationError(f"paths: {path} must be absolute and not the root", subject="paths")
        for other in [*normal, own]:
            if path != other and (other + "/").startswith(path + "/"):
                raise MigrationError(f"paths: {other} lies inside {path}", subject="paths")
        if (path + "/").startswith(own + "/"):
            raise MigrationError(f"paths: {path} lies inside dir", subject="paths")
    return normal


def _create(request: Request) -> dict[str, Any]:
    paths = require_paths(request.paths, request.dir)
    place = os.path.join(request.dir, request.name or "")
    if os.path.lexists(place):
        manifest, items = read_snapshot(place)
        if [item.path for item in items] != paths:
            raise MigrationError(f"snapshot {request.name} is of other paths: choose another name", subject="name")
        _require_intact(place, items)
        return _result(request, manifest, items, False, "the snapshot is there, and intact")
    items = [Item(path, scan(raw(path)) if os.path.lexists(raw(path)) else None) for path in paths]
    _require_owners(items)
    if request.check_mode:
        return _result(request, None, items, True, "would be made")
    private_directory(request.dir)
    root = raw(os.path.realpath(request.dir))
    with system.locked(root):
        system.remove_abandoned(root, STAGE)
        stage = system.Stage(root, STAGE)
    try:
        copying.require_space(stage.path, [entry for item in items for entry in item.entries or []])
        manifest = _fill(os.fsdecode(stage.path), request, items)
        stage.publish(os.path.join(root, raw(request.name or "")))
    finally:
        stage.close()
    return _result(request, manifest, items, True, "the snapshot is made", created=True)


def _require_owners(items: list[Item]) -> None:
    foreign = [raw(item.path) + b"/" + e.path for item in items for e in item.entries or [] if not copying.may_own(e)]
    if foreign:
        raise MigrationError(f"only root could restore the owners of {first_names(foreign)}: become root", subject="paths")


def _fill(stage: str, request: Request, items: list[Item]) -> dict[str, Any]:
    files = []
    for number, item in enumerate(items):
        if item.entries is not None:
            copying.copy_tree(raw(item.path), item.entries, raw(os.path.join(stage, str(number))), Progress(None))
            _require_kept(request, item.entries)
            document.write(raw(os.path.join(stage, f"{number}.json")), item.entries, str(number))
            files.append(_manifest.file_entry(stage, f"{number}.json"))
    facts = [item.facts() for item in items]
    return _manifest.write_manifest(stage, KIND, files, name=request.name, id=secrets.token_hex(8), items=facts)


def _require_kept(request: Request, entries: list[Entry]) -> None:
    """Attributes are restored from the manifest; owners and times from the files, which must have them."""
    wrong = [entry.path for entry in entries if {OWNER, MTIME} & set(entry.not_kept)]
    if wrong:
        raise MigrationError(f"{request.dir} cannot hold owners and times exactly ({first_names(wrong)}): choose another file system",
                             subject="dir")


def read_snapshot(place: str) -> tuple[dict[str, Any], list[Item]]:
    """A snapshot's manifest and items; raises :class:`MigrationError` when it is missing, incomplete or its manifests are damaged."""
    if not os.path.isdir(place):
        raise MigrationError(f"there is no snapshot {place}", subject="name")
    manifest = _manifest.read_manifest(place, KIND)
    if _manifest.damaged_files(place, manifest["files"]):
        raise MigrationError(f"the snapshot {place} is damaged: the manifest of a path does not have its digest")
    items = []
    for number, fact in enumerate(manifest["items"]):
        entries = None
        if fact["state"] != ABSENT:
            entries = document.parse(document.read(os.path.join(place, f"{number}.json")), place)
        items.append(Item(fact["path"], entries))
    return manifest, items


def _require_intact(place: str, items: list[Item]) -> None:
    for number, item in enumerate(items):
        if item.entries is not None:
            damaged = copying.damage(raw(os.path.join(place, str(number))), item.entries)
            if damaged:
                raise MigrationError(f"the snapshot of {item.path} is damaged ({first_names(damaged)}): nothing was restored")


def _restore(request: Request) -> dict[str, Any]:
    place = os.path.join(request.dir, request.name or "")
    manifest, items = read_snapshot(place)
    _require_intact(place, items)
    changed: dict[str, list[bytes]] = {}
    with system.locked(raw(place)):
        for number, item in enumerate(items):
            leftover = raw(os.path.join(os.path.dirname(item.path), f".dihya-{manifest['id']}-{number}"))
            differs = _differs(item)
            if not request.check_mode:
                if differs:
                    stored = raw(os.path.join(place, str(number))) if item.entries is not None else None
                    put_back(stored, raw(item.path), leftover, item.entries or ())
                    _prove(item)
                else:
                    clear_beside(leftover)
            if differs:
                changed[item.path] = differs
    done = "would be" if request.check_mode else "are"
    reason = f"{len(changed)} of {len(items)} paths {done} restored" if changed else "nothing differs"
    result = _result(request, manifest, items, bool(changed), reason)
    result["restored"] = sorted(changed)
    result["diff"] = {
        "before": "".join(f"{path}: differs in {first_names(differs)}\n" for path, differs in sorted(changed.items())),
        "after": "".join(f"{path}: as in the snapshot\n" for path in sorted(changed)),
    }
    return result


def _differs(item: Item) -> list[bytes]:
    root = raw(item.path)
    if not os.path.lexists(root) or item.entries is None:
        return [b"."] if os.path.lexists(root) or item.entries is not None else []
    try:
        return copying.differences(root, scan(root), item.entries, (), Progress(None))
    except MigrationError:
        return [b"."]  # what cannot be read or copied (a socket that was added) is not what the snapshot holds


def _prove(item: Item) -> None:
    differs = _differs(item)
    if differs:
        raise MigrationError(f"{item.path} is not what the snapshot holds although restored ({first_names(differs)}): what writes there?")


def _delete(request: Request) -> dict[str, Any]:
    place = os.path.join(request.dir, request.name or "")
    there = os.path.lexists(place)
    if there:
        _manifest.read_manifest(place, KIND)
        if not request.check_mode:
            root = raw(os.path.realpath(request.dir))
            with system.locked(root):
                system.retire(os.path.join(root, raw(request.name or "")), STAGE)
    return _result(request, None, [], there, "the snapshot is removed" if there else "there is no such snapshot")


def found_in(directory: str) -> list[dict[str, Any]]:
    """The complete snapshots in ``directory``, the oldest first: ``name``, ``created`` and ``paths`` of each."""
    found = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        if name.startswith("."):
            continue  # still being made, or left by a maker that was killed: a snapshot is complete once it has its name
        try:
            manifest = _manifest.read_manifest(os.path.join(directory, name), KIND)
            paths = [item["path"] for item in manifest["items"]]
            found.append({"name": name, "created": manifest["created"], "paths": paths})
        except (MigrationError, KeyError, TypeError):
            continue  # not one of ours, or not complete
    return sorted(found, key=lambda one: (one["created"], one["name"]))


def _list(request: Request) -> dict[str, Any]:
    found = found_in(request.dir)
    return dict(_result(request, None, [], False, f"{len(found)} snapshots are there"), snapshots=found, removed=[])


def _prune(request: Request) -> dict[str, Any]:
    """Keep the newest; what is no complete snapshot of this module is neither counted nor removed."""
    if request.keep is None or request.keep < 1:
        raise MigrationError("keep must be at least 1", subject="keep")
    found = found_in(request.dir)
    surplus, left = found[:-request.keep], found[-request.keep:]
    if not request.check_mode and surplus:
        root = raw(os.path.realpath(request.dir))
        with system.locked(root):
            for one in surplus:
                system.retire(os.path.join(root, raw(one["name"])), STAGE)
    reason = f"{len(surplus)} of {len(found)} snapshots are surplus"
    return dict(_result(request, None, [], bool(surplus), reason), snapshots=left, removed=[one["name"] for one in surplus])


def _result(request: Request, manifest: dict[str, Any] | None, items: list[Item], changed: bool, reason: str,
            created: bool = False) -> dict[str, Any]:
    place = os.path.join(request.dir, request.name or "")
    facts = [item.facts() for item in items]
    journal: dict[str, Any] = {
        "summary": f"Snapshot {request.name or request.dir}, {request.state}: {reason}."[:300], "changed": changed, "duration": 0.0,
        "counts": {"files": sum(fact.get("files", 0) for fact in facts), "bytes": sum(fact.get("bytes", 0) for fact in facts)},
        "digests": {fact["path"]: fact["sha256"] for fact in facts if fact.get("sha256")},
    }
    if manifest is not None:
        proof = os.path.join(place, _manifest.NAME)
        journal["proofs"] = [{"kind": "manifest", "path": proof, "sha256": _manifest.sha256_file(proof)}]
        if created:
            journal["created"] = [{"kind": "snapshot", "name": place, "identity": manifest["id"]}]
    after = "".join(f"{item.path}: {summary(item.entries) if item.entries else 'absent'}".rstrip() + "\n" for item in items)
    return {"changed": changed, "msg": reason, "snapshot": place if request.name else None, "paths": facts, "journal": journal,
            "warnings": [],
            "diff": {"before": "" if changed else after, "after": after}}
