# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore will make on the target: pure, from the backup's manifest and what the target holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.everybody import Everybody, kept, owed, withheld


@dataclass(frozen=True)
class DatabasePlan:
    """One database: ``source`` is its name in the backup, ``name`` the one it gets; an empty namesake steps ``aside``."""

    source: str
    name: str
    directory: str
    entries: int
    bytes: int
    aside: bool = False


@dataclass(frozen=True)
class RestorePlan:
    """Databases to make, roles to create, names of what exists and is ``left`` as it is, and what equality will not show (``unproved``)."""

    databases: list[DatabasePlan]
    roles: list[dict[str, Any]]
    memberships: list[dict[str, Any]]
    existing_roles: list[str]
    left: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)
    everybody: Everybody = Everybody()

    def beside(self, source: dict[str, Any], target: dict[str, Any], roles: str) -> RestorePlan:
        """The plan with what it gives to every role of the target, both captures."""
        if roles != "restore":
            return replace(self, left=[*self.left, *withheld(source)])
        return replace(self, everybody=owed(source, target), left=[*self.left, *kept(source, target)])

    def text(self) -> str:
        """The plan as lines, for ``--diff``."""
        lines = [f"create role {role['name']}" for role in self.roles]
        lines += [f"set {entry.partition('=')[0]} for every role" for entry in self.everybody.settings]
        lines += [f"grant {privilege} on parameter {name} to every role" for name, privilege in self.everybody.privileges]
        lines += [f"set aside the empty database {one.name}" for one in self.databases if one.aside]
        lines += [f"restore database {one.source} as {one.name}: {one.entries} objects" for one in self.databases]
        return "".join(line + "\n" for line in lines)


def plan_restore(manifest: dict[str, Any], source: dict[str, Any], target: dict[str, Any], objects: dict[str, int | None], *,
                 wanted: list[str] | None, rename: dict[str, str], roles: str, against: Sequence[str] = ()) -> RestorePlan:
    """The plan. ``source`` and ``target`` are globals, ``objects`` counts what same-named databases of the target hold.

    ``against`` is what stands against it besides (see :mod:`restore_check`).
    Raises one :class:`MigrationError` with everything that stands against it in the fact ``findings``.
    """
    names = sorted(wanted or manifest["databases"])
    findings = [f"the backup holds no database {name}" for name in [*names, *rename] if name not in manifest["databases"]]
    names = [name for name in names if name in manifest["databases"]]
    planned = []
    taken = {frame["name"] for frame in target["databases"]}
    for name in names:
        new = rename.get(name, name)
        if new in taken and objects.get(new) != 0:
            held = "cannot be looked into" if objects.get(new) is None else f"holds {objects[new]} objects"
            findings.append(f"database {new} exists on the target and {held}: remove or rename it, or choose another target")
        facts = manifest["databases"][name]
        planned.append(DatabasePlan(name, new, facts["directory"], facts.get("entries") or facts["objects"],
                                    sum(table["bytes"] for table in manifest["tables"][name].values()), new in taken))
    findings += [f"two databases would be named {name}" for name in sorted({one.name for one in planned})
                 if sum(one.name == name for one in planned) > 1]
    existing = {role["name"] for role in target["roles"]}
    missing = [role for role in source["roles"] if role["name"] not in existing]
    # The login with which the source was read is a tool of the move: it comes along only when something is its own.
    servant = {manifest["server"]["login"]["name"]} - mentioned(manifest["capture"])
    if roles == "require":
        findings += [f"role {role['name']} does not exist on the target: create it, or set roles to restore"
                     for role in missing if role["name"] not in servant]
    findings += against
    if findings:
        raise MigrationError("; ".join(findings), findings=findings)
    made = {role["name"] for role in missing} - servant if roles == "restore" else set()
    memberships, left = _memberships(source["memberships"], made) if roles == "restore" else ([], [])
    left += [f"role {role['name']}, with which the source was read" for role in missing if role["name"] in servant]
    return RestorePlan(planned, [role for role in missing if role["name"] in made], memberships,
                       sorted(role["name"] for role in source["roles"] if role["name"] in existing), left)


def _memberships(memberships: list[dict[str, Any]], made: set[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Those of the roles that we make; a role that was there before gets none from us."""
    ours = [one for one in memberships if one["member"] in made]
    others = [f"membership of {one['member']} in {one['role']}" for one in memberships if one["member"] not in made and one["role"] in made]
    return ours, others


def mentioned(capture: dict[str, Any]) -> set[str]:
    """Every word in what a capture says of databases and their contents; owners and grantees are among them."""
    words: set[str] = set()
    waiting: list[Any] = list(capture["databases"].values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            words.add(value)
    return words
