# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The roles of a restore: made in one transaction, given a password where one is known, and assumed where that is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import Limits
from ansible_collections.dihya.migration.plugins.module_utils._postgres.created import Record
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, describe_error, import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import (
    grant_membership,
    parameter,
    role_statements,
    rows,
    set_statements,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.limits import assumable, become
from ansible_collections.dihya.migration.plugins.module_utils._postgres.passfile import passwords_by_role
from ansible_collections.dihya.migration.plugins.module_utils._postgres.remove import setting_seal
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_plan import RestorePlan


def execute(connection: Any, statements: list[str], subject: str) -> None:
    """Run ``statements``; raises :class:`MigrationError` naming ``subject`` and the SQLSTATE, never the statement."""
    psycopg2 = import_psycopg2()
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except psycopg2.Error as error:
        raise MigrationError(f"{subject}: the server refused with {describe_error(error)}", subject=subject) from None


def create_roles(source: Mapping[str, Any], plan: RestorePlan, record: Record, connection: Any, target: Endpoint) -> None:
    """All in one transaction, recorded before it commits: the OIDs then tell whether it did. ``source`` is globals."""
    if not plan.roles:
        return
    names = [role["name"] for role in plan.roles]
    given = passwords_in(target.passfile)
    execute(connection, ["BEGIN"], "roles")
    for role in plan.roles:
        made = dict(role, password=role.get("password") or verifier(connection, role, given))
        execute(connection, role_statements(source, made), f"role {role['name']}")
    for membership in plan.memberships:
        execute(connection, [grant_membership(membership, connection.server_version)],
                f"membership of role {membership['member']} in {membership['role']}")
    found = rows(connection, "SELECT rolname AS name, oid::bigint AS identity FROM pg_catalog.pg_roles WHERE rolname = ANY (%s)", (names,))
    record.add(*(dict(row, kind="role") for row in found))
    execute(connection, ["COMMIT"], "roles")


def give_everybody(plan: RestorePlan, record: Record, connection: Any) -> None:
    """Settings and privileges of every role: recorded before they are given, and given last, as our own sessions have them too."""
    given = plan.everybody
    record.add(*({"kind": "setting", "name": entry.partition("=")[0], "identity": None} for entry in given.settings),
               *({"kind": "parameter", "name": name, "identity": None, "privilege": privilege} for name, privilege in given.privileges))
    execute(connection, set_statements("ALTER ROLE ALL", list(given.settings)), "settings of every role")
    execute(connection, [f"GRANT {privilege} ON PARAMETER {parameter(name)} TO PUBLIC" for name, privilege in given.privileges],
            "privileges on parameters of every role")
    for entry in [one for one in record.objects if one["kind"] == "setting"]:
        record.update(entry, identity=setting_seal(connection, entry["name"]))


def refuse_closed(needed: Mapping[str, set[str]], plan: RestorePlan, connection: Any, limits: Limits) -> None:
    """Raise, before anything is made, when the login cannot act as one of the roles ``needed`` in a database."""
    there = {row["name"] for row in rows(connection, "SELECT rolname AS name FROM pg_catalog.pg_roles")}
    able = {role["name"] for role in plan.roles} | assumable(connection) | (there - limits.ungrantable)
    closed = [f"{limits.login} cannot make objects of database {name} belong to role {role}: name another in its place (owners)"
              for name, roles in needed.items() for role in sorted(roles - able)]
    if closed and limits.plain:
        raise MigrationError("; ".join(closed), findings=closed, subject="owners")


def assume(needed: Iterable[str], plan: RestorePlan, record: Record, connection: Any, limits: Limits) -> None:
    """Make the login a member of the ``needed`` roles: whoever creates a role from 16 on may not act in its name yet.

    What it could not be before is recorded, unless the role itself is.
    """
    made = {role["name"] for role in plan.roles}
    for name in sorted(set(needed) - assumable(connection)) if limits.plain else ():
        if name not in made:
            record.add({"kind": "membership", "name": name, "identity": None, "member": limits.login})
        execute(connection, [become(connection, limits.login, name)], f"acting as role {name}")


def without_password(roles: Iterable[Mapping[str, Any]], target: Endpoint) -> list[str]:
    """Roles that may log in and would have no password, as neither the backup nor the passfile knows one."""
    given = passwords_in(target.passfile)
    return [role["name"] for role in roles if role["login"] and not role.get("password") and role["name"] not in given]


def verifier(connection: Any, role: Mapping[str, Any], given: Mapping[str, str]) -> str | None:
    """What the server stores instead of the role's given password, which so never reaches it; None where there is none."""
    if not role["login"] or role["name"] not in given:
        return None
    extensions = import_psycopg2().extensions
    return str(extensions.encrypt_password(given[role["name"]], role["name"], connection, "scram-sha-256"))


def passwords_in(passfile: str | None) -> dict[str, str]:
    """Passwords by role of a libpq password file, lines that name a role only."""
    if not passfile:
        return {}
    try:
        with open(passfile, encoding="utf-8") as stream:
            return passwords_by_role(stream.read())
    except OSError:
        return {}  # libpq goes on without it too
