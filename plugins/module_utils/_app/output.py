# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a command makes: never what an earlier run of it left, and not lost when it fails."""

from __future__ import annotations

import contextlib
import os
import shutil

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError


def place_of(path: str, chdir: str | None) -> str:
    """The real path of what a command in ``chdir`` makes; raises where moving that away would move the command's own directory."""
    here = os.path.realpath(chdir or "/")
    place = os.path.realpath(os.path.join(here, path))
    if os.path.commonpath([place, here]) == place:
        raise MigrationError(f"{path} holds the directory in which it is made: let the build write to a directory of its own")
    return place


def set_aside(place: str) -> None:
    """Move what lies at ``place`` away, so that a builder that leaves unchanged files alone makes every one again.

    An empty directory stays in place of one, because ``place`` may be reached through a link. What a killed run put aside is the
    older state, and what that run had begun at ``place`` is removed.
    """
    kept = _aside(place)
    try:
        if os.path.lexists(kept):
            _remove(place)
        elif os.path.lexists(place):
            os.rename(place, kept)
        if os.path.isdir(kept):
            os.mkdir(place)
            shutil.copystat(kept, place)
            with contextlib.suppress(PermissionError):  # only root can give it to somebody else
                os.chown(place, os.stat(kept).st_uid, os.stat(kept).st_gid)
    except OSError as error:
        raise MigrationError(f"{place} of an earlier build cannot be moved away ({error.strerror}): move it away by hand") from None


def settle(place: str, made: bool) -> None:
    """Forget what was put aside when something new was ``made``, else bring it back."""
    kept = _aside(place)
    if not os.path.lexists(kept):
        return
    if made:
        _remove(kept)
    else:
        _remove(place)
        os.rename(kept, place)


def is_nothing(place: str) -> bool:
    """Whether there is neither a file with content nor a directory that holds a file."""
    if os.path.isdir(place):
        return not any(names for _folder, _below, names in os.walk(place))
    return not os.path.isfile(place) or os.path.getsize(place) == 0


def is_stale(made: str, source: str, chdir: str | None) -> bool:
    """Whether there is a ``source``, and what is ``made`` of it is absent or older; both relative to ``chdir``."""
    source, made = (os.path.join(chdir or "/", path) for path in (source, made))
    return os.path.exists(source) and (not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(source))


def _aside(place: str) -> str:
    return os.path.join(os.path.dirname(place), f".{os.path.basename(place)}.of-an-earlier-build")


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
