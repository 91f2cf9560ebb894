# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give a restored database the owners and privileges of before the freeze, whose reduced ones travelled in the dump."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import database_statements, unknown_privileges
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import contents, rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    describe_error,
    import_psycopg2,
    pin_session,
)


def owed(endpoint: Endpoint, database: str, wanted: Mapping[str, Any], source_version: int, application_name: str) -> list[str]:
    """Statements that make owners and ACLs in ``database`` those of ``wanted``, a value of ``capture``'s ``databases``."""
    with transaction(endpoint, database, None, application_name) as connection:
        version, actual = connection.server_version, contents(connection)
        superuser = rows(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0][0]
    return database_statements(actual, wanted, unknown_privileges(source_version, version), not superuser)


def give_back(endpoint: Endpoint, database: str, wanted: Mapping[str, Any], source_version: int, application_name: str) -> int:
    """Run the statements of :func:`owed` in one transaction; returns their number, 0 when everything is as wanted."""
    statements = owed(endpoint, database, wanted, source_version, application_name)
    run_in_transaction(endpoint, database, statements, application_name)
    return len(statements)


def run_in_transaction(endpoint: Endpoint, database: str, statements: Sequence[str], application_name: str) -> None:
    """Run ``statements`` in ``database``, all or none, whatever read-only default it has."""
    if not statements:
        return
    psycopg2 = import_psycopg2()
    current = ""
    with contextlib.closing(connect(endpoint, database, application_name, autocommit=False)) as connection:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ WRITE")
                pin_session(connection)
                for current in statements:
                    cursor.execute(current)
            connection.commit()
        except psycopg2.Error as error:
            raise MigrationError(f"in database {database}, {current.partition(' ON ')[0]} failed: {describe_error(error)}") from None
