# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogs that a backup keeps: with them a restore is compared, to the last index, when the source is not at hand.

They are a part of the backup of its own, encrypted when the archives are: definitions are as secret as these. Of roles they
hold nothing, and of the options of foreign servers and user mappings, where passwords stand, only digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import sequences
from ansible_collections.dihya.migration.plugins.module_utils._postgres.catalog import Catalog, read_catalog
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import read_own

PART = "catalog.json"
FORMAT = 2  # of what ``read_catalog`` returns: one that was kept with other properties could not be compared
NOT_UTF8 = "22021"  # SQLSTATE

Kept = dict[str, Any]
"""``objects`` (a catalog), ``own`` (the tablespace of the database) and ``used`` (see :func:`note_use`)."""


def read_kept(endpoint: Endpoint, name: str, snapshot: str | None, application_name: str) -> Kept | None:
    """The catalog of the database ``name``, in ``snapshot`` when given; None where :func:`readable_catalog` is."""
    with transaction(endpoint, name, snapshot, application_name) as connection:
        own, objects = read_own(connection), readable_catalog(connection)
        return None if objects is None else {"own": own, "objects": objects, "used": {}}


def readable_catalog(connection: Any) -> Catalog | None:
    """What ``read_catalog`` does; None in a database without an encoding that has words of another than UTF-8.

    Then a transaction of ``connection`` can only be rolled back.
    """
    try:
        return read_catalog(connection)
    except import_psycopg2().Error as error:
        if error.pgcode != NOT_UTF8:
            raise
        return None


def read_all(endpoint: Endpoint, snapshots: Mapping[str, str], application_name: str) -> dict[str, Kept]:
    """The catalogs of the databases that are dumped, by name; they share the snapshots of their dumps.

    One that cannot be read cannot be kept; a proof will say so.
    """
    found = {name: read_kept(endpoint, name, snapshot, application_name) for name, snapshot in snapshots.items()}
    return {name: one for name, one in found.items() if one is not None}


def note_use(kept: Mapping[str, Kept], endpoint: Endpoint, application_name: str) -> None:
    """Note, once the archives are written, where sequences stand that moved since :func:`read_all`; None where one is gone.

    No snapshot holds a sequence still: the archive has a value from somewhere between.
    """
    for name, one in kept.items():
        with transaction(endpoint, name, None, application_name) as connection:
            now = sequences(connection)
        one["used"] = {identity: now.get(identity) for identity, entry in one["objects"]["sequence"].items()
                       if now.get(identity) != [entry["last_value"], entry["is_called"]]}


def whole(kept: Mapping[str, Kept]) -> dict[str, Any]:
    """The content of the part."""
    return {"format": FORMAT, "databases": dict(kept)}


def comparable(content: Mapping[str, Any]) -> dict[str, Kept]:
    """What :func:`whole` made, as far as it can be compared here."""
    return dict(content["databases"]) if content["format"] == FORMAT else {}


def settle(kept: Kept, target: Catalog) -> tuple[Catalog, list[str]]:
    """The catalog ``kept`` with the values that sequences in use have on ``target``, and the names of these sequences.

    A value that the sequence cannot have had while it was dumped stays a difference.
    """
    settled: dict[str, dict[str, Any]] = {}
    for identity, later in kept["used"].items():
        entry, other = kept["objects"]["sequence"][identity], target["sequence"].get(identity)
        if other is not None and _may_be(entry, later, [other["last_value"], other["is_called"]]):
            settled[identity] = dict(entry, last_value=other["last_value"], is_called=other["is_called"])
    return dict(kept["objects"], sequence={**kept["objects"]["sequence"], **settled}), sorted(settled)


def _may_be(entry: Mapping[str, Any], later: list[Any] | None, value: list[Any]) -> bool:
    """Whether a sequence on its way from ``entry`` to ``later`` may have had ``value``; on one that went back it may be any."""
    def place(last: int, called: bool) -> tuple[int, bool]:
        return (last if entry["increment"] > 0 else -last), called

    if later is None or place(*later) < place(entry["last_value"], entry["is_called"]):
        return True
    return place(entry["last_value"], entry["is_called"]) <= place(*value) <= place(*later)
