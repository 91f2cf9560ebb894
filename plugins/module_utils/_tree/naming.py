# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of copies and of releases: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

STAMP = "%Y-%m-%d_%H%M"
STAMPED = r"_(\d{4}-\d{2}-\d{2}_\d{4})(?:-(\d{1,6}))?\Z"  # the end of the name of a copy
RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}\Z")


def require_plain(name: str, option: str) -> str:
    """``name`` when it is a visible name of one component in one line; raises otherwise."""
    if not name.isprintable() or not name or name.startswith((".", "-")) or "/" in name or len(name.encode()) > 200:
        raise MigrationError(f"{option} must be one plain name: no /, no leading dot or dash, no control character", subject=option)
    return name


def require_release(name: str) -> str:
    """``name`` when it can be a release; raises otherwise."""
    if not RELEASE.match(name) or ".." in name:
        raise MigrationError("name must be letters, digits and . _ + - only, start with a letter or digit, and have no ..", subject="name")
    return name


def copy_name(name: str, moment: datetime, taken: Iterable[str]) -> str:
    """``NAME_YYYY-MM-DD_HHMM``; with a number above all those of the same minute when there are some, so that the order stays."""
    base = f"{name}_{moment.strftime(STAMP)}"
    highest = max((number for stamp, number, _item in _copies(name, taken) if stamp == moment.strftime(STAMP)), default=0)
    return f"{base}-{highest + 1}" if highest else base


def copies(name: str, listing: Iterable[str]) -> list[str]:
    """The names in ``listing`` that are copies of ``name``, the oldest first."""
    return [item for _stamp, _number, item in _copies(name, listing)]


def _copies(name: str, listing: Iterable[str]) -> list[tuple[str, int, str]]:
    form = re.compile(re.escape(name) + STAMPED)
    return sorted((match.group(1), int(match.group(2) or 1), item) for item in listing if (match := form.match(item)))


def newest_of_each(listing: Iterable[str]) -> list[str]:
    """Of the copies of one name in ``listing`` the newest, and all that is no copy."""
    found = set(listing)
    stems = {re.sub(STAMPED, "", item) for item in found}
    return sorted(stems & found | {each[-1] for each in (copies(stem, found) for stem in stems) if each})


def surplus(ordered: list[str], keep: int | None, protected: Iterable[str]) -> list[str]:
    """What to remove so that ``keep`` of ``ordered`` (the oldest first) remain; never one of ``protected``, nothing when keep is None."""
    if keep is None:
        return []
    kept = set(protected)
    removable = [name for name in ordered if name not in kept]
    return removable[: max(0, min(len(removable), len(ordered) - keep))]
