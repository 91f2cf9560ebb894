# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Log in as each application role: equal digests and hashes do not mean that the target lets anybody in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import PUBLIC, explode
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint

OWNER = "pg_database_owner"  # whose one member is the owner of the database that one is in


def try_logins(endpoint: Endpoint, roles: Iterable[str], databases: Iterable[str], application_name: str,
               passwords: Mapping[str, str] | None = None) -> list[str]:
    """Log in to every database as each of ``roles``; what failed, as sentences.

    Their passwords are in the endpoint's passfile, or in ``passwords``.
    """
    failed = []
    databases = sorted(databases)
    for role in sorted(roles):
        as_role = dataclasses.replace(endpoint, user=role, password=(passwords or {}).get(role))
        for database in databases:
            try:
                with transaction(as_role, database, None, application_name) as connection:
                    if rows(connection, "SELECT current_user::text")[0][0] != role:
                        failed.append(f"role {role} logs in to database {database} as another role")
            except MigrationError as error:
                failed.append(f"role {role} cannot log in: {error.message}")
    return failed


def admitting(taken: Mapping[str, Any], role: str, databases: Iterable[str], owners: Mapping[str, str]) -> list[str]:
    """Those of ``databases`` to which the capture ``taken`` gives the role the right to connect; all to one that it does not know.

    Such a right that the role of the target has in the place of another (``owners``) is that other one's. A database that was not
    captured admits everybody.
    """
    stood_for = {role, *(old for old, new in owners.items() if new == role)} & taken["roles"].keys()
    if not stood_for or any(taken["roles"][name]["superuser"] for name in stood_for):
        return list(databases)
    acting, frames = _acting(taken, stood_for), taken["databases"]
    return [name for name in databases if name not in frames or any(
        item.privilege == "CONNECT" and (item.grantee in {PUBLIC, *acting} or (item.grantee == OWNER and frames[name]["owner"] in acting))
        for item in explode(frames[name]["acl"]))]


def _acting(taken: Mapping[str, Any], roles: Iterable[str]) -> set[str]:
    """``roles`` and all whose privileges they have through memberships that inherit: from 16 on each says so itself, before the member."""
    found: set[str] = set()
    waiting = list(roles)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            own = taken["roles"].get(name, {}).get("inherit", True)
            waiting += [row[0] for row in taken["memberships"] if row[1] == name and (row[3] if len(row) > 3 else own)]
    return found


def not_tried(taken: Mapping[str, Any], tried: Iterable[str]) -> list[str]:
    """Roles of a capture that may log in, are no administrators, and were not tried."""
    return sorted(name for name, role in taken["roles"].items()
                  if role["login"] and not role["superuser"] and name != taken["administrator"] and name not in set(tried))
