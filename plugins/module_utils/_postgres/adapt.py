# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a backup becomes where its login is no superuser, or some of its roles stay behind: all pure.

Managed services give nobody a superuser. Roles of the service stay with it, an owner that may not be assumed gives way to
another role, settings and memberships that the login may not give are left out, and each of them is named.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import PUBLIC, Item, collapse, explode

# Roles that the services of Amazon, Azure and Google make for themselves; other services are named by the inventory.
SERVICE_ROLES = ("rds_*", "rdsadmin", "rdsrepladmin", "rdstopmgr", "azure_*", "azuresu", "cloudsql*")
ADAPT_SPEC: dict[str, dict[str, Any]] = {
    "owners": {"type": "dict", "default": {}},
    "service_roles": {"type": "list", "elements": "str", "default": list(SERVICE_ROLES)},
    "leave_out": {"type": "list", "elements": "str", "default": []},
}


@dataclass(frozen=True)
class Limits:
    """What the login of the target may not do: ``refused`` settings, and roles in which it may make nobody a member."""

    plain: bool = False
    login: str = ""
    refused: frozenset[str] = frozenset()
    ungrantable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Adaptation:
    """``owners`` gives roles by the name of those whose place they take; ``left`` roles do not travel at all.

    ``present`` is what the target has all the same, because somebody gave it there who may: ``(database, role, setting)``
    and ``(role, member)``.
    """

    limits: Limits = Limits()
    owners: Mapping[str, str] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    leave_out: tuple[str, ...] = ()
    present: frozenset[tuple[str, ...]] = frozenset()

    @property
    def needed(self) -> bool:
        """Whether owners and privileges have to be given from the capture, because those of the archive would be refused."""
        return self.limits.plain or bool(self.owners) or bool(self.left)

    def role(self, name: str) -> str | None:
        """What becomes of the role ``name``; None when it stays behind."""
        return self.owners.get(name, None if name in self.left else name)

    def travels(self, name: str) -> bool:
        """Whether the role itself is one of the target's to come."""
        return self.role(name) == name

    def refuses(self, database: str | None, role: str | None, value: str) -> bool:
        """Whether the setting ``name=value`` of a role, a database or both cannot be given on the target."""
        name = value.partition("=")[0]
        refused = name in self.limits.refused or (self.limits.plain and not database and not role)
        return refused and (database or "", role or "", name) not in self.present

    def grants(self, role: str, member: str) -> bool:
        """Whether the membership travels."""
        may = role not in self.limits.ungrantable or (role, member) in self.present
        return may and self.travels(role) and self.travels(member)

    def beside(self, after: Mapping[str, Any], rename: Mapping[str, str]) -> Adaptation:
        """The adaptation where the target has what the capture ``after`` says; ``rename`` maps databases to its names."""
        back = {new: old for old, new in rename.items()}
        found: set[tuple[str, ...]] = {(back.get(database, database), role, value.partition("=")[0])
                                       for database, role, values in after["settings"] for value in values}
        return replace(self, present=frozenset(found | {(row[0], row[1]) for row in after["memberships"]}))


def adaptation(roles: Mapping[str, Mapping[str, Any]], limits: Limits, *, owners: Mapping[str, str], service_roles: Sequence[str],
               leave_out: Sequence[str]) -> Adaptation:
    """The adaptation of a capture with ``roles`` to a target with ``limits``; the others are options of the modules."""
    left = {name for name in roles if any(fnmatch.fnmatchcase(name, pattern) for pattern in service_roles)}
    if limits.plain:  # nobody else can make one, and it owns only what the system made
        left |= {name for name, role in roles.items() if role["bootstrap"]}
    return Adaptation(limits, dict(owners), frozenset(left - owners.keys()), tuple(leave_out))


def adapt_acl(acl: Sequence[Sequence[str]], owner: str, change: Adaptation) -> list[list[str]]:
    """``acl`` of an object of ``owner`` (its new one) without the roles that stay behind; what they granted, the owner grants."""
    found: dict[tuple[str, str, str], bool] = {}
    for item in explode(acl):
        grantee = PUBLIC if item.grantee == PUBLIC else change.role(item.grantee)
        if grantee is not None:
            key = (grantee, item.privilege, change.role(item.grantor) or owner)
            found[key] = found.get(key, False) or item.grantable
    return collapse([Item(grantee, privilege, grantable, grantor) for (grantee, privilege, grantor), grantable in found.items()])


def adapt_database(contents: Mapping[str, Any], change: Adaptation) -> dict[str, Any]:
    """One of a capture's ``databases``. An owner that stays behind and has no other in its place keeps its name: it is a finding."""
    def entry(one: Mapping[str, Any]) -> dict[str, Any]:
        owner = change.role(one["owner"]) or one["owner"]
        return dict(one, owner=owner, acl=adapt_acl(one["acl"], owner, change))

    counts: dict[str, int] = {}
    for owner, count in contents.get("large_object_owners", {}).items():
        counts[change.role(owner) or owner] = counts.get(change.role(owner) or owner, 0) + count
    defaults = [[change.role(row[0]), row[1], row[2], adapt_acl(row[3], str(change.role(row[0])), change)]
                for row in contents.get("default_acls", []) if change.role(row[0])]
    whole = entry(contents)
    objects = {kind: {identity: entry(one) for identity, one in found.items()} for kind, found in contents.get("objects", {}).items()}
    if "LARGE OBJECT" in objects:  # captured are those with grants, or of another owner than the database's
        objects["LARGE OBJECT"] = {oid: one for oid, one in objects["LARGE OBJECT"].items() if one["acl"] or one["owner"] != whole["owner"]}
    stay = left_members(contents, change.leave_out)
    if "COLUMN" in objects:
        objects["COLUMN"] = {identity: one for identity, one in objects["COLUMN"].items() if one["table"] not in stay.get("TABLE", ())}
    changed = {kind: {identity: one for identity, one in found.items() if identity not in stay.get(kind, ())}
               for kind, found in contents.get("changed_system_objects", {}).items() if not change.limits.plain}
    return dict(whole, large_object_owners=counts, default_acls=defaults, objects=objects, changed_system_objects=changed)


def left_members(contents: Mapping[str, Any], leave_out: Iterable[str]) -> dict[str, set[str]]:
    """Identities by kind of what belongs to the extensions that ``leave_out`` names, in one of a capture's ``databases``."""
    found: dict[str, set[str]] = {}
    for extension, members in contents.get("extensions", {}).items():
        if f"extension {extension}" in leave_out:
            for kind, identities in members.items():
                found.setdefault(kind, set()).update(identities)
    return found


def adapt_settings(settings: Iterable[Sequence[Any]], change: Adaptation) -> list[list[Any]]:
    """``[database, role, values]`` of a capture, as far as they travel."""
    kept = [[database, role, [value for value in values if not change.refuses(database, role, value)]]
            for database, role, values in settings if not role or change.travels(role)]
    return [row for row in kept if row[2]]


def adapt_parameters(parameters: Mapping[str, Sequence[Sequence[str]]], change: Adaptation) -> dict[str, list[list[str]]]:
    """Privileges on parameters, as far as they travel: who is no superuser can grant none."""
    kept = {name: [list(row) for row in acl if row[0] == PUBLIC or change.travels(row[0])] for name, acl in parameters.items()}
    return {name: acl for name, acl in kept.items() if acl and not change.limits.plain}


def adapt_capture(taken: Mapping[str, Any], change: Adaptation) -> dict[str, Any]:
    """The capture as the target is to be."""
    if not change.needed and not change.leave_out:
        return dict(taken)
    return dict(taken, roles={name: role for name, role in taken["roles"].items() if change.travels(name)},
                memberships=[row for row in taken["memberships"] if change.grants(row[0], row[1])],
                settings=adapt_settings(taken["settings"], change), parameters=adapt_parameters(taken.get("parameters", {}), change),
                databases={name: adapt_database(contents, change) for name, contents in taken["databases"].items()})


def adapt_globals(source: Mapping[str, Any], change: Adaptation) -> dict[str, Any]:
    """What ``read_globals`` read (as ``with_capture`` made it), as the target is to be."""
    settings = [dict(one, settings=[value for value in one["settings"] if not change.refuses(one["database"], one["role"], value)])
                for one in source["settings"] if one["role"] is None or change.travels(one["role"])]
    acl = [dict(one, grantee=None if one["grantee"] is None else change.role(one["grantee"]), grantor=change.role(one.get("grantor")))
           for one in source["acl"] if one["grantee"] is None or change.role(one["grantee"])]
    return dict(source, roles=[role for role in source["roles"] if change.travels(role["name"])], acl=acl,
                memberships=[one for one in source["memberships"] if change.grants(one["role"], one["member"])],
                settings=[one for one in settings if one["settings"]], parameters=adapt_parameters(source.get("parameters", {}), change),
                databases=[dict(frame, owner=change.role(frame["owner"]) or frame["owner"]) for frame in source["databases"]])


def assumed(taken: Mapping[str, Any], databases: Iterable[str]) -> dict[str, set[str]]:
    """By database, the roles in whose name something has to be done there: owners, grantors, roles with default privileges."""
    found = {}
    for name in databases:
        contents = taken["databases"][name]
        entries = [one for kind, objects in contents.get("objects", {}).items() for one in objects.values()]
        found[name] = {contents["owner"], *contents.get("large_object_owners", {}), *(row[0] for row in contents.get("default_acls", []))}
        found[name] |= {one["owner"] for one in entries} | {item.grantor for one in [contents, *entries] for item in explode(one["acl"])}
        found[name].discard("pg_database_owner")  # the owner of the database, whoever that is
    return found


def not_carried(taken: Mapping[str, Any], change: Adaptation) -> Iterator[tuple[str, str]]:
    """Everything that stays behind of the capture ``taken``, as a kind (a key of ``REMEDIES``) and a sentence's subject."""
    for name in sorted(taken["roles"]):
        if name in change.left:
            yield "role", f"role {name}, which belongs to the service"
        elif not change.travels(name):
            yield "owner", f"role {name}: {change.role(name)} takes its place"
    for row in taken["memberships"]:
        if change.travels(row[0]) and change.travels(row[1]) and not change.grants(row[0], row[1]):
            yield "membership", f"membership of {row[1]} in {row[0]}, which {change.limits.login} may not grant"
    for database, role, values in taken["settings"]:
        if role and not change.travels(role):
            continue
        where = (f" of role {role}" if role else "") + (f" in database {database}" if database else "") or " for every role"
        for value in sorted(values):
            if change.refuses(database, role, value):
                yield "setting", f"setting {value.partition('=')[0]}{where}, which {change.limits.login} may not set"
    for name, acl in sorted(taken.get("parameters", {}).items()) if change.limits.plain else ():
        for role in sorted({row[0] for row in acl if change.travels(row[0])}):
            whose = "for every role" if role == PUBLIC else f"of role {role}"
            yield "parameter", f"privileges on parameter {name} {whose}, which {change.limits.login} may not grant"
    for name, contents in taken["databases"].items() if change.limits.plain else ():
        for kind, objects in contents.get("changed_system_objects", {}).items():
            yield "system", f"changed privileges on {len(objects)} {kind.lower()} objects of the system in database {name}"
    for name in change.leave_out:
        yield "object", f"{name}, left out by choice"


REMEDIES = {
    "role": "see that nothing of the application needs it; change service_roles where it is one of the application",
    "owner": "see that this role may do what the application did as the other",
    "membership": "have the service's administrator grant it on the target where the application needs it",
    "setting": "have the service set it, in its parameters or by its administrator",
    "parameter": "have the service's administrator grant them on the target where the application needs them",
    "system": "have the service's administrator make the same change where the application needs it",
    "object": "see that the application does without it, or that the service provides it",
}
