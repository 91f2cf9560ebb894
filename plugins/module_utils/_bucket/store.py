# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading and writing the objects of a site: all of them by one rclone, and never more believed than what was read back."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._bucket.objects import Site, Stored, headers_of, key_problems
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._transport.bucket import Bucket
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import first_names, raw

OLDEST = (1, 59)
"""The first rclone that tells the headers of objects."""
TRIAL = ".dihya-migration-trial-"
TRIED = (("cache-control", "public, max-age=60"), ("content-type", "text/css; charset=utf-8"))
Tick = Callable[[int], None]


def still(_amount: int) -> None:
    """Nobody waits."""


class Store:
    """A site's place. All methods raise :class:`MigrationError` when it cannot be listed, read or written to."""

    def __init__(self, place: Bucket) -> None:
        self.place = place

    def listing(self, names: Collection[str] | None = None, sweep: bool = False) -> dict[str, dict[str, Any]]:
        """Size and headers of all objects, or of those ``names`` that are there, by key.

        What a killed trial left is none of the site, and removed with ``sweep``.
        """
        if names is not None and not names:
            return {}
        told = self.place.work(["lsjson", "--recursive", "--files-only", "--metadata", "--fast-list", self.place.remote], names, "listed")
        try:
            found = {one["Path"]: {"size": int(one["Size"]), "headers": headers_of(one.get("Metadata") or {})}
                     for one in json.loads(told or b"[]")}
        except (ValueError, KeyError, TypeError):
            raise MigrationError(f"{self.place.remote} cannot be listed: rclone told no list", subject="bucket") from None
        self.remove([key for key in found if sweep and key.startswith(TRIAL)])
        return {key: one for key, one in found.items() if not key.startswith(TRIAL)}

    def read(self, tick: Tick = still) -> Site:
        """All objects, every byte read from the store."""
        listed = self.listing()
        digests = self.digests(listed, tick)
        lost = sorted(set(listed) - set(digests))
        if lost:
            raise MigrationError(f"{self.place.remote} cannot be read: {first_names(map(raw, lost))} went while it was read",
                                 subject="bucket")
        return {key: Stored(key, one["size"], digests[key], one["headers"]) for key, one in listed.items()}

    def digests(self, names: Collection[str], tick: Tick = still) -> dict[str, str]:
        """SHA-256 of the bytes of objects, by key."""
        self.require_plain(names)
        if not names:
            return {}
        told = self.place.work(["hashsum", "sha256", "--download", self.place.remote], names, "read", tick).decode("utf-8", "replace")
        rows = (line.partition("  ") for line in told.split("\n") if line)
        return {key: digest for digest, _gap, key in rows}

    def require_plain(self, keys: Iterable[str]) -> None:
        """Raise when a key is no path of a file."""
        wrong = key_problems(keys)
        if wrong:
            raise MigrationError(f"{self.place.remote} holds objects whose names are no paths of files ({first_names(map(raw, wrong))}): "
                                 "remove them, or name a prefix without them", subject="bucket")

    def put(self, objects: Iterable[Stored], roots: Mapping[str, str], tick: Tick = still) -> None:
        """Send files, of each key the one below its directory ``roots[key]``. An object appears whole, in one request, or not at all."""
        groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
        for one in objects:
            groups.setdefault((roots[one.key], one.headers), []).append(one.key)
        for (root, headers), keys in sorted(groups.items()):
            told = [word for name, value in headers for word in ("--header-upload", f"{_sent(name)}: {value}")]
            self.place.work(["copy", "--no-check-dest", "--no-traverse", "--s3-no-check-bucket", "--s3-upload-cutoff=5Gi", *told, root,
                             self.place.remote], keys, "written to", tick)

    def remove(self, keys: Collection[str]) -> None:
        """Remove objects; those that are not there are no error."""
        if keys:
            self.place.work(["delete", self.place.remote], keys, "written to")

    def fetch(self, keys: Collection[str], directory: str, tick: Tick = still) -> None:
        """Bring objects below ``directory``."""
        if keys:
            self.place.work(["copy", self.place.remote, directory], keys, "read", tick)

    def prove(self, sent: Iterable[Stored], tick: Tick = still, whole: Site | None = None) -> None:
        """Read back what was sent; raises unless each object is what it should be, bytes and headers.

        With ``whole`` the place must hold exactly that, and what was not sent now must have its sizes and headers.
        """
        expected = {one.key: one for one in sent}
        listed = self.listing(None if whole is not None else list(expected))
        digests = self.digests(expected, tick)
        wanted = expected if whole is None else whole
        wrong = sorted(
            {key for key, one in expected.items() if digests.get(key) != one.sha256}
            | {key for key in {*listed, *wanted}
               if key not in wanted or listed.get(key) != {"size": wanted[key].size, "headers": wanted[key].headers}})
        if wrong:
            raise MigrationError(f"{self.place.remote} does not hold what was sent to it ({first_names(map(raw, wrong))}): "
                                 "the files changed meanwhile, somebody else writes to it, or it cannot be trusted", subject="bucket")

    def try_it(self) -> str | None:
        """Put a small object of no meaning, read it back, remove it; what is wrong with its headers, None when all came back."""
        name = TRIAL + secrets.token_hex(8)
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, name), "wb") as stream:
                stream.write(b"trial")
            self.put([Stored(name, 5, "", TRIED)], {name: directory})
        try:
            told = self.place.work(["lsjson", "--files-only", "--metadata", self.place.remote], [name], "listed")
            found = dict(headers_of((json.loads(told) or [{}])[0].get("Metadata") or {}))
        except (ValueError, TypeError, AttributeError):
            found = {}
        finally:
            self.remove([name])
        lost = [header for header, value in TRIED if found.get(header) != value]
        return ", ".join(lost) or None


def _sent(name: str) -> str:
    """The header of a request by which the store gets to know one; what is the user's own has a name of its own there."""
    known = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type")
    return name if name in known else f"x-amz-meta-{name}"
