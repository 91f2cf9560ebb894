# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a freeze takes away and how it gives that back, from what was captured before it; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres import acl
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import quote
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_methods import Method

WRITES = {"TABLE": {"INSERT", "UPDATE", "DELETE", "TRUNCATE"}, "COLUMN": {"INSERT", "UPDATE"}, "SEQUENCE": {"USAGE", "UPDATE"}}
Rows = Sequence[Sequence[str]]  # an ACL as a capture has it


@dataclass(frozen=True)
class Reduced:
    """One object whose ACL is ``reduced`` while the source is frozen; ``kind`` and ``identity`` are those of ``acl.lead``."""

    kind: str
    identity: str
    entry: Mapping[str, Any]
    reduced: Rows
    plain: bool

    @property
    def apply(self) -> list[str]:
        """What reduces it."""
        return acl.lead(self.kind, self.identity, self.entry, self.entry["acl"], self.reduced, (), self.plain)

    @property
    def undo(self) -> list[str]:
        """What gives it back."""
        return acl.lead(self.kind, self.identity, self.entry, self.reduced, self.entry["acl"], (), self.plain)

    def is_back(self, contents: Mapping[str, Any]) -> bool:
        """Whether a captured database has again what was taken, and no longer what was added."""
        found = contents if self.kind == "DATABASE" else contents["objects"].get(self.kind, {}).get(self.identity, {"acl": []})
        have, before, frozen = (set(acl.explode(rows)) for rows in (found["acl"], self.entry["acl"], self.reduced))
        return before - frozen <= have and not (frozen - before) & have


@dataclass
class Changes:
    """What is done in one database."""

    objects: list[Reduced] = field(default_factory=list)

    @property
    def apply(self) -> list[str]:
        """Statements that freeze."""
        return [line for one in self.objects for line in one.apply]

    @property
    def undo(self) -> list[str]:
        """Statements that undo it."""
        return [line for one in self.objects for line in one.undo]

    def without(self, gone: Collection[tuple[str, str]]) -> Changes:
        """The same without objects, by kind and identity."""
        return Changes([one for one in self.objects if (one.kind, one.identity) not in gone])

    def owed(self, contents: Mapping[str, Any]) -> list[str]:
        """What a captured database did not get back."""
        return [f"{one.kind} {one.identity}" for one in self.objects if not one.is_back(contents)]

    def _add(self, kind: str, identity: str, entry: Mapping[str, Any], reduced: Rows, plain: bool) -> None:
        if reduced != entry["acl"]:
            self.objects.append(Reduced(kind, identity, entry, reduced, plain))

    def reduce_grants(self, contents: Mapping[str, Any], spared: set[str], plain: bool) -> None:
        """Take the right to write to tables and sequences.

        Privileges alone, no default_transaction_read_only: sessions that begin during the freeze would keep it afterwards.
        """
        for kind, privileges in WRITES.items():
            for identity, entry in sorted(contents["objects"].get(kind, {}).items()):
                self._add(kind, identity, entry, acl.without(entry["acl"], privileges, spared), plain)

    def close(self, taken: Mapping[str, Any], database: str, spared: set[str], plain: bool) -> None:
        """Take the right to connect, which a login of ours that is no superuser keeps."""
        entry, administrator = taken["databases"][database], taken["administrator"]
        reduced = acl.without(entry["acl"], {"CONNECT"}, spared)
        items = acl.explode(reduced)
        if plain and not any(item.grantee == administrator and item.privilege == "CONNECT" for item in items):
            reduced = acl.collapse([*items, acl.Item(administrator, "CONNECT", False, entry["owner"])])
        self._add("DATABASE", quote(database), entry, reduced, plain)


def plan(taken: Mapping[str, Any], databases: Sequence[str], method: Method) -> dict[str, Changes]:
    """By database, what the freeze runs in it and how that is undone, from the capture ``taken`` alone."""
    found = {name: Changes() for name in sorted(databases)}
    spared = {name for name, role in taken["roles"].items() if role["superuser"]} | {taken["administrator"]}
    plain = not taken["roles"].get(taken["administrator"], {}).get("superuser")
    for name, changes in found.items():
        if method.keep_readers:
            changes.reduce_grants(taken["databases"][name], spared, plain)
        if method.name == "revoke_connect":
            changes.close(taken, name, spared, plain)
    return found


def frozen(taken: Mapping[str, Any], databases: Sequence[str], method: Method) -> dict[str, dict[str, Any]]:
    """By database, what the freeze makes of its captured contents."""
    found = {}
    for name, changes in plan(taken, databases, method).items():
        objects = {kind: dict(entries) for kind, entries in taken["databases"][name]["objects"].items()}
        for one in changes.objects:
            if one.kind == "COLUMN" and not one.reduced:  # there is an entry only where there are grants
                del objects["COLUMN"][one.identity]
            elif one.kind != "DATABASE":
                objects[one.kind][one.identity] = dict(one.entry, acl=one.reduced)
        found[name] = dict(taken["databases"][name], objects={kind: entries for kind, entries in objects.items() if entries})
    return found


def difference(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> list[str]:
    """Paths at which two captures differ."""
    found: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if one != other:
            here = f"{path}/{key}"
            found += difference(one, other, here) if isinstance(one, Mapping) and isinstance(other, Mapping) else [here]
    return found


def altered(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> list[str]:
    """Those of the differences that are neither new nor gone: what was there is there, and lost something or is another.

    New and gone are the work of somebody who goes on working; a command that stops writes and is not undone alters.
    """
    found: list[str] = []
    for key in sorted((before.keys() & after.keys()) - {"large_object_owners", "placed"}):  # they count what is there
        one, other, here = before[key], after[key], f"{path}/{key}"
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += altered(one, other, here)
        elif one != other and not (isinstance(one, list) and isinstance(other, list) and all(item in other for item in one)):
            found.append(here)
    return found
