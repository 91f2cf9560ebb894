# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Putting a tree into releases/NAME: staged beside its place, completed by a marker, renamed, not active."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory, publish_json
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._transport.pull import PullHost, pull_tree
from ansible_collections.dihya.migration.plugins.module_utils._tree import assets, copying, document, not_kept, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import TREE, require_content, require_tree
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import (
    DIRECTORY,
    ROOT,
    Entry,
    counts,
    raw,
    summary,
    text,
)
from ansible_collections.dihya.migration.plugins.module_utils._tree.marker import MARKER
from ansible_collections.dihya.migration.plugins.module_utils._tree.release_plan import (
    RELEASES,
    Plan,
    Release,
    open_root,
    release_digest,
    shared_links,
)

MANIFEST = ".release-manifest.json"
SHARED = "shared"
STAGE = b"release"


@dataclass(frozen=True)
class Staged:
    """What staging did, or would do."""

    plan: Plan
    changed: bool
    counts: dict[str, int] | None = None
    digest: str | None = None
    summary: str = ""
    inherited: int = 0
    warnings: tuple[str, ...] = ()
    unproved: tuple[str, ...] = ()


def stage_release(request: Any, existing: Release | None, current: str | None) -> Staged:
    """Put the tree of ``request`` (of the module release) into its place unless it is there already; ``current`` is the active release.

    Raises :class:`MigrationError` when a release of this name holds another tree, the source is missing or has no file, or a
    shared path is not there.
    """
    links = shared_links(request.shared or [])
    assets.require_relative(request.keep_assets)
    owner = chosen_ids(request.owner, request.group)
    if request.source_host:
        return _staged_from_host(request, existing, links, owner, current)
    if not request.src:
        raise MigrationError("src or source_host is required with state: present", subject="src")
    root, entries = require_tree(request.src, False, request.exclude)
    _require_free_of_shared(entries, links)
    if os.path.commonpath([root, os.path.realpath(raw(request.path))]) == root:
        raise MigrationError(f"path {request.path} lies inside the source {request.src}", subject="path")
    if existing is not None:
        copying.read_digests(root, entries)
        return _unchanged(request, existing, entries, request.src)
    _require_shared(request.path, links)
    number = counts(entries)
    if request.check_mode:
        return Staged(Plan(f"{request.name} would be staged"), True, number, None, summary(entries))
    stage = _open_stage(request)
    try:
        copying.require_space(stage.path, entries)
        copying.copy_tree(root, entries, stage.path, Progress(None), owner, request.exclude)
        inherited, warnings = _inherit(request, stage, entries, current, owner)
        digest = _complete(request, stage, entries, links, owner)
    finally:
        stage.close()
    return Staged(Plan(f"{request.name} is staged"), True, number, digest, summary(entries), inherited, warnings,
                  _unproved(request, entries))


def _unproved(request: Any, entries: list[Entry]) -> tuple[str, ...]:
    return tuple(not_kept.sentences(f"release {request.name}", entries))


def _inherit(request: Any, stage: system.Stage, entries: list[Entry], current: str | None,
             owner: tuple[int, int] | None) -> tuple[int, tuple[str, ...]]:
    """Keep the assets that this release lacks, of the active one and of the copy of a live build; how many, and warnings."""
    paths = assets.require_relative(request.keep_assets)
    found: list[Entry] = []
    warnings: list[str] = []
    if not paths:
        return 0, ()
    if current is not None and current != request.name:
        root = os.path.join(request.path, RELEASES, current)
        if os.path.exists(os.path.join(root, MANIFEST)):
            found = assets.to_inherit(document.parse(document.read(os.path.join(root, MANIFEST)), root), entries, paths)
            warnings = assets.inherit(raw(root), stage.path, found, current)
        else:
            warnings = [f"assets of {current} are not kept: it was not staged by this module"]
    with _copy_of_live(request, stage, owner) as copy:
        if copy is not None:
            before = document.parse(_manifest.read_manifest(copy, document.KIND), copy)
            wanted = assets.to_inherit(before, [*entries, *found], paths)
            tree = os.path.join(raw(copy), TREE.encode())
            warnings += assets.inherit(tree, stage.path, wanted, "the live build", owner, link=bool(request.assets_host))
            found += wanted
    return sum(entry.is_file for entry in found), tuple(warnings)


@contextlib.contextmanager
def _copy_of_live(request: Any, stage: system.Stage, owner: tuple[int, int] | None) -> Iterator[str | None]:
    """Where the copy of ``assets_from`` lies on this host, for as long as it is read; None when none is given."""
    if not request.assets_host:
        yield request.assets_from
        return
    with system.locked(stage.parent):
        beside = system.Stage(stage.parent, STAGE)
    try:
        place = os.path.join(beside.path, b"copy")
        pull_tree(PullHost.from_options(request.assets_host), place, (), Progress(None), owner)
        yield os.fsdecode(place)
    finally:
        beside.close()


def _staged_from_host(request: Any, existing: Release | None, links: dict[str, str], owner: tuple[int, int] | None,
                      current: str | None) -> Staged:
    host = PullHost.from_options(request.source_host)
    if request.check_mode and existing is not None:
        return Staged(Plan(f"{request.name} is staged already, {host.host} was not asked for it"), False, None, existing.digest)
    if existing is None:
        _require_shared(request.path, links)
    if request.check_mode:
        return Staged(Plan(f"{request.name} would be pulled from {host.host}"), True)
    stage = _open_stage(request)
    try:
        entries = pull_tree(host, stage.path, request.exclude, Progress(None), owner)
        require_content(host.host, entries, False)
        _require_free_of_shared(entries, links)
        if existing is not None:
            return _unchanged(request, existing, entries, host.host)
        inherited, warnings = _inherit(request, stage, entries, current, owner)
        digest = _complete(request, stage, entries, links, owner)
    finally:
        stage.close()
    return Staged(Plan(f"{request.name} is staged"), True, counts(entries), digest, summary(entries), inherited, warnings,
                  _unproved(request, entries))


def chosen_ids(owner: str | None, group: str | None) -> tuple[int, int] | None:
    """The (uid, gid) of the names, None when neither is given; raises on an unknown name."""
    if owner is None and group is None:
        return None
    try:
        account = pwd.getpwnam(owner) if owner is not None else None
        uid = account.pw_uid if account is not None else os.geteuid()
        own_gid = account.pw_gid if account is not None else os.getegid()
        return uid, grp.getgrnam(group).gr_gid if group is not None else own_gid
    except KeyError:
        raise MigrationError("owner or group does not exist on this host", subject="owner") from None


def _unchanged(request: Any, existing: Release, entries: list[Entry], source: str) -> Staged:
    if release_digest(entries) != existing.digest:
        raise MigrationError(f"release {request.name} exists with another tree than {source} has: give this one another name, "
                             "or remove that release first", subject="name")
    return Staged(Plan(f"{request.name} is staged already, its source has the same digest"), False, counts(entries), existing.digest)


def _require_free_of_shared(entries: list[Entry], links: dict[str, str]) -> None:
    own = [path for path in (text(entry.path) for entry in entries) if path in links or path in (MARKER, MANIFEST)]
    files = {text(entry.path) for entry in entries if entry.type != DIRECTORY}
    own += [path for path in links if any(path.startswith(name + "/") for name in files)]
    if own:
        raise MigrationError(f"the source holds {', '.join(sorted(own)[:10])} itself: exclude what is shared", subject="shared")


def _require_shared(root: str, links: dict[str, str]) -> None:
    missing = [path for path in links.values() if not path.endswith("/") and not os.path.lexists(os.path.join(root, SHARED, path))]
    if missing:
        raise MigrationError(f"{SHARED}/ lacks {', '.join(sorted(missing)[:10])}: create it (what ends with / is made)", subject="shared")


def _open_stage(request: Any) -> system.Stage:
    releases = os.path.join(request.path, RELEASES)
    try:
        os.makedirs(releases, mode=0o755, exist_ok=True)
        with system.locked(raw(releases)):
            system.remove_abandoned(raw(releases), STAGE)
            return system.Stage(raw(releases), STAGE)
    except OSError as error:
        raise MigrationError(f"{releases} cannot be written to: {error.strerror}", subject="path") from None


def _complete(request: Any, stage: system.Stage, entries: list[Entry], links: dict[str, str], owner: tuple[int, int] | None) -> str:
    """Link what is shared, write manifest and marker, give the release its name. Returns the digest."""
    opened = [open_root(entry) for entry in entries]
    root = next(entry for entry in opened if entry.path == ROOT)
    os.chmod(stage.path, root.mode)
    writer = chosen_ids(request.shared_owner, None) or owner
    made = [outside.rstrip("/") for inside, outside in links.items()
            if _link_shared(request.path, os.fsdecode(stage.path), inside, outside, writer)]
    manifest = os.path.join(stage.path, MANIFEST.encode())
    head = document.write(manifest, opened, "", name=request.name)
    # In their directory both are private: a web server that serves the release does not serve them.
    publish_json(os.path.join(os.fsdecode(stage.path), MARKER), {
        "format": 1, "name": request.name, "created": head["created"], "digest": head["digest"], "counts": head["counts"],
        "manifest_sha256": _manifest.sha256_file(os.fsdecode(manifest)), "shared": links, "made": made, "run_id": request.run_id,
        "made_for": request.made_for,
    })
    final = os.path.join(stage.parent, raw(request.name))
    try:
        stage.publish(final)
    except OSError:
        raise MigrationError(f"{RELEASES}/{request.name} appeared meanwhile", subject="name") from None
    return str(head["digest"])


def _link_shared(root: str, release: str, inside: str, outside: str, owner: tuple[int, int] | None) -> bool:
    """Link one path; whether the directory that it leads to had to be made."""
    target = os.path.join(root, SHARED, outside.rstrip("/"))
    make = outside.endswith("/") and not os.path.isdir(target)
    if make:
        os.makedirs(target, mode=0o750)
        if owner is not None:
            os.chown(target, *owner)
    place = os.path.join(release, inside)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    # From releases/NAME/a/b the way to shared/ is as many steps up as there are directories, plus two.
    up = "../" * (inside.count("/") + 2)
    os.symlink(f"{up}{SHARED}/{outside.rstrip('/')}", place)
    fsync_directory(os.path.dirname(place))
    return make
