# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether what a migration writes fits where it writes: pure, as :mod:`preflight`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_read import TARGET, good
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import amount

# What a database takes more on the target while its indexes are built.
RESTORE_FACTOR = 1.2


def backup_place(facts: dict[str, Any]) -> Iterator[Finding]:
    """A backup directory that cannot be written, or a file system too small for all dumps and second copies that come to it."""
    place = facts["backup"]
    if place and place["error"]:
        yield finding("migration_backup_dir", f"{place['path']} cannot be written: {place['error']}",
                      "name a directory that the user of the mover may write")
    each = data_bytes(facts)
    seen: set[int] = set()
    for subject, place, _count in dumps(facts):
        count = dumps_on(facts, place["device"])
        if place["device"] not in seen and place["free"] < count * each:
            told = (f"the backup may take {amount(each)}" if count == 1
                    else f"{count} dumps and copies of {amount(each)} each may take {amount(count * each)}")
            yield finding(subject, f"{place['path']} has {amount(place['free'])} free, {told}",
                          "make room, or name a directory on a larger file system")
        seen.add(place["device"])


def target_space(facts: dict[str, Any]) -> Iterator[Finding]:
    """Too little room on the target. No server tells its free space over SQL; to run a program on its machine is not ours to do."""
    data, restored = facts["target"]["local_data"], int(total_bytes(facts) * RESTORE_FACTOR)
    if data is None:
        yield finding(TARGET, f"its free disk space cannot be asked for from here, the restore may take {amount(restored)}",
                      "make sure on its machine, or at its provider, that it has that much", False)
        return
    dumped = data_bytes(facts) * dumps_on(facts, data["device"])
    if data["free"] < restored + dumped:
        told = (f"backups ({amount(dumped)}) and restore ({amount(restored)}) may take {amount(restored + dumped)}" if dumped
                else f"the restore may take {amount(restored)}")
        yield finding(TARGET, f"the target has {amount(data['free'])} free, {told}", "make room on the target")


def drill_needs(facts: dict[str, Any]) -> dict[str, int]:
    """Bytes of the ``databases`` on a throw-away server, and of the ``backup`` that is written before it to the same file system."""
    place, backup = facts["drill"], facts["backup"]
    beside = place and backup and place["device"] is not None and place["device"] == backup["device"]
    return {"databases": int(total_bytes(facts) * RESTORE_FACTOR), "backup": data_bytes(facts) if beside else 0}


def room(facts: dict[str, Any], boot: str) -> list[dict[str, Any]]:
    """What comes to each file system that can be looked at from here, in the form of ``migration_room``; ``boot`` is this machine's."""
    each = data_bytes(facts)
    rows = [(place, count * each) for _subject, place, count in dumps(facts)]
    data = facts["target"].get("local_data")
    if data is not None:
        rows.append((data, int(total_bytes(facts) * RESTORE_FACTOR)))
    return [{"subject": "postgresql_databases", "bytes": needed,
             "seen": {"free_bytes": place["free"], "filesystem": f"{boot} {place['device']}"}} for place, needed in rows]


def dumps(facts: dict[str, Any]) -> list[tuple[str, dict[str, Any], int]]:
    """Where dumps come to lie and can be written: the variable, the place, and how many."""
    places = [("migration_backup_dir", facts["backup"], facts["dumps"])] if facts["backup"] else []
    places += [("migration_backup_copies", place, 1) for place in facts["copies"]]
    return [one for one in places if not one[1]["error"]]


def dumps_on(facts: dict[str, Any], device: int) -> int:
    """How many dumps come to lie on the file system ``device``."""
    return sum(count for _subject, place, count in dumps(facts) if place["device"] == device)


def size(content: dict[str, Any]) -> int:
    """Bytes of a database's tables and indexes."""
    return sum(one["bytes"] + one["index_bytes"] for one in content["relations"])


def total_bytes(facts: dict[str, Any]) -> int:
    """Bytes of tables and indexes of all chosen databases."""
    return sum(size(content) for content in good(facts).values())


def data_bytes(facts: dict[str, Any]) -> int:
    """Bytes of tables alone: what a backup holds at most, before compression."""
    return sum(one["bytes"] for content in good(facts).values() for one in content["relations"])
