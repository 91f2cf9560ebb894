# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Log in as each application role: equal digests and hashes do not mean that the target lets anybody in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint


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


def not_tried(taken: Mapping[str, Any], tried: Iterable[str]) -> list[str]:
    """Roles of a capture that may log in, are no administrators, and were not tried."""
    return sorted(name for name, role in taken["roles"].items()
                  if role["login"] and not role["superuser"] and name != taken["administrator"] and name not in set(tried))
