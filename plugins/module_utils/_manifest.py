# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifest of a backup: what is in it, and whether it still is.

A manifest is a JSON object with ``format`` (1), ``kind`` (``postgresql``, ``tree``, …), ``created`` (RFC 3339, UTC),
``files`` (a list of ``{path, size, sha256}``, paths relative to the manifest's directory) and the facts of its kind.
The backup is complete exactly when its ``manifest.json`` exists: it is published last.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish_json, read_json

NAME = "manifest.json"
FORMAT = 1
CHUNK = 1 << 20


def utc_now() -> str:
    """The time as RFC 3339 in UTC with microseconds and a final ``Z``."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def sha256_file(path: str) -> str:
    """Hexadecimal SHA-256 of a file's bytes, in constant memory."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def file_entry(root: str, path: str) -> dict[str, Any]:
    """The ``files`` entry of ``root/path``, its digest read from the file."""
    full = os.path.join(root, path)
    return {"path": path, "size": os.path.getsize(full), "sha256": sha256_file(full)}


def file_entries(root: str, paths: Iterable[str]) -> list[dict[str, Any]]:
    """The ``files`` entries of ``paths`` in ``root``, sorted by path, read on all cores."""
    ordered = sorted(paths, key=lambda path: -os.path.getsize(os.path.join(root, path)))  # else the largest may be read alone at the end
    return sorted(_on_all_cores(lambda path: file_entry(root, path), ordered), key=lambda entry: entry["path"])


def _on_all_cores(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """``function`` of each item. Threads are enough: a digest is computed without the interpreter's lock."""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(function, items))


def write_manifest(directory: str, kind: str, files: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """Publish ``directory/manifest.json`` (mode 0600) and return the manifest."""
    manifest = dict(facts, format=FORMAT, kind=kind, created=utc_now(), files=files)
    publish_json(os.path.join(directory, NAME), manifest)
    return manifest


def read_manifest(directory: str, kind: str | None = None) -> dict[str, Any]:
    """The manifest of ``directory``; raises :class:`MigrationError` when absent, malformed or of another kind."""
    path = os.path.join(directory, NAME)
    try:
        manifest = read_json(path)
    except FileNotFoundError:
        raise MigrationError(f"{directory} is no complete backup: it has no {NAME}") from None
    except (OSError, ValueError) as error:
        raise MigrationError(f"{path} cannot be read: {type(error).__name__}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not isinstance(manifest.get("files"), list):
        raise MigrationError(f"{path} is not a manifest of format {FORMAT}")
    if kind is not None and manifest.get("kind") != kind:
        raise MigrationError(f"{path} describes a backup of kind {manifest.get('kind')!r}, not {kind!r}")
    return manifest


def damaged_files(directory: str, entries: Iterable[dict[str, Any]]) -> list[str]:
    """Paths whose bytes are not those of the manifest (missing, other size, other digest), sorted."""
    ordered = sorted(entries, key=lambda entry: -entry["size"])
    intact = _on_all_cores(lambda entry: _intact(directory, entry), ordered)
    return sorted(entry["path"] for entry, whole in zip(ordered, intact) if not whole)


def _intact(directory: str, entry: dict[str, Any]) -> bool:
    path = os.path.join(directory, entry["path"])
    try:
        return os.path.getsize(path) == entry["size"] and sha256_file(path) == entry["sha256"]
    except OSError:
        return False
