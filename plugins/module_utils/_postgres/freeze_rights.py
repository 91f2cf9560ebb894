# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a login that is no superuser may do what a freeze takes: known before the first change.

A REVOKE by somebody who may not grant is no error to the server when he holds the privilege himself: it warns and does nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import explode
from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import used_roles
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.limits import assumable
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import names

SIGNAL = "SELECT pg_catalog.pg_has_role(r.oid, 'USAGE') AS may FROM pg_catalog.pg_roles r WHERE r.rolname = 'pg_signal_backend'"


def require_rights(connection: Any, taken: Mapping[str, Any], reduced: Mapping[str, Collection[str]], revokes_connect: bool,
                   ends_sessions: bool) -> None:
    """Raise with everything that the login of ``connection`` may not do of a freeze.

    ``taken`` is the capture; ``reduced`` names, by kind, the privileges on objects that the freeze takes away.
    """
    login = taken["roles"].get(taken["administrator"], {})
    if login.get("superuser"):
        return
    may_end = not ends_sessions or any(row["may"] for row in rows(connection, SIGNAL))
    problems = list(lacking(taken, assumable(connection), reduced, revokes_connect, may_end))
    if problems:
        raise MigrationError("; ".join(problems), findings=problems, subject="postgresql_freeze")


def lacking(taken: Mapping[str, Any], able: Collection[str], reduced: Mapping[str, Collection[str]], revokes_connect: bool,
            may_end: bool) -> Iterator[str]:
    """What keeps the administrator of ``taken``, who can act as the roles ``able``, from freezing; pure."""
    login = taken["administrator"]
    for name, contents in sorted(taken["databases"].items()):
        if revokes_connect:
            closed = sorted(({contents["owner"]} | _grantors(contents["acl"], {"CONNECT"})) - set(able))
            if closed:
                yield (f"user {login} may not revoke the right to connect to database {name}, which {names(closed)} granted: grant "
                       "that role to the user, or freeze with a command")
        closed = sorted({role for kind, privileges in reduced.items() for one in contents["objects"].get(kind, {}).values()
                         for role in _grantors(one["acl"], privileges) - set(able)})
        if closed:
            yield (f"user {login} may not reduce what {names(closed)} granted in database {name}: grant that role to the user, or do "
                   "without keep_readers")
    if not may_end:
        yield from _sessions(taken, able)


def _sessions(taken: Mapping[str, Any], able: Collection[str]) -> Iterator[str]:
    roles = taken["roles"]
    others: Sequence[str] = sorted(name for name in used_roles(taken) if name in roles and roles[name]["login"]
                                   and not roles[name]["superuser"] and name != taken["administrator"] and name not in able)
    if others:
        yield (f"user {taken['administrator']} may not end the sessions of {names(list(others))}: grant pg_signal_backend or these roles "
               "to the user, or freeze with a command")


def _grantors(acl: Sequence[Sequence[str]], privileges: Collection[str]) -> set[str]:
    return {item.grantor for item in explode(acl) if item.privilege in privileges}
