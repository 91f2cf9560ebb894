# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs between source and target: every difference has a rule that explains it, or is a failure. All pure.

A difference never carries a value: definitions and settings may hold secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import PUBLIC, explode, unknown_privileges
from ansible_collections.dihya.migration.plugins.module_utils._postgres.catalog import (
    MAPPING_KIND,
    NOT_NULL_KIND,
    SUBSCRIPTION_KIND,
    UNREADABLE,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.everybody import LIBRARIES, settings_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.inherited_order import InheritedOrder

FRAME = ("owner", "encoding", "collate", "ctype", "provider", "locale", "rules", "is_template", "allow_connections", "connection_limit",
         "comment")
SECRETS = {MAPPING_KIND: "options", SUBSCRIPTION_KIND: "connection"}  # properties that not every login may read
# A subscription is restored disabled; what dumps older than 18 say nothing of, 18 gives its own default.
ARRIVES_OTHERWISE = {("enabled", True, False), ("streaming", None, "p")}
WORDS = {"missing": "is missing on the target", "extra": "is on the target only",
         "behind": "is behind the numbers in its column: what it gives next may be there already"}
Same = Callable[[str, str, str, Mapping[str, Any], Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Difference:
    """``what`` (``missing``, ``extra`` or a property) of ``object`` in ``database``; ``rule`` None is a failure.

    ``role`` is the role whose own it is, where it is one's.
    """

    database: str
    object: str
    what: str
    rule: str | None = None
    role: str = ""

    def __str__(self) -> str:
        where = f"database {self.database}: " if self.database else ""
        text = WORDS.get(self.what, f"differs in {self.what}")
        return f"{where}{self.object} {text}"


def compare_catalogs(database: str, source: Mapping[str, Any], target: Mapping[str, Any], expected: Collection[str] = (),
                     same: Same = lambda *_: False) -> list[Difference]:
    """Differences of two catalogs (see ``catalog``).

    ``expected`` are tables (``schema.table``) that a schema tool changed: what belongs to them is explained, as the tables
    themselves. ``same`` decides whether two printed definitions mean the same.
    """
    found = []
    inherited = InheritedOrder(source, target)
    for kind in sorted(source.keys() | target.keys()):
        old, new = source.get(kind, {}), target.get(kind, {})
        if kind == NOT_NULL_KIND and (kind not in source or kind not in target):
            continue  # a version without such constraints is on one side; the columns themselves are compared
        for identity in sorted(old.keys() | new.keys()):
            for what in _properties(kind, identity, old.get(identity), new.get(identity), same):
                table = (old.get(identity) or new.get(identity) or {}).get("of") or identity
                rule = "schema_change" if table in expected or identity in expected else _rule(
                    kind, identity, what, old.get(identity) or {}, new.get(identity) or {})
                if rule is None and (kind, what) == ("column", "position") and inherited.explains(table):
                    rule = "inherited_column_order"
                found.append(Difference(database, f"{kind} {identity}", what, rule))
    return found


def compare_behind(database: str, found: Collection[str], before: Collection[str] | None) -> list[Difference]:
    """Sequences ``found`` behind their column on the target; those of the source, ``before``, came so. None: all are as on the source."""
    return [Difference(database, f"sequence {name}", "behind", "sequence_behind" if before is None or name in before else None)
            for name in found]


def _properties(kind: str, identity: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, same: Same) -> Iterator[str]:
    if old is None or new is None:
        yield "extra" if old is None else "missing"
        return
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name) and not _unread(kind, name, old, new) and not same(kind, identity, name, old, new):
            yield name


def _unread(kind: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return SECRETS.get(kind) == name and UNREADABLE in (old.get(name), new.get(name))


def unread(kind: str, source: Mapping[str, Any], target: Mapping[str, Any]) -> list[str]:
    """Objects of a kind in ``SECRETS`` on both sides of which a login of either may not read that: whether it is equal is not known."""
    old, new = source.get(kind, {}), target.get(kind, {})
    return [name for name in sorted(old.keys() & new.keys()) if _unread(kind, SECRETS[kind], old[name], new[name])]


def _rule(kind: str, identity: str, what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    if kind == "extension" and what == "version":
        return "extension_version"  # an extension comes from the target's own packages
    if kind == "extension" and identity == "plpgsql":
        return "extension_of_the_server"
    if kind == SUBSCRIPTION_KIND and (what, old.get(what), new.get(what)) in ARRIVES_OTHERWISE:
        return "subscription_arrives"
    return None


def normal_acl(acl: list[list[str]], ignored: Collection[str]) -> list[Any]:
    """An ACL for comparison: without privileges that one of the two servers does not know."""
    return sorted(explode(acl, ignored))


def compare_contents(database: str, source: Mapping[str, Any], target: Mapping[str, Any], versions: tuple[int, int],
                     expected: Collection[str] = (), same: Same = lambda *_: False) -> list[Difference]:
    """Differences of owners, ACLs and frame of one database, both values of ``capture``'s ``databases``.

    ``same`` decides whether two words for a property of the frame mean the same.
    """
    ignored = unknown_privileges(*versions)
    found = [Difference(database, "the database", name) for name in FRAME
             if source.get(name) != target.get(name) and not same("database", database, name, source, target)]
    if normal_acl(source["acl"], ignored) != normal_acl(target["acl"], ignored):
        found.append(Difference(database, "the database", "privileges"))
    for kind in sorted(source["objects"].keys() | target["objects"].keys()):
        old, new = source["objects"].get(kind, {}), target["objects"].get(kind, {})
        for identity in sorted(old.keys() | new.keys()):
            rule = "schema_change" if (old.get(identity) or new[identity]).get("table", identity) in expected else None
            one, other = old.get(identity), new.get(identity)
            if one is None or other is None:
                if kind in ("COLUMN", "LARGE OBJECT"):  # there is an entry only where there are grants
                    found.append(Difference(database, f"{kind.lower()} {identity}", "privileges", rule))
                continue  # a missing object is a difference of the catalogs
            if one["owner"] != other["owner"]:
                found.append(Difference(database, f"{kind.lower()} {identity}", "owner", rule))
            if normal_acl(one["acl"], ignored) != normal_acl(other["acl"], ignored):
                found.append(Difference(database, f"{kind.lower()} {identity}", "privileges", rule))
    return found + list(_compare_rest(database, source, target, ignored))


def _compare_rest(database: str, source: Mapping[str, Any], target: Mapping[str, Any], ignored: Collection[str]) -> Iterator[Difference]:
    if source["large_object_owners"] != target["large_object_owners"]:
        yield Difference(database, "large objects", "owner")
    old, new = ({tuple(row[:3]): normal_acl(row[3], ignored) for row in side["default_acls"]} for side in (source, target))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield Difference(database, f"default privileges of {key[0]}{' in ' + key[1] if key[1] else ''} for {key[2]}", "privileges")
    kinds = source["changed_system_objects"].keys() | target["changed_system_objects"].keys()
    for kind in sorted(kinds):
        one, other = (_system(side["changed_system_objects"].get(kind, {}), ignored) for side in (source, target))
        for identity in sorted(one.keys() | other.keys()):
            if one.get(identity) != other.get(identity):
                yield Difference(database, f"{kind.lower()} {identity}", "privileges changed from the initial ones")


def _system(entries: Mapping[str, Any], ignored: Collection[str]) -> dict[str, Any]:
    kept = {name: {side: [row for row in entry[side] if row[1].rstrip("*") not in ignored] for side in ("granted", "revoked")}
            for name, entry in entries.items()}
    return {name: entry for name, entry in kept.items() if entry["granted"] or entry["revoked"]}


def compare_cluster(source: Mapping[str, Any], target: Mapping[str, Any], rename: Mapping[str, str],
                    pinned: Collection[str] = (), proven: Collection[str] = ()) -> list[Difference]:
    """Differences of roles, memberships, settings and privileges on parameters, both from ``capture``.

    ``rename`` maps databases to the target's names.
    Settings named in ``pinned`` were of the whole source and became settings of each database on the target.
    Roles in ``proven`` logged in on the target with the password that they were given.
    """
    servants, used = _servants(source, target), used_roles(source)
    proven = other_verifiers(source, target) & set(proven)
    found = []
    for name in sorted(source["roles"].keys() | target["roles"].keys()):
        one, other = source["roles"].get(name), target["roles"].get(name)
        if one is None:
            found.append(Difference("", f"role {name}", "extra", "role_of_the_target"))
        elif other is None:
            rule = None if name in used else "administrator" if name in servants else "role_not_used"
            found.append(Difference("", f"role {name}", "missing", rule))
        else:
            found += [Difference("", f"role {name}", what, "administrator" if name in servants else
                                 "login_proved" if what == "password" and name in proven else None, name)
                      for what in sorted(one) if what != "bootstrap" and _role_differs(what, one, other)]
    found += _compare_memberships(source, target, servants)
    found += _compare_settings(source, target, rename, servants, {name.lower() for name in pinned})
    return found + list(_compare_parameters(source, target, servants))


def _servants(source: Mapping[str, Any], target: Mapping[str, Any]) -> set[str]:
    """The roles that administer the servers: each server has its own."""
    return {source["administrator"], target["administrator"],
            *(name for side in (source, target) for name, role in side["roles"].items() if role["bootstrap"])}


def other_verifiers(source: Mapping[str, Any], target: Mapping[str, Any]) -> set[str]:
    """Roles that have a password on both sides whose verifiers differ: with another salt it may be the same password."""
    both = source["roles"].keys() & target["roles"].keys() - _servants(source, target)
    verifiers = {name: {side["roles"][name]["password"] for side in (source, target)} for name in both}
    return {name for name, found in verifiers.items() if len(found) > 1 and not found & {"none", "unknown"}}


def _role_differs(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if what == "password" and "unknown" in (one[what], other[what]):
        return False  # not proved: the login of each role is
    return one[what] != other.get(what)


def used_roles(taken: Mapping[str, Any]) -> set[str]:
    """Roles that own something or were granted something in the captured databases."""
    used: set[str] = set()
    for database in taken["databases"].values():
        used.add(database["owner"])
        entries = [database, *(entry for kind in database.get("objects", {}).values() for entry in kind.values())]
        for entry in entries:
            used.add(entry["owner"])
            used |= {item.grantee for item in explode(entry["acl"])}
    while True:  # whoever is a member of a used role uses it
        more = used | {name for row in taken["memberships"] if used & set(row[:2]) for name in row[:2]}
        if more == used:
            return used
        used = more


def _compare_memberships(source: Mapping[str, Any], target: Mapping[str, Any], servants: set[str]) -> list[Difference]:
    full = min(source["server_version"], target["server_version"]) >= 160000
    old, new = ({(row[0], row[1]): row[2:5] if full else row[2] for row in side["memberships"]} for side in (source, target))
    found = []
    for role, member in sorted(old.keys() | new.keys()):
        one, other = old.get((role, member)), new.get((role, member))
        if one == other:
            continue
        if one is None and member not in source["roles"]:
            rule: str | None = "role_of_the_target"
        elif other is None and member not in target["roles"]:
            rule = "role_not_used"  # or already a failure, as a missing role
        else:
            rule = "administrator" if member in servants else None
        what = "extra" if one is None else "missing" if other is None else "options"
        found.append(Difference("", f"membership of {member} in {role}", what, rule, member))
    return found


def _compare_settings(source: Mapping[str, Any], target: Mapping[str, Any], rename: Mapping[str, str],
                      servants: set[str], pinned: set[str]) -> list[Difference]:
    old = {(rename.get(database, database), role): sorted(values) for database, role, values in source["settings"]}
    new = {(database, role): sorted(values) for database, role, values in target["settings"]}
    found = []
    for database, role in sorted(old.keys() | new.keys()):
        one, other = old.get((database, role), []), new.get((database, role), [])
        names = {value.partition("=")[0] for value in set(one) ^ set(other)}
        if not database and not role:
            own = {name for name in names if name in settings_of(target) or name.endswith(LIBRARIES)}
            found += [Difference("", "settings of every role", ", ".join(sorted(some)), rule)
                      for some, rule in ((names - own, None), (own, "not_carried")) if some]
            continue
        if not names:
            continue
        rule = _rule_of_role(role, source, target, servants) if role else None
        if database and not role and set(one) < set(other) and {name.lower() for name in names} <= pinned:
            rule = "pinned_setting"
        subject = "settings" + (f" of role {role}" if role else "") + (f" in database {database}" if database else "")
        found.append(Difference("", subject, ", ".join(sorted(names)), rule, role))
    return found


def _compare_parameters(source: Mapping[str, Any], target: Mapping[str, Any], servants: set[str]) -> Iterator[Difference]:
    """Who granted them is no difference: the server names itself, whoever did."""
    old, new = ({(name, item.grantee, item.privilege, item.grantable) for name, acl in side.get("parameters", {}).items()
                 for item in explode(acl)} for side in (source, target))
    for name, role in sorted({row[:2] for row in old ^ new}):
        rule = _rule_of_role(role, source, target, servants)
        if role == PUBLIC:  # the target keeps what it has more
            rule = None if any(row[:2] == (name, role) for row in old - new) else "not_carried"
        yield Difference("", f"parameter {name}", f"privileges of role {role}", rule, role)


def _rule_of_role(role: str, source: Mapping[str, Any], target: Mapping[str, Any], servants: set[str]) -> str | None:
    """What explains a difference in something that belongs to ``role``."""
    if role not in target["roles"]:
        return "role_not_used"  # or already a failure, as a missing role
    if role not in source["roles"]:
        return "role_of_the_target"
    return "administrator" if role in servants else None


def compare_rows(database: str, source: Mapping[str, Any], target: Mapping[str, Any], expected: Collection[str] = ()) -> list[Difference]:
    """Differences of two row digests by table (see ``digest``)."""
    found = []
    for table in sorted(source.keys() | target.keys()):
        one, other = source.get(table), target.get(table)
        rule = "schema_change" if table in expected else None
        if one is None or other is None:
            found.append(Difference(database, f"rows of {table}", "missing" if one else "extra", rule))
        elif one["rows"] != other["rows"] or one["digest"] != other["digest"]:
            what = f"values ({one['rows']} rows there, {other['rows']} here)" if one["rows"] != other["rows"] else "values"
            found.append(Difference(database, f"rows of {table}", what, rule))
        elif one.get("generated") != other.get("generated") and "generated" in one and "generated" in other:
            found.append(Difference(database, f"rows of {table}", "stored generated columns", rule))
    return found
