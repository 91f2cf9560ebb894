# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Assets of the release before, for clients that still hold its page: further names in the new release, of files that nobody edits."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import content, copying
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, Entry, first_names


def require_relative(paths: Sequence[str]) -> list[str]:
    """The directories, without a final ``/``; raises on one that is not a relative path inside the release."""
    plain = [path.rstrip("/") for path in paths]
    wrong = [path for path in plain if any(part in ("", ".", "..") for part in path.split("/"))]
    if wrong:
        raise MigrationError(f"keep_assets: {wrong[0]!r} must be a relative path without . and ..", subject="keep_assets")
    return plain


def to_inherit(before: Sequence[Entry], now: Sequence[Entry], paths: Sequence[str]) -> list[Entry]:
    """Which directories and files of the release ``before`` the release ``now`` lacks below ``paths``; pure.

    Never below what is no directory now. Files that ``before`` had inherited itself are not in its entries: one generation is kept.
    """
    there = {entry.path: entry for entry in now}
    inside = tuple(path.encode("utf-8", "surrogateescape") + b"/" for path in paths)
    found: list[Entry] = []
    for entry in sorted(before, key=lambda e: e.path):
        if (entry.path + b"/").startswith(inside) and entry.path not in there and (entry.type == DIRECTORY or entry.is_file):
            parent = there.get(os.path.dirname(entry.path))
            if parent is None or parent.type == DIRECTORY:
                there[entry.path] = entry
                found.append(entry)
    files = {os.path.dirname(entry.path) for entry in found if entry.is_file}
    needed = {path for name in files for path in _ancestors(name)}
    return [entry for entry in found if entry.is_file or entry.path in needed]


def _ancestors(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:i]) for i in range(1, len(parts) + 1)]


def inherit(root: bytes, stage: bytes, entries: Sequence[Entry], of: str, owner: tuple[int, int] | None = None,
            link: bool = True) -> list[str]:
    """Bring ``entries`` of the tree at ``root`` into ``stage``; warnings about files that are not what they were, which are left out.

    Those of a release get one more name; without ``link`` they are copied, because somebody else has them too. ``of`` is who had them.
    """
    files = [entry for entry in entries if entry.is_file]
    damaged: set[bytes] = set()
    for group in copying.batches(files):
        damaged.update(content.unlike(root, group, content.holds, content.as_it_is))
    for entry in entries:
        place = content.place(stage, entry.path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if entry.type == DIRECTORY:
            os.mkdir(place)
            copying.finish_directory(place, entry, copying.chosen_owner(entry, owner))
        elif entry.path in damaged:
            continue
        elif link:
            os.link(content.place(root, entry.path), place, follow_symlinks=False)
        else:
            _copy(content.place(root, entry.path), entry, place, copying.chosen_owner(entry, owner))
    if not link:
        copying.sync(stage)
    return [f"assets of {of} were changed and are not kept: {first_names(damaged)}"] if damaged else []


def _copy(source: bytes, entry: Entry, target: bytes, owner: tuple[int, int] | None) -> None:
    descriptor = content.open_source(source, entry.path)
    try:
        content.write_file(target, content.chunks(descriptor, entry.size), entry, owner, entry.xattrs, descriptor)
    finally:
        os.close(descriptor)
