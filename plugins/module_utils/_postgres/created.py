# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of what a restore made on a server, on disk before it is made, so that exactly that can be removed again.

One JSON object: ``format``, ``server`` (its system identifier, None where the login may not read it) and its ``address``
(``host:port``), ``backup`` (the seal of a :class:`Backup`), ``complete``, and ``objects``: ``{kind, name, identity, …}`` with the
object's OID as identity. A database comes to life under a random name that is recorded first: whatever bears it is ours, even
when the worker died before it could note the OID.
"""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory, private_directory, publish_json, read_json

FORMAT = 1


class Record:
    """The record at ``path``; every change is on disk when the method returns."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self.state: dict[str, Any] | None = read_json(path)
        except FileNotFoundError:
            self.state = None
        except (OSError, ValueError):
            raise MigrationError(f"the record of created objects {path} cannot be read: restore it, "
                                 "or remove by hand what it named") from None
        if self.state is not None and (not isinstance(self.state, dict) or self.state.get("format") != FORMAT):
            raise MigrationError(f"{path} is not a record of created objects of format {FORMAT}")

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What is recorded, oldest first."""
        return self.state["objects"] if self.state else []

    def is_of(self, server: str | None, address: str) -> bool:
        """Whether it is of the server with this system identifier; where nobody may read that, of the one at this address."""
        state = self.state or {}
        return state.get("server") == server and (server is not None or state.get("address") == address)

    def open(self, server: str | None, address: str, backup: str, **facts: Any) -> None:
        """Begin an empty record."""
        private_directory(os.path.dirname(os.path.abspath(self._path)))
        self.state = dict(facts, format=FORMAT, server=server, address=address, backup=backup, complete=False, objects=[])
        self._write()

    def add(self, *objects: dict[str, Any]) -> None:
        """Record ``objects`` before they exist, or before the transaction that makes them commits."""
        self.objects.extend(objects)
        self._write()

    def update(self, entry: dict[str, Any], **facts: Any) -> None:
        """Add ``facts`` to an entry of ``objects``."""
        entry.update(facts)
        self._write()

    def forget(self, entry: dict[str, Any]) -> None:
        """Strike out an object that is removed."""
        self.objects.remove(entry)
        self._write()

    def complete(self, **facts: Any) -> None:
        """Mark the restore as done."""
        if self.state is None:
            raise AssertionError("self.state is set before")
        self.state.update(facts, complete=True)
        self._write()

    def close(self) -> None:
        """Remove the record, once nothing of it is left."""
        if os.path.exists(self._path):
            os.unlink(self._path)
            fsync_directory(os.path.dirname(os.path.abspath(self._path)))
        self.state = None

    def _write(self) -> None:
        publish_json(self._path, self.state)
