# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tree copied from one directory into another that does not exist yet, and proved by reading it again from the disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._tree import content
from ansible_collections.dihya.migration.plugins.module_utils._tree.content import place
from ansible_collections.dihya.migration.plugins.module_utils._tree.crew import Crew
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import (
    DIRECTORY,
    FILE,
    LINK,
    ROOT,
    Entry,
    differing,
    first_names,
    text,
)
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import walk
from ansible_collections.dihya.migration.plugins.module_utils._tree.sealing import Sealing
from ansible_collections.dihya.migration.plugins.module_utils._tree.system import sync_filesystem

MARGIN = 16 << 20
"""Bytes that a copy leaves free."""
BATCH, BATCH_BYTES = 32, 4 << 20
SAME = ("mode", "uid", "gid", "mtime_ns", "size", "target", "link_of")
WHOLE = (*SAME, "sha256", "xattrs")


def require_space(directory: bytes, entries: Sequence[Entry]) -> None:
    """Raise when the file system of ``directory`` has not the bytes or the inodes that a copy of ``entries`` needs."""
    status = os.statvfs(directory)
    block = status.f_frsize or 4096
    needed = sum(-(-entry.size // block) * block for entry in entries if entry.is_file and entry.link_of is None)
    require_bytes(directory, needed)
    if status.f_files and len(entries) > status.f_favail:
        raise MigrationError(f"{text(directory)} has {status.f_favail} inodes free, the copy needs {len(entries)}")


def require_bytes(directory: bytes, needed: int) -> None:
    """Raise when the file system of ``directory`` has not ``needed`` bytes free, and some to spare."""
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if needed + MARGIN > free:
        raise MigrationError(f"{text(directory)} has {free} bytes free, the copy needs {needed + MARGIN}: make room, or choose another")


@dataclass(frozen=True)
class Base:
    """An earlier copy, never edited, whose files may get one more name: the root of its tree, its entries by path."""

    root: bytes
    entries: dict[bytes, Entry]

    def same(self, entry: Entry) -> Entry | None:
        """The file of the earlier copy that ``entry`` may still be, by everything but its content."""
        known = self.entries.get(entry.path)
        if known is None or not known.is_file or any(getattr(known, name) != getattr(entry, name) for name in SAME):
            return None
        return known


def copy_tree(source: bytes, entries: list[Entry], target: bytes, progress: Progress, owner: tuple[int, int] | None = None,
              exclude: Sequence[str] = (), meanwhile: Callable[[], None] = lambda: None, base: Base | None = None,
              tolerant: bool = False, sealing: Sealing | None = None, dressed: bool = False) -> list[bytes]:
    """Copy the scanned ``entries`` of ``source`` to ``target``, complete them with their digests, and prove the copy on the disk.

    Files that are those of ``base`` become further names of them. ``owner`` (uid, gid) replaces the source's owners. ``meanwhile`` is
    called once the entries are complete, while the disk is read. What ``sealing`` covers is stored encrypted, and the entries say so in
    the end. ``tolerant`` leaves out files that change meanwhile; they are returned. ``dressed`` entries have their extended attributes
    already, and those are set instead of the source's.
    Raises :class:`MigrationError` when the source changed meanwhile or the
    copy, read again from the disk, is not the source.
    """
    if sealing is not None:
        sealing.require(entries)
    files = inodes(entries)
    weights = [entry.size for entry in files]
    make_directories(target, entries)
    progress.begin("copy", sum(weights))

    def bring(entry: Entry) -> content.Brought | None:
        try:
            return bring_still(entry)
        except MigrationError as error:
            if tolerant and "changed_path" in error.facts:
                return None
            raise

    def bring_still(entry: Entry) -> content.Brought:
        full, new = place(source, entry.path), place(target, entry.path)
        if sealing is not None and sealing.covers(entry.path):
            return content.copy_file(full, entry, new, chosen_owner(entry, owner), sealing.write)
        known = base.same(entry) if base is not None else None
        if base is not None and known is not None:
            linked = content.link_file(full, entry, place(base.root, entry.path), known, new)
            if linked is not None:
                return linked
        return content.copy_file(full, entry, new, chosen_owner(entry, owner), dressed=dressed)
    crew = Crew(bring, files, weights)
    read = {entry.path: result for entry, result in zip(files, crew.results(progress.advance))}
    left = leave_out(target, entries, [path for path, result in read.items() if result is None])
    for entry in entries:
        if entry.is_file:
            entry.sha256, entry.xattrs, entry.not_kept = read[entry.link_of or entry.path] or (None, None, ())
    if tolerant:
        left += leave_out(target, entries, Check(source, entries, content.is_unmoved, exclude).results())
    finish(target, entries, owner)

    # While the disk is busy with the copy, the processors read the source once more: a file written twice within one clock tick,
    # or through a memory map, keeps its times.
    check = Check(source, entries, content.is_unmoved, exclude) if not tolerant else None
    try:
        sync(target)
        moved = check.results() if check is not None else []
    finally:
        if check is not None:
            check.stop()
    if moved:
        raise MigrationError(f"the source changed while it was copied ({first_names(moved)}): stop what writes there, or exclude it")
    if sealing is not None:
        sealing.store(target, entries)
    prove(target, entries, progress, meanwhile, owner)
    return left


def leave_out(target: bytes, entries: list[Entry], moved: Sequence[bytes]) -> list[bytes]:
    """Take the files that ``moved``, with all their names, out of ``entries`` and the unfinished copy at ``target``; returns them."""
    wrong = set(moved)
    gone = {entry.path for entry in entries if entry.is_file and (entry.path in wrong or entry.link_of in wrong)}
    for path in gone:
        if os.path.lexists(place(target, path)):
            os.unlink(place(target, path))
    entries[:] = [entry for entry in entries if entry.path not in gone]
    return sorted(gone)


def inodes(entries: Sequence[Entry]) -> list[Entry]:
    """The files, each once however many names it has."""
    return [entry for entry in entries if entry.is_file and entry.link_of is None]


def batches(files: Sequence[Entry]) -> list[list[Entry]]:
    """The files in groups that are opened together: at most 32, and no more than a few MiB."""
    groups: list[list[Entry]] = []
    weight = 0
    for entry in files:
        if not groups or len(groups[-1]) == BATCH or weight + entry.size > BATCH_BYTES:
            groups.append([])
            weight = 0
        groups[-1].append(entry)
        weight += entry.size
    return groups


class Check:
    """Compares the tree at ``root`` with ``entries``: names, directories and links here, files by ``holds`` on all cores.

    ``worn(status, path, entry)`` says of a directory or link whether it has its owner, time and attributes, where they matter.
    """

    def __init__(self, root: bytes, entries: Sequence[Entry], holds: Callable[[int, Entry], bool], exclude: Sequence[str] = (),
                 prepare: Callable[[int], None] = content.as_it_is,
                 worn: Callable[[os.stat_result, bytes, Entry], bool] = lambda status, full, entry: True) -> None:
        self._root, self._entries, self._exclude, self._worn = root, entries, exclude, worn
        groups = batches(inodes(entries))
        weights = [sum(entry.size for entry in group) for group in groups]
        self._crew = Crew(lambda group: content.unlike(root, group, holds, prepare), groups, weights, worth=3)

    def results(self, tick: Callable[[int], None] = lambda weight: None) -> list[bytes]:
        """Sorted paths that are missing, too many, or not what their entry says."""
        try:
            deep = any(entry.type == DIRECTORY for entry in self._entries)
            names = {path for path, _item in walk(self._root, self._exclude)} if deep else set()
        except OSError:
            names = set()
        wrong = (names | {ROOT}) ^ {entry.path for entry in self._entries}
        wrong |= {e.path for e in self._entries if (e.type != FILE or e.link_of is not None) and not self._same(e)}
        return sorted(wrong.union(*self._crew.results(tick)))

    def stop(self) -> None:
        """End what still works."""
        self._crew.stop()

    def _same(self, entry: Entry) -> bool:
        full = place(self._root, entry.path)
        try:
            status = os.lstat(full)
            if entry.link_of is not None:
                return os.path.samestat(status, os.lstat(place(self._root, entry.link_of)))
            if entry.type == LINK and os.readlink(full) != entry.target:
                return False
            if entry.type == DIRECTORY and (not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) != entry.mode):
                return False
            return self._worn(status, full, entry)
        except OSError:
            return False


def read_digests(root: bytes, entries: Sequence[Entry], prepare: Callable[[int], None] = content.as_it_is) -> None:
    """Complete the scanned ``entries`` of the tree at ``root`` with the digests of their files, read on all cores.

    ``prepare`` gets the descriptor of each file before it is read, as :func:`content.from_the_disk`.
    """
    def read(entry: Entry) -> str:
        descriptor = content.open_source(place(root, entry.path), entry.path)
        try:
            prepare(descriptor)
            return content.digest_of(descriptor, entry.size)
        finally:
            os.close(descriptor)
    files = inodes(entries)
    known = dict(zip((entry.path for entry in files), Crew(read, files, [entry.size for entry in files]).results()))
    for entry in entries:
        if entry.is_file:
            entry.sha256 = known[entry.link_of or entry.path]


def differences(root: bytes, entries: list[Entry], known: Sequence[Entry], exclude: Sequence[str], progress: Progress) -> list[bytes]:
    """Sorted paths in which the scanned tree at ``root`` is not ``known``.

    Owners, times and links first, then, if need be, every attribute and byte.
    """
    before = {entry.path: entry for entry in known}
    wrong = differing(entries, known, SAME)
    wrong += [entry.path for entry in entries if entry.type == DIRECTORY and entry.path in before and entry.path not in wrong
              and entry.xattrs != before[entry.path].xattrs]
    if wrong:
        return sorted(wrong)
    for entry in entries:
        entry.sha256, entry.xattrs = before[entry.path].sha256, before[entry.path].xattrs
    progress.begin("compare", sum(entry.size for entry in inodes(entries)))
    wrong = Check(root, entries, content.is_known, exclude).results(progress.advance)
    for entry in entries if wrong else ():
        if entry.is_file:
            entry.sha256 = entry.xattrs = None  # it is not known, after all
    return wrong


def may_own(entry: Entry) -> bool:
    """Whether this process could give a file the owner and group of ``entry``."""
    return os.geteuid() == 0 or (entry.uid == os.geteuid() and (entry.gid == os.getegid() or entry.gid in os.getgroups()))


def chosen_owner(entry: Entry, owner: tuple[int, int] | None) -> tuple[int, int] | None:
    """The (uid, gid) that the copy of ``entry`` is to have, None when we could not give it."""
    return (owner or (entry.uid, entry.gid)) if owner is not None or may_own(entry) else None


def make_directories(target: bytes, entries: Sequence[Entry]) -> None:
    """Make the tree's directories, private until :func:`finish`; the root may exist already, and then keeps the ACL that it has."""
    for entry in entries:
        if entry.type == DIRECTORY and not (entry.path == ROOT and os.path.isdir(target)):
            try:
                os.mkdir(place(target, entry.path), 0o700)
                if entry.path == ROOT:
                    content.drop_inherited(target)
            except OSError as error:
                raise content.cannot_write(entry.path, error) from None


def finish(target: bytes, entries: Sequence[Entry], owner: tuple[int, int] | None = None) -> None:
    """Make links, then give directories their owner, attributes, mode and time, the deepest first."""
    entry = entries[0]
    try:
        for entry in entries:
            if entry.type == LINK:
                _make_link(place(target, entry.path), entry, chosen_owner(entry, owner))
            elif entry.link_of is not None:
                os.link(place(target, entry.link_of), place(target, entry.path), follow_symlinks=False)
        directories = [e for e in entries if e.type == DIRECTORY]
        for entry in sorted(directories, key=lambda e: (e.path != ROOT, e.path), reverse=True):
            finish_directory(place(target, entry.path), entry, chosen_owner(entry, owner))
    except OSError as error:
        raise content.cannot_write(entry.path, error) from None


def _make_link(full: bytes, entry: Entry, owner: tuple[int, int] | None) -> None:
    os.symlink(entry.target or b"", full)
    if owner is not None:
        os.chown(full, *owner, follow_symlinks=False)
    os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
    content.note_not_kept(entry, os.lstat(full), owner)


def finish_directory(full: bytes, entry: Entry, owner: tuple[int, int] | None) -> None:
    """Owner, attributes, mode and time of one directory, once nothing in it will change."""
    if owner is not None:
        os.chown(full, *owner)
    refused = content.set_xattrs(full, entry.xattrs)
    os.chmod(full, entry.mode)
    os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns))
    content.note_not_kept(entry, os.lstat(full), owner, refused)


def sync(target: bytes) -> None:
    """One syncfs for the whole copy; a disk that refused late is an error here, not a surprise later."""
    try:
        sync_filesystem(target if os.path.isdir(target) else os.path.dirname(target))
    except OSError as error:
        raise MigrationError(f"the copy could not be written to the disk: {error.strerror}") from None


def prove(target: bytes, entries: Sequence[Entry], progress: Progress, meanwhile: Callable[[], None] = lambda: None,
          owner: tuple[int, int] | None = None) -> None:
    """Raise unless the tree at ``target``, read from the disk, is exactly ``entries``; ``meanwhile`` is called while it is read."""
    damaged = damage(target, entries, progress, meanwhile, owner)
    if damaged:
        raise MigrationError(f"what was written is not what was read ({first_names(damaged)}): do not trust this disk, or what an "
                             "incremental copy was built on")


def damage(target: bytes, entries: Sequence[Entry], progress: Progress | None = None,
           meanwhile: Callable[[], None] = lambda: None, owner: tuple[int, int] | None = None) -> list[bytes]:
    """Paths of ``entries`` (digests known) that the tree at ``target`` has not, has otherwise, or has besides; read from the disk.

    All of it belongs to ``owner`` (uid, gid) where that is given, and else to whom the entries say.
    """
    if progress is not None:
        progress.begin("verify", sum(entry.size for entry in inodes(entries)))
    check = Check(target, entries, lambda descriptor, entry: content.is_intact(descriptor, entry, owner), prepare=content.from_the_disk,
                  worn=lambda status, full, entry: content.wears(status, full, entry, owner))
    try:
        meanwhile()
        return check.results(progress.advance if progress is not None else lambda weight: None)
    finally:
        check.stop()
