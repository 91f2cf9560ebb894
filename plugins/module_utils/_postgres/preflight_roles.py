# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a proof will say of what the target has already, roles and what every role has: pure, as :mod:`preflight`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import PUBLIC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import Difference, compare_cluster, used_roles
from ansible_collections.dihya.migration.plugins.module_utils._postgres.everybody import kept, owed, settings_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_read import TARGET


def existing_roles(facts: dict[str, Any]) -> Iterator[Finding]:
    """Each role that a restore would leave as it is and a proof would refuse; nothing where the source could not be captured."""
    if facts.get("managed") is None:
        return
    roles, logins = facts["managed"]["roles"], facts["managed"]["logins"]
    used = used_roles(roles["source"])
    differing: dict[str, list[Difference]] = {}
    for one in compare_cluster(roles["source"], foresee(**roles), {}, (), [role for role, failed in logins.items() if not failed]):
        if one.rule is None and one.role:
            differing.setdefault(one.role, []).append(one)
    for role, found in sorted(differing.items()):
        what = "; ".join([*map(str, found), *logins.get(role, ())])
        yield finding(TARGET, f"role {role} exists on the target, where the proof would refuse it: {what}",
                      _remedy(role, {one.what for one in found}, role in used, role in logins))


def everybody(facts: dict[str, Any]) -> Iterator[Finding]:
    """Settings and privileges that every role has on the target by its own."""
    for subject in kept(**facts["managed"]["roles"]) if facts.get("managed") is not None else ():
        yield finding(TARGET, f"not carried: {subject}", "see that the application works with what the target has", False)


def _remedy(role: str, what: set[str], used: bool, given: bool) -> str:
    if what == {"password"} and given:
        return f"correct its password in postgresql_roles, or set it on the target: ALTER ROLE {role} PASSWORD"
    if what == {"password"}:
        return "name its password in postgresql_roles, so that its login proves it, or drop the role there: the restore makes it"
    if used:
        return "make it what it is on the source, or drop it there: the restore makes it"
    return "make it what it is on the source, drop it there, or leave it out of the move (postgresql_service_roles)"


def foresee(source: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """The target as a restore will leave it, both captures: it makes the roles that are missing, with all that is their own."""
    made, given = source["roles"].keys() - target["roles"].keys(), owed(source, target)
    parameters = {name: [*target["parameters"].get(name, []), *(row for row in source["parameters"].get(name, []) if row[0] in made),
                         *([PUBLIC, privilege, ""] for parameter, privilege in given.privileges if parameter == name)]
                  for name in {*source["parameters"], *target["parameters"]}}
    return dict(
        target, roles={**source["roles"], **target["roles"]}, parameters=parameters,
        memberships=[*target["memberships"], *(row for row in source["memberships"] if row[1] in made)],
        # Those of databases come with them.
        settings=[["", "", [*settings_of(target).values(), *given.settings]], *(row for row in target["settings"] if not row[0] and row[1]),
                  *(row for row in source["settings"] if row[0] or row[1] in made)])
