# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter scarce_room: file systems that have no room for all that is going to be put on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._tree.copying import MARGIN

DOCUMENTATION = r"""
name: scarce_room
short_description: File systems that have no room for all that is going to be put on them
version_added: 0.1.0
description:
  - A stack role keeps in its preflight what it is going to write and where, in the fact C(migration_room). What comes to one file system
    is added up, whatever stack, host and path it belongs to, and a fifth or 16 MiB more must be free.
  - Databases count with what M(dihya.migration.pg_preflight) says that they take at most, without more. Where nothing else comes to their
    file system, it is for that module to say that there is no room.
  - What goes to C(migration_backup_dir) goes to each directory of C(migration_backup_copies) as well.
positional: hostvars
options:
  _input:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of the hosts.
    type: dict
    required: true
author: Dihya Migration contributors
"""

EXAMPLES = r"""
- name: Gather the findings
  ansible.builtin.set_fact:
    findings: "{{ ansible_play_hosts_all | dihya.migration.scarce_room(hostvars) }}"
"""

RETURN = r"""
_value:
  description: A finding for each such file system, with C(subject), C(finding), C(remedy) and C(blocking).
  type: list
  elements: dict
"""

BACKUPS = "migration_backup_dir"
DATABASES = "postgresql_databases"


def scarce_room(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> list[Finding]:
    """Findings about file systems with less than what :func:`_needs` says of them."""
    places: dict[str, list[tuple[str, str, int, int]]] = {}
    for host in hosts:
        for subject, seen, needed in _needs(hostvars[host]):
            if needed and seen.get("filesystem"):
                places.setdefault(seen["filesystem"], []).append((subject, host, int(seen["free_bytes"]), needed))
    found = []
    for rows in places.values():
        trees = sum(row[3] for row in rows if row[0] != DATABASES)
        needed, free = sum(row[3] for row in rows) + max(trees // 5, MARGIN), min(row[2] for row in rows)
        if trees and free < needed:
            subjects, names = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
            found.append(finding(f"{', '.join(subjects)} ({', '.join(names)})",
                                 f"{free >> 20} MiB are free where {needed >> 20} MiB are needed",
                                 "free space, or choose another file system"))
    return found


def _needs(variables: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], int]]:
    """Subject, what was seen of the place, and bytes, of all that one host is going to write."""
    backups = 0
    # What was made already at a place is told once for all that one stack brings there.
    for (subject, seen), rows in itertools.groupby(variables.get("migration_room", []), lambda row: (row["subject"], row["seen"])):
        wanted = sum(int(row["bytes"]) for row in rows)
        needed = 0 if seen.get("made") else max(0, wanted - int(seen.get("made_bytes") or 0))
        backups += needed if subject == BACKUPS else 0
        yield subject, seen, needed
    for subject, seen in (variables.get("migration_places_seen") or {}).get("seen", {}).items():
        yield subject, seen, backups


class FilterModule:
    """The filters of this file."""

    @staticmethod
    def filters() -> dict[str, Any]:
        """Filters by name."""
        return {"scarce_room": scarce_room}
