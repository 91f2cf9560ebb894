# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the login of a server may not do there, read with queries that change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import Adaptation, Limits, adaptation
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import identifier, rows

LOGIN = "SELECT r.rolname AS name, r.rolsuper AS superuser FROM pg_catalog.pg_roles r WHERE r.rolname = current_user"
# A setting that the server does not know yet may turn out to be a superuser's: it takes the same right.
REFUSED = """
SELECT n.name FROM pg_catalog.unnest(%s::text[]) AS n(name)
LEFT JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = pg_catalog.lower(n.name)
WHERE s.context IS DISTINCT FROM 'user' AND NOT {granted}"""
# Before 16 whoever may create roles may also make anybody a member of any role but a superuser.
UNGRANTABLE = """
SELECT r.rolname AS name FROM pg_catalog.pg_roles r
WHERE NOT pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') AND ({version} >= 160000 OR r.rolsuper)"""
MEMBERS = """
SELECT r.rolname AS name FROM pg_catalog.pg_roles r
WHERE pg_catalog.pg_has_role(r.oid, '{set}') AND pg_catalog.pg_has_role(r.oid, 'USAGE')"""


def read_limits(connection: Any, settings: Iterable[str]) -> Limits:
    """The limits of the login of ``connection``; ``settings`` are names that somebody wants to give to roles or databases."""
    login = rows(connection, LOGIN)[0]
    if login["superuser"]:
        return Limits(login=login["name"])
    granted = "pg_catalog.has_parameter_privilege(n.name, 'SET')" if connection.server_version >= 150000 else "false"
    refused = rows(connection, REFUSED.format(granted=granted), (sorted(set(settings)),))
    ungrantable = rows(connection, UNGRANTABLE.format(version=connection.server_version))
    return Limits(True, login["name"], frozenset(row["name"] for row in refused), frozenset(row["name"] for row in ungrantable))


def adaptation_to(connection: Any, taken: Mapping[str, Any], *, owners: Mapping[str, str], service_roles: Sequence[str],
                  leave_out: Sequence[str]) -> Adaptation:
    """How the capture ``taken`` is adapted to the server and login of ``connection``."""
    names = {value.partition("=")[0] for _database, _role, values in taken["settings"] for value in values}
    return adaptation(taken["roles"], read_limits(connection, names), owners=owners, service_roles=service_roles, leave_out=leave_out)


def assumable(connection: Any) -> set[str]:
    """Roles in whose name the login can act already: it has their privileges, and may make things theirs."""
    return {row["name"] for row in rows(connection, MEMBERS.format(set="SET" if connection.server_version >= 160000 else "MEMBER"))}


def become(connection: Any, login: str, role: str) -> str:
    """The statement by which the login makes itself a member that has the role's privileges and may set it."""
    options = " WITH INHERIT TRUE, SET TRUE" if connection.server_version >= 160000 else ""
    return f"GRANT {identifier(role)} TO {identifier(login)}{options}"
