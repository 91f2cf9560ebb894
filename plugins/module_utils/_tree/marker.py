# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The marker of a release: a file in its directory that says that it is complete, ours, and whose."""

from __future__ import annotations

import os

from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._tree.release_plan import RELEASES, Release

MARKER = ".release.json"


def read_marker(root: str, name: str) -> Release | None:
    """The release ``name`` when it is complete and ours."""
    try:
        marker = read_json(os.path.join(root, RELEASES, name, MARKER))
        shared = frozenset(outside.rstrip("/") for outside in marker.get("shared", {}).values())
        found = Release(name, marker["created"], marker["digest"], shared, frozenset(marker.get("made", [])),
                        marker.get("made_for") or "")
        return found if marker["name"] == name else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
