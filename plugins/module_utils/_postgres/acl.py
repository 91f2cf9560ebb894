# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statements that lead from one ACL in normal form (see ``capture``) to another, grantors included; all pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import quote

PUBLIC = "public"
# Privileges by the first major version that has them: an older server cannot have granted them.
NEWER = {"MAINTAIN": 170000}


class Item(NamedTuple):
    """One privilege that ``grantor`` gave to ``grantee``."""

    grantee: str
    privilege: str
    grantable: bool
    grantor: str


def explode(acl: Sequence[Sequence[str]], ignored: Collection[str] = ()) -> list[Item]:
    """The items of a normal form, privileges in ``ignored`` left out."""
    return [
        Item(grantee, name.rstrip("*"), name.endswith("*"), grantor)
        for grantee, privileges, grantor in acl for name in privileges.split(",") if name.rstrip("*") not in ignored
    ]


def collapse(items: Collection[Item]) -> list[list[str]]:
    """The normal form of ``items``."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in sorted(items):
        found.setdefault((item.grantee, item.grantor), []).append(item.privilege + ("*" if item.grantable else ""))
    return [[grantee, ",".join(names), grantor] for (grantee, grantor), names in sorted(found.items())]


def without(acl: Sequence[Sequence[str]], privileges: Collection[str], spared: Collection[str] = ()) -> list[list[str]]:
    """``acl`` without ``privileges``, except those of the grantees in ``spared``."""
    return collapse([item for item in explode(acl) if item.privilege not in privileges or item.grantee in spared])


def unknown_privileges(*versions: int) -> set[str]:
    """Privileges that not every server of these version numbers knows."""
    return {name for name, since in NEWER.items() if min(versions) < since}


def lead(kind: str, identity: str, entry: Mapping[str, Any], actual: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]],
         ignored: Collection[str] = (), plain: bool = False) -> list[str]:
    """Statements that turn ``actual`` into ``wanted`` on one object.

    ``kind`` and ``identity`` are keys of ``capture``'s ``objects`` (or ``DATABASE`` and a quoted name), ``entry`` its value.
    A grant made by another role than the owner is made and taken back as that role; one of the owner too, where the login
    is ``plain``: the server would take for the grantor whichever of the login's roles may grant.
    """
    have, want = set(explode(actual, ignored)), set(explode(wanted, ignored))
    target = f"TABLE {entry['table']}" if kind == "COLUMN" else f"{kind} {identity}"
    column = f" ({entry['column']})" if kind == "COLUMN" else ""
    depth = _depths(have | want, entry["owner"])
    himself = None if plain else entry["owner"]
    statements = []
    for item in sorted(have - want, key=lambda item: (-depth.get(item.grantor, 0), item)):
        option = "GRANT OPTION FOR " if item.grantable and item._replace(grantable=False) in want else ""
        if not item.grantable and item._replace(grantable=True) in want:
            continue  # the grant below adds the option
        statements += _as(item.grantor, himself, f"REVOKE {option}{item.privilege}{column} ON {target} FROM {_role(item.grantee)}")
    for item in sorted(want - have, key=lambda item: (depth.get(item.grantor, 0), item)):
        if not item.grantable and item._replace(grantable=True) in have:
            continue
        option = " WITH GRANT OPTION" if item.grantable else ""
        statements += _as(item.grantor, himself, f"GRANT {item.privilege}{column} ON {target} TO {_role(item.grantee)}{option}")
    return statements


def database_statements(actual: Mapping[str, Any], wanted: Mapping[str, Any], ignored: Collection[str] = (),
                        plain: bool = False) -> list[str]:
    """Statements that give the objects of a captured database ``actual`` the owners and ACLs of ``wanted``.

    Both are values of ``capture``'s ``databases``; run the statements in that database. Objects that are in one of them
    only are left alone.
    """
    statements = []
    # Columns last: a privilege taken from a table is taken from its columns too.
    for kind, wanted_objects in sorted(wanted.get("objects", {}).items(), key=lambda item: (item[0] == "COLUMN", item[0])):
        actual_objects = actual.get("objects", {}).get(kind, {})
        for identity, entry in sorted(wanted_objects.items()):
            if kind == "COLUMN" and entry["table"] not in actual.get("objects", {}).get("TABLE", {}):
                continue
            have = actual_objects.get(identity, dict(entry, acl=[]) if kind in ("COLUMN", "LARGE OBJECT") else entry)
            if have["owner"] != entry["owner"] and kind != "COLUMN":
                statements.append(f"ALTER {kind} {identity} OWNER TO {quote(entry['owner'])}")
            statements += lead(kind, identity, entry, have["acl"], entry["acl"], ignored, plain)
    return statements


def _depths(items: Collection[Item], owner: str) -> dict[str, int]:
    """How many grants lie between the owner and each grantor: dependent grants go first and come last."""
    depths = {owner: 0}
    for _round in range(len(items)):
        for item in items:
            if item.grantor in depths and item.grantable and item.grantee not in depths:
                depths[item.grantee] = depths[item.grantor] + 1
    return depths


def _as(grantor: str, owner: str | None, statement: str) -> list[str]:
    return [statement] if grantor == owner else [f"SET ROLE {quote(grantor)}", statement, "RESET ROLE"]


def _role(grantee: str) -> str:
    return "PUBLIC" if grantee == PUBLIC else quote(grantee)
