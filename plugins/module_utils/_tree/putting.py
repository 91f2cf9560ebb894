# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One path replaced by a stored tree, so that at every moment it is the whole old or the whole new one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying, system
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import Entry, text
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan

OLD = b".old"


def put_back(stored: bytes | None, path: bytes, beside: bytes, known: Sequence[Entry] = ()) -> None:
    """Make ``path`` a copy of ``stored`` (None: make it absent). ``beside`` is a free name next to it for the work.

    Extended attributes are those of the ``known`` entries: the file system of ``stored`` may not hold them.

    What a killed predecessor left at ``beside`` is removed first, and what a failure would leave there too.
    Raises :class:`MigrationError` when the directory of ``path`` is gone.
    """
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise MigrationError(f"{text(parent)} does not exist any more: make it first, then restore")
    _remove(beside)
    if stored is None:
        os.rename(path, beside)
    else:
        entries = scan(stored)
        attributes = {entry.path: entry.xattrs for entry in known}
        for entry in entries:
            entry.xattrs = attributes.get(entry.path)
        copying.require_space(parent, entries)
        try:
            copying.copy_tree(stored, entries, beside, Progress(None), dressed=True)
            if os.path.lexists(path):
                _remove(beside + OLD)  # a killed predecessor took it away already, and what is there now has to go the same way
            swap(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                _remove(beside)
            raise
    fsync_directory(os.fsdecode(parent))
    clear_beside(beside)


def clear_beside(beside: bytes) -> None:
    """Remove what the work at ``beside`` left, once the path is what it is to be: until then it may be all there is."""
    _remove(beside)
    _remove(beside + OLD)


def _remove(path: bytes) -> None:
    """Remove what is at ``path``, if anything."""
    if os.path.lexists(path):
        system.remove_tree(path)


def swap(fresh: bytes, path: bytes) -> None:
    """Put ``fresh`` at ``path``; what was there, if anything, is at ``fresh`` afterwards or gone.

    Killed between the renames of a file system without exchange it leaves that at ``fresh`` with ``.old``: with nothing at ``path``
    (``fresh`` is whole), or with ``fresh`` there already.
    """
    if not os.path.lexists(path):
        os.rename(fresh, path)
    elif not system.exchange(fresh, path):
        if os.path.isdir(path) and not os.path.islink(path) or os.path.isdir(fresh) and not os.path.islink(fresh):
            # No exchange on this file system: the path is away for the moment between two renames; a rerun restores it.
            old = fresh + OLD
            os.rename(path, old)
            os.rename(fresh, path)
            os.rename(old, fresh)
        else:
            os.replace(fresh, path)
