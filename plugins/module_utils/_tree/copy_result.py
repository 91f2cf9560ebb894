# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ``build_copy`` tells about a copy, to its caller and to the journal. Pure but for the numbers of file systems."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, Entry, differing
from ansible_collections.dihya.migration.plugins.module_utils._tree.sealing import as_source, sealed


@dataclass
class Newest:
    """The newest complete copy of a name and what its manifest says; ``sealed`` of its encrypted files."""

    path: str
    entries: list[Entry]
    sealed: dict[str, Any] | None = None
    source_state: str | None = None
    digest: str | None = None


@dataclass
class Made:
    """A copy: where it is, what is in it, and how it came to be; ``unread`` when no content was looked at to keep it."""

    path: str
    entries: list[Entry]
    reused: bool
    reason: str
    before: Newest | None
    warnings: list[str]
    changed: bool
    removed: list[str] = field(default_factory=list)
    digest: str | None = None
    left_out: list[bytes] = field(default_factory=list)
    unread: bool = False


def since_before(made: Made) -> dict[str, int] | None:
    """How many files and links were added, changed and removed since the copy before; None when there is none."""
    if made.before is None:
        return None
    if made.entries is made.before.entries:
        return {"added": 0, "changed": 0, "removed": 0}
    # What is encrypted counts as changed when its size or time differs: there is no digest of it to compare.
    before, now = ({entry.path: entry for entry in as_source(entries, {}) if entry.type != DIRECTORY}
                   for entries in (made.before.entries, made.entries))
    differs = set(differing(before.values(), now.values(), copying.WHOLE))
    return {"added": len(differs - before.keys()), "changed": len(differs & before.keys() & now.keys()),
            "removed": len(differs - now.keys())}


def second_copy(name: str, first: str, second: str, sha256: str) -> dict[str, Any]:
    """Evidence about a second copy of a backup: it proves nothing while one broken disk takes both."""
    if os.stat(first).st_dev == os.stat(second).st_dev:
        return {"item": "backup", "observed": f"second copy of {name}: on the same file system as the first", "sha256": sha256}
    return {"item": "backup", "observed": f"second copy of {name}: on another file system, read again from there", "sha256": sha256,
            "verdict": "proved", "elsewhere": True}


def journal(name: str, path: str, number: dict[str, int], digest: str, sha256: str, made: Made, duration: float,
            told: list[str]) -> dict[str, Any]:
    """The result in the fact schema of the journal; ``told`` is not proved."""
    how = ("reused, unchanged by the change times of its files" if made.unread
           else "reused, its source and itself read again" if made.reused else "copied and read again from the disk")
    kept_secret = f"{len(closed)} of them encrypted, " if (closed := sealed(made.entries)) else ""
    observed = f"copy of {name}: {number['files']} files, {number['bytes']} bytes, {kept_secret}{how}"
    manifest = os.path.join(path, _manifest.NAME)
    return {
        "summary": f"{observed}."[:300], "changed": made.changed, "duration": duration,
        "counts": {"files": number["files"], "bytes": number["bytes"]},
        "digests": {name: digest}, "proofs": [{"kind": "manifest", "path": manifest, "sha256": sha256}],
        "evidence": [{"item": "backup", "observed": observed, "sha256": sha256, **({} if made.unread else {"verdict": "proved"})}],
        **({"not_proved": told} if told else {}),
    }
