# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands against a move by a login that is no superuser, and what stays behind in any case: pure, as :mod:`preflight`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import REMEDIES, adapt_capture, assumed, not_carried
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import KINDS
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_read import SOURCE, TARGET
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import names


def managed(facts: dict[str, Any]) -> Iterator[Finding]:
    """All of it; nothing where the source could not be captured."""
    if facts.get("managed") is not None:
        for check in (left_behind, substitutes, owners, mighty, superuser_objects, silent_roles, mappings):
            yield from check(facts["managed"], facts)


def left_behind(known: dict[str, Any], _facts: dict[str, Any]) -> Iterator[Finding]:
    """Each thing that does not travel, by name."""
    for kind, subject in not_carried(known["taken"], known["change"]):
        yield finding(TARGET, f"not carried: {subject}", REMEDIES[kind], False)


def substitutes(known: dict[str, Any], facts: dict[str, Any]) -> Iterator[Finding]:
    """Roles that are to take the place of others and will not be there."""
    coming = {name for name in known["taken"]["roles"] if known["change"].travels(name)}
    for old, new in sorted(known["change"].owners.items()):
        if old not in known["taken"]["roles"]:
            yield finding("postgresql_owners", f"the source has no role {old}", "correct the name, or take it off the list")
        if new not in coming | existing(facts):
            yield finding("postgresql_owners", f"role {new}, which is to take the place of {old}, is not on the target and does not come",
                          "create it there, or name another")


def owners(known: dict[str, Any], facts: dict[str, Any]) -> Iterator[Finding]:
    """Owners and grantors in whose name the login of the target cannot act, now or once it has created them."""
    limits = known["change"].limits
    if not limits.plain:
        return
    coming = {name for name in known["taken"]["roles"] if known["change"].travels(name)} - existing(facts)
    able = coming | known["assumable"] | (existing(facts) - limits.ungrantable)
    adapted = adapt_capture(known["taken"], known["change"])
    for name, needed in assumed(adapted, adapted["databases"]).items():
        closed = sorted(needed - able)
        if closed:
            yield finding(TARGET, f"user {limits.login} cannot make objects of database {name} belong to {names(closed)}",
                          "name a role in its place (postgresql_owners), or grant it to the user on the target")


def mighty(known: dict[str, Any], facts: dict[str, Any]) -> Iterator[Finding]:
    """Roles whose attributes the login of the target cannot give."""
    change, servant = known["change"], known["servant"]
    rights = {"createrole": known["createrole"], "createdb": known["createdb"]}
    coming = [(name, role) for name, role in sorted(known["taken"]["roles"].items())
              if change.travels(name) and name not in existing(facts) | servant]
    above = [name for name, role in coming if role["superuser"] or role["replication"] or role["bypassrls"]
             or any(role[right] and not may for right, may in rights.items())]
    if above and change.limits.plain:
        yield finding(TARGET, f"only a superuser can create: {names(above)}",
                      "create them on the target first, or leave them out as roles of the service (postgresql_service_roles)")


def superuser_objects(known: dict[str, Any], facts: dict[str, Any]) -> Iterator[Finding]:
    """Objects that no plain login can make."""
    if not known["change"].limits.plain:
        return
    for database, objects in known["superuser_objects"].items():
        for one in objects:
            item = f"{one['kind']} {one['name']}"
            if item not in known["change"].leave_out:
                remedy = f"leave it out by name (postgresql_leave_out: [{item}]), or drop it" if one["kind"] in KINDS else \
                    "have the target provide it as an extension, or drop it"
                yield finding(SOURCE, f"only a superuser can create on the target: {item} of database {database}", remedy)


def silent_roles(known: dict[str, Any], facts: dict[str, Any]) -> Iterator[Finding]:
    """Roles that will not be able to log in with a password until somebody sets it anew."""
    if facts["source"]["globals"]["passwords"]:
        return
    coming = [name for name, role in sorted(known["taken"]["roles"].items()) if role["login"] and known["change"].travels(name)
              and name not in existing(facts) | known["servant"] | set(facts["logins"])]
    if coming:
        yield finding(SOURCE, f"passwords cannot be read: they must be set anew for {', '.join(coming)}",
                      "name each with its password in postgresql_roles, or set it on the target before its clients come", False)


def mappings(known: dict[str, Any], _facts: dict[str, Any]) -> Iterator[Finding]:
    """User mappings of foreign servers of which a plain login sees no options."""
    for database, found in known["mappings"].items():
        if found:
            yield finding(SOURCE, f"options of user mappings in database {database} may not be read, so they do not travel: {names(found)}",
                          "set them again on the target", False)


def existing(facts: dict[str, Any]) -> set[str]:
    """Roles that the target has."""
    return {role["name"] for role in facts["target"]["globals"]["roles"]}
