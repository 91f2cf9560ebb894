# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One path replaced by a stored tree, so that at every moment it is the whole old or the whole new one."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import Entry, text
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan


def put_back(stored: bytes | None, path: bytes, beside: bytes, known: Sequence[Entry] = ()) -> None:
    """Make ``path`` a copy of ``stored`` (None: make it absent). ``beside`` is a free name next to it for the work.

    Extended attributes are those of the ``known`` entries: the file system of ``stored`` may not hold them.

    What a killed predecessor left at ``beside`` is removed first. Raises :class:`MigrationError` when the directory of ``path`` is gone.
    """
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise MigrationError(f"{text(parent)} does not exist any more: make it first, then restore")
    if os.path.lexists(beside):
        system.remove_tree(beside)
    if stored is None:
        os.rename(path, beside)
    else:
        entries = scan(stored)
        attributes = {entry.path: entry.xattrs for entry in known}
        for entry in entries:
            entry.xattrs = attributes.get(entry.path)
        copying.require_space(parent, entries)
        copying.copy_tree(stored, entries, beside, Progress(None), dressed=True)
        swap(beside, path)
    fsync_directory(os.fsdecode(parent))
    if os.path.lexists(beside):
        system.remove_tree(beside)


def swap(fresh: bytes, path: bytes) -> None:
    """Put ``fresh`` at ``path``; what was there, if anything, is at ``fresh`` afterwards or gone."""
    if not os.path.lexists(path):
        os.rename(fresh, path)
    elif not system.exchange(fresh, path):
        if os.path.isdir(path) and not os.path.islink(path) or os.path.isdir(fresh) and not os.path.islink(fresh):
            # No exchange on this file system: the path is away for the moment between two renames; a rerun restores it.
            old = fresh + b".old"
            os.rename(path, old)
            os.rename(fresh, path)
            os.rename(old, fresh)
        else:
            os.replace(fresh, path)
