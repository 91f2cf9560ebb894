# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tables and other objects of a database were touched, from its catalogs before and after. Pure.

What was only written into tables shows in their row digests, which ``pg_verify`` compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import Difference, compare_contents

ROWS = ("r", "p", "f")  # kinds of relations that hold rows: tables, partitioned and foreign ones
KINDS = {"v": "view", "m": "materialized view", "c": "type"}
ONE_SERVER = (10**6, 10**6)  # its version is no matter: it knows the same privileges before and after
VALUES = ("last_value", "is_called")  # of sequences: they move with the rows, not with the definitions

Outline = Mapping[str, Mapping[str, str]]
"""Digests by name of ``tables`` (``schema.table``) and ``others`` (``kind name``)."""
Rights = Mapping[str, Any]
"""Owners and privileges in a database, one of ``capture``'s ``databases``."""


@dataclass(frozen=True)
class Touched:
    """What became of ``tables`` (``schema.table``) and ``others`` (``kind name``): ``extra``, ``missing`` or ``definition`` by name."""

    tables: dict[str, str]
    others: dict[str, str]

    def differences(self, database: str, expected: Collection[str]) -> list[Difference]:
        """The same for ``database``; a table is explained where it is in ``expected``, other objects are only told."""
        return [Difference(database, f"table {name}", what, "schema_change" if name in expected else None)
                for name, what in self.tables.items()] + [
            Difference(database, name, what, "schema_change") for name, what in self.others.items()]


def outline(catalog: Mapping[str, Any], values: bool = True) -> Outline:
    """A catalog of ``catalog`` as one digest for each table and other object, with all that belongs to it.

    Definitions may hold secrets, so a file that lies in clear holds these. ``values`` of sequences are in it or not.
    """
    relations = catalog["table"]
    found: dict[str, dict[str, Any]] = {"tables": {}, "others": {}}
    for kind in sorted(catalog):
        for identity, entry in sorted(catalog[kind].items()):
            name = entry.get("of") or identity
            relation = relations.get(name, {}).get("kind") if kind == "table" or entry.get("of") else None
            part = "tables" if relation in ROWS else "others"
            subject = name if relation in ROWS else f"{KINDS[relation]} {name}" if relation else f"{kind} {identity}"
            told = {key: value for key, value in entry.items() if values or key not in VALUES}
            text = json.dumps([kind, identity, told], sort_keys=True)
            found[part].setdefault(subject, hashlib.sha256()).update(text.encode())
    return {part: {name: digest.hexdigest() for name, digest in sorted(entries.items())} for part, entries in found.items()}


def touched(before: Outline, after: Outline) -> Touched:
    """What differs between two outlines of one database."""
    return Touched(_differing(before["tables"], after["tables"]), _differing(before["others"], after["others"]))


def touched_rights(database: str, before: Rights, after: Rights, catalog: Mapping[str, Any], expected: Collection[str]) -> list[Difference]:
    """What has another owner or other privileges than before, as :meth:`Touched.differences` tells it; ``catalog`` is that of ``after``.

    What was made or dropped is told there alone.
    """
    table_of = {f"table {name}": name for name in catalog["table"]}
    table_of.update((f"sequence {name}", entry["of"]) for name, entry in catalog["sequence"].items())
    for side in (before, after):
        table_of.update((f"column {name}", entry["table"]) for name, entry in side["objects"].get("COLUMN", {}).items())
    undeclared = {name for name, entry in catalog["table"].items() if entry["kind"] in ROWS} - set(expected)
    return [replace(one, rule=None if table_of.get(one.object) in undeclared else "schema_change")
            for one in compare_contents(database, before, after, ONE_SERVER)]


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    return {name: "extra" if name not in before else "missing" if name not in after else "definition"
            for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)}
