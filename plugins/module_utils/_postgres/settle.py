# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give what was restored by a login that is no superuser to its owners, and grant what they had granted, from the capture.

An archive says ``OWNER TO`` before it grants the right to create in the schema, and makes a grant of somebody who is not
the owner by ``SET SESSION AUTHORIZATION``: only a superuser may do both. So everything is restored as the database's
owner, without owners and privileges, and both are given here, in the order in which an ordinary member may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import explode
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import OWNED, contents
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import quote, transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.privileges import give_back, run_in_transaction

# Tables first: the sequences of their columns go with them. Schemas last: until then the database's owner may do everything.
WITHOUT_PRIVILEGES = tuple(kind for kind, *_rest in OWNED)
PASSES = (("TABLE",), ("SEQUENCE", "ROUTINE", "TYPE", "FOREIGN SERVER", *WITHOUT_PRIVILEGES), ("SCHEMA",))
DEFAULT_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "ROUTINES", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}
OBJECTS = "SELECT o.oid::text, pg_get_userbyid(o.lomowner) FROM pg_largeobject_metadata o ORDER BY o.oid"


def settle(endpoint: Endpoint, database: str, wanted: Mapping[str, Any], source_version: int, application_name: str) -> None:
    """Make owners, privileges and default privileges in ``database`` those of ``wanted``, one of a capture's ``databases``."""
    for kinds in PASSES:
        actual = _contents(endpoint, database, application_name)
        run_in_transaction(endpoint, database, owner_statements(actual, wanted, kinds), application_name)
    run_in_transaction(endpoint, database, large_object_statements(wanted), application_name)
    give_back(endpoint, database, wanted, source_version, application_name)
    actual = _contents(endpoint, database, application_name)
    run_in_transaction(endpoint, database, default_statements(actual["default_acls"], wanted["default_acls"]), application_name)


def _contents(endpoint: Endpoint, database: str, application_name: str) -> dict[str, Any]:
    with transaction(endpoint, database, None, application_name) as connection:
        return contents(connection)


def owner_statements(actual: Mapping[str, Any], wanted: Mapping[str, Any], kinds: Sequence[str]) -> list[str]:
    """Statements that give the objects of ``kinds`` to their owners, who may create in their schemas for as long as that takes."""
    found: list[str] = []
    for kind in kinds:
        there = actual["objects"].get(kind, {})
        for identity, entry in sorted(wanted["objects"].get(kind, {}).items()):
            if identity not in there or there[identity]["owner"] == entry["owner"]:
                continue
            if kind in ("TABLE", "SEQUENCE", "ROUTINE", "TYPE", *WITHOUT_PRIVILEGES):
                found.append(f"GRANT CREATE ON SCHEMA {schema_of(identity)} TO {quote(entry['owner'])}")
            name = kind.removeprefix("FOREIGN ") if kind == "FOREIGN SERVER" else kind
            found.append(f"ALTER {name} {identity} OWNER TO {quote(entry['owner'])}")
    return list(dict.fromkeys(found))


def schema_of(identity: str) -> str:
    """The quoted schema of a quoted name ``schema.name``."""
    position = 0
    if identity.startswith('"'):
        position = 1
        while identity[position] != '"' or identity[position + 1:position + 2] == '"':
            position += 2 if identity[position] == '"' else 1
    return identity[:identity.index(".", position)]


def large_object_statements(wanted: Mapping[str, Any]) -> list[str]:
    """Statements for large objects that do not belong to the database's owner, who made them all."""
    return [f"ALTER LARGE OBJECT {oid} OWNER TO {quote(entry['owner'])}"
            for oid, entry in wanted["objects"].get("LARGE OBJECT", {}).items() if entry["owner"] != wanted["owner"]]


def default_statements(actual: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]]) -> list[str]:
    """Statements that give each role the default privileges of ``wanted``, rows of ``[role, schema, kind, acl]``."""
    have = {tuple(row[:3]): row[3] for row in actual}
    return [statement for row in wanted if have.get(tuple(row[:3])) != row[3] for statement in _defaults(*row)]


def _defaults(role: str, schema: str, kind: str, acl: Sequence[Sequence[str]]) -> Iterator[str]:
    prefix = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quote(role)}" + (f" IN SCHEMA {schema}" if schema else "")
    what = DEFAULT_KINDS[kind]
    if not schema:  # without a schema the list stands in place of the built-in one, with one it adds to that
        yield f"{prefix} REVOKE ALL ON {what} FROM PUBLIC"
        yield f"{prefix} REVOKE ALL ON {what} FROM {quote(role)}"
    for item in explode(acl):
        grantee = "PUBLIC" if item.grantee == "public" else quote(item.grantee)
        yield f"{prefix} GRANT {item.privilege} ON {what} TO {grantee}" + (" WITH GRANT OPTION" if item.grantable else "")
