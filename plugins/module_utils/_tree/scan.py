# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading what a tree on the disk consists of, without its contents."""

from __future__ import annotations

import errno
import fnmatch
import functools
import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Callable

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import DIRECTORY, FILE, LINK, ROOT, Entry, first_names, text

KINDS = {stat.S_IFSOCK: "socket", stat.S_IFIFO: "fifo", stat.S_IFBLK: "block device", stat.S_IFCHR: "character device"}
TYPES = {stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}
# The label of a mandatory access policy belongs to the place, not to the tree.
PLACE_BOUND = ("security.selinux", "security.ima", "security.evm")
# Gone meanwhile, not for this user (whose tree is refused as unreadable then), or not told by this file system: nobody could copy it.
NO_ATTRIBUTE = (errno.ENODATA, errno.EACCES, errno.EOPNOTSUPP)


def excluder(patterns: Sequence[str]) -> Callable[[bytes], bool]:
    """A test for excluded relative paths.

    A pattern without ``/`` is matched against the last component at any depth, another against the whole relative path (a leading
    ``/`` only says so); ``*``, ``?`` and ``[…]`` as in :mod:`fnmatch`. What is below an excluded directory is never seen.
    """
    if not patterns:
        return lambda path: False

    def joined(chosen: list[str]) -> re.Pattern[str]:
        return re.compile("|".join(fnmatch.translate(p.strip("/")) for p in chosen) or r"(?!)")
    names = joined([p for p in patterns if "/" not in p.rstrip("/")])
    paths = joined([p for p in patterns if "/" in p.rstrip("/")])

    def excluded(path: bytes) -> bool:
        whole = text(path)
        return bool(names.match(whole.rpartition("/")[2]) or paths.match(whole))
    return excluded


def hidden(path: bytes, excluded: Callable[[bytes], bool]) -> bool:
    """Whether the path or a directory above it is excluded; for names that come without a walk."""
    parts = path.split(b"/")
    return path != ROOT and any(excluded(b"/".join(parts[:i])) for i in range(1, len(parts) + 1))


def scan(root: bytes, exclude: Sequence[str] = ()) -> list[Entry]:
    """The entries of the tree at ``root`` (a directory, file or link; not followed), sorted by path.

    Raises :class:`MigrationError` naming what cannot be copied: sockets, fifos, devices, and names that may not be read.
    """
    refused: dict[str, list[bytes]] = {}
    entries = [_entry(ROOT, root, os.lstat(root), refused)]
    try:
        found = walk(root, exclude, refused) if entries[0].type == DIRECTORY else []
        entries += [_entry(path, item.path, item.stat(follow_symlinks=False), refused) for path, item in found]
    except FileNotFoundError:
        raise MigrationError(f"{text(root)} changed while it was read", moving=True) from None
    entries.sort(key=lambda e: e.path)
    first: dict[tuple[int, int], bytes] = {}
    for entry in entries:
        if entry.link_of is not None:
            other = first.setdefault(entry.inode, entry.path)
            entry.link_of = other if other != entry.path else None
    if refused:
        kinds = "; ".join(f"{kind}: {first_names(paths)}" for kind, paths in sorted(refused.items()))
        raise MigrationError(f"{text(root)} holds what cannot be copied ({kinds}): remove it or exclude it")
    return entries


def walk(root: bytes, exclude: Sequence[str] = (), refused: dict[str, list[bytes]] | None = None,
         ) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    """Every name below the directory ``root``: (relative path, directory entry). Directories that may not be read go to ``refused``."""
    excluded = excluder(exclude)
    pending = [b""]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(os.path.join(root, directory) if directory else root) as listing:
                found = list(listing)
        except PermissionError:
            if refused is None:
                raise
            refused.setdefault("unreadable", []).append(directory or ROOT)
            continue
        for item in found:
            path = directory + b"/" + item.name if directory else item.name
            if not excluded(path):
                if item.is_dir(follow_symlinks=False):
                    pending.append(path)
                yield path, item


def _entry(path: bytes, full: bytes, status: os.stat_result, refused: dict[str, list[bytes]]) -> Entry:
    kind = stat.S_IFMT(status.st_mode)
    if kind in KINDS:
        refused.setdefault(KINDS[kind], []).append(path)
    owners = status.st_uid, status.st_gid, user_name(status.st_uid), group_name(status.st_gid)
    entry = Entry(path, TYPES.get(kind, FILE), stat.S_IMODE(status.st_mode), *owners, status.st_mtime_ns)
    entry.ctime_ns, entry.inode = status.st_ctime_ns, (status.st_dev, status.st_ino)
    if entry.type == LINK:
        entry.target = os.readlink(full)
    elif entry.type == DIRECTORY:
        entry.xattrs = read_xattrs(full)
    else:
        entry.size = status.st_size
        entry.link_of = path if status.st_nlink > 1 else None
        if os.geteuid() != 0 and not os.access(full, os.R_OK):
            refused.setdefault("unreadable", []).append(path)
    return entry


def read_xattrs(place: bytes | int) -> dict[str, bytes] | None:
    """The extended attributes (ACLs and capabilities too) of a path or descriptor; None when there are none."""
    found: dict[str, bytes] = {}
    try:
        names = os.listxattr(place)
    except OSError as error:
        if error.errno not in NO_ATTRIBUTE:
            raise
        return None
    for name in names:
        if name not in PLACE_BOUND:
            try:
                found[name] = os.getxattr(place, name)
            except OSError as error:
                if error.errno not in NO_ATTRIBUTE:
                    raise
    return found or None


@functools.cache
def user_name(uid: int) -> str | None:
    """The name of a user, None when it has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


@functools.cache
def group_name(gid: int) -> str | None:
    """The name of a group, None when it has none here."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None
