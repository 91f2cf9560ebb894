# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifest of a tree, written and read: one entry a line, quick for many of them, names that survive JSON."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish, read_json
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import (
    DIRECTORY,
    FILE,
    LINK,
    ROOT,
    Entry,
    counts,
    raw,
    text,
    tree_digest,
)

KIND = "tree"
PATHS = "UTF-8; a byte that is not UTF-8 is the lone surrogate U+DC80 to U+DCFF (PEP 383), so that every name can be restored"

# What few entries have, and how it is read.
RARE: dict[str, Callable[[Any], Any]] = {
    "target": raw, "link_of": raw, "clear_size": int, "not_kept": tuple,
    "xattrs": lambda found: {name: base64.b64decode(content) for name, content in found.items()} or None,
}


def to_json(entry: Entry, below: str) -> dict[str, Any]:
    """The manifest's object of one entry; its path is below ``below``, relative to the manifest's directory."""
    path = below if entry.path == ROOT else "/".join(part for part in (below, text(entry.path)) if part)
    value: dict[str, Any] = {
        "path": path or ".", "type": entry.type, "mode": f"{entry.mode:04o}", "uid": entry.uid, "gid": entry.gid,
        "mtime_ns": entry.mtime_ns,
    }
    for name in ("owner", "group"):
        if getattr(entry, name) is not None:
            value[name] = getattr(entry, name)
    if entry.type == FILE:
        value.update(size=entry.size, sha256=entry.sha256)
    if entry.clear_size is not None:
        value["clear_size"] = entry.clear_size
    if entry.target is not None:
        value["target"] = text(entry.target)
    if entry.link_of is not None:
        value["link_of"] = text(entry.link_of)
    if entry.xattrs:
        value["xattrs"] = {name: base64.b64encode(content).decode() for name, content in entry.xattrs.items()}
    if entry.not_kept:
        value["not_kept"] = list(entry.not_kept)
    return value


def from_json(value: dict[str, Any], below: str) -> Entry:
    """The entry that :func:`to_json` wrote; raises ``KeyError`` or ``ValueError`` on another object."""
    path = value["path"]
    if path == (below or "."):
        path = text(ROOT)
    elif below:
        path = path[len(below) + 1:]
    entry = Entry(
        raw(path), value["type"], int(value["mode"], 8), value["uid"], value["gid"], value.get("owner"), value.get("group"),
        value["mtime_ns"], value.get("size", 0), value.get("sha256"))
    for name in RARE.keys() & value.keys():
        setattr(entry, name, RARE[name](value[name]))
    return entry


def write(path: bytes, entries: Sequence[Entry], below: str, **facts: Any) -> dict[str, Any]:
    """Publish the manifest of ``entries`` at ``path``; returns it without its lists."""
    data, head = render(entries, below, **facts)
    publish(os.fsdecode(path), data)
    return head


def render(entries: Sequence[Entry], below: str, **facts: Any) -> tuple[bytes, dict[str, Any]]:
    """The manifest of ``entries`` as bytes, and as an object without its lists."""
    ordered = sorted(entries, key=lambda e: e.path)
    head = dict(facts, format=_manifest.FORMAT, kind=KIND, created=_manifest.utc_now(), paths=PATHS, root=below,
                digest=tree_digest(ordered), counts=counts(ordered))
    lists = {"files": [e for e in ordered if e.type == FILE], "others": [e for e in ordered if e.type in (DIRECTORY, LINK)]}
    parts = [json.dumps(head, indent=1, sort_keys=True)[:-2]]
    parts += [f',\n "{name}": [\n{_lines(members, below)}\n ]' for name, members in lists.items()]
    return ("".join(parts) + "\n}\n").encode(), head


def _lines(entries: Iterable[Entry], below: str) -> str:
    return ",\n".join("  " + json.dumps(to_json(entry, below)) for entry in entries)


def read(path: str) -> dict[str, Any]:
    """The manifest at ``path`` itself, for trees whose manifest is not called manifest.json; raises :class:`MigrationError`."""
    try:
        manifest = read_json(path)
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict):
        raise MigrationError(f"the manifest {path} cannot be read")
    return manifest


def parse(manifest: dict[str, Any], where: str) -> list[Entry]:
    """The entries of a manifest read by ``_manifest.read_manifest``; raises :class:`MigrationError` when they are not its digest's."""
    try:
        below = manifest["root"]
        entries = [from_json(value, below) for value in [*manifest["files"], *manifest["others"]]]
        entries.sort(key=lambda e: e.path)
        if tree_digest(entries) == manifest["digest"]:
            return entries
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise MigrationError(f"the manifest of {where} is damaged: its entries do not have its digest")
