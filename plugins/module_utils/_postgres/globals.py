# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cluster holds beside its databases' contents: roles, memberships, and each database's frame.

The frame of a database is what pg_dump writes only with ``--create``: encoding, locale, owner, limit, settings, ACL.
:func:`read_globals` reads; everything else here is pure and renders SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import PUBLIC, Item, collapse, lead

ATTRIBUTES = ("superuser", "createrole", "createdb", "inherit", "login", "replication", "bypassrls")
PRIVILEGES = ("CREATE", "CONNECT", "TEMPORARY")  # on a database; whoever made it has all, everybody the last two
# These hold lists of already quoted names: they must be set as a list, not as one string (as pg_dump knows too).
LIST_SETTINGS = ("local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
                 "temp_tablespaces", "unix_socket_directories")

ROLES = """
SELECT r.rolname AS name, r.rolsuper AS superuser, r.rolcreaterole AS createrole, r.rolcreatedb AS createdb, r.rolinherit AS inherit,
       r.rolcanlogin AS login, r.rolreplication AS replication, r.rolbypassrls AS bypassrls, r.rolconnlimit AS connection_limit,
       r.rolvaliduntil::text AS valid_until, {password} AS password, pg_catalog.shobj_description(r.oid, 'pg_authid') AS comment
FROM {catalog} r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname"""
MEMBERSHIPS = """
SELECT g.rolname AS role, m.rolname AS member, pg_catalog.bool_or(a.admin_option) AS admin,
       {inherit} AS inherit, {set} AS set
FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
WHERE m.rolname !~ '^pg_' GROUP BY 1, 2 ORDER BY 1, 2"""
SETTINGS = """
SELECT d.datname AS database, r.rolname AS role, s.setconfig AS settings FROM pg_catalog.pg_db_role_setting s
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
ORDER BY 1 NULLS FIRST, 2 NULLS FIRST"""
DATABASES = """
SELECT d.datname AS name, pg_catalog.pg_get_userbyid(d.datdba) AS owner, pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
       d.datcollate AS collate, d.datctype AS ctype, {provider} AS provider, {locale} AS locale, {rules} AS icu_rules,
       d.datconnlimit AS connection_limit, d.datallowconn AS allow_connections, d.datistemplate AS is_template,
       pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
       CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN pg_catalog.pg_database_size(d.oid) END AS size,
       d.datacl IS NOT NULL AS has_acl, d.datistemplate AND d.datname IN ('template0', 'template1') AS builtin
FROM pg_catalog.pg_database d ORDER BY d.datname"""
ACL = """
SELECT d.datname AS database, CASE a.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END AS grantee,
       a.privilege_type AS privilege, a.is_grantable AS grantable, pg_catalog.pg_get_userbyid(a.grantor) AS grantor
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a ORDER BY 1, 2 NULLS FIRST, 3"""


def rows(connection: Any, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
    """The rows of ``sql`` as dictionaries."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]


def read_globals(connection: Any) -> dict[str, Any]:
    """``roles``, ``memberships``, ``databases``, ``settings`` and ``acl`` of a cluster, lists of plain dictionaries.

    ``passwords`` tells whether the login may read password hashes; where not, every ``password`` is None.
    """
    version = connection.server_version
    readable = rows(connection, "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS may")[0]["may"]
    inherit, may_set = ("NULL", "NULL") if version < 160000 else ("pg_catalog.bool_or(a.inherit_option)",
                                                                  "pg_catalog.bool_or(a.set_option)")
    provider = "d.datlocprovider" if version >= 150000 else "'c'"
    locale = "d.datlocale" if version >= 170000 else "d.daticulocale" if version >= 150000 else "NULL"
    return {
        "passwords": readable,
        "roles": rows(connection, ROLES.format(password="r.rolpassword" if readable else "NULL",
                                               catalog="pg_catalog.pg_authid" if readable else "pg_catalog.pg_roles")),
        "memberships": rows(connection, MEMBERSHIPS.format(inherit=inherit, set=may_set)),
        "databases": [row for row in rows(connection, DATABASES.format(
            provider=provider, locale=locale, rules="d.daticurules" if version >= 160000 else "NULL")) if not row.pop("builtin")],
        "settings": rows(connection, SETTINGS),
        "acl": rows(connection, ACL),
    }


def identifier(name: str) -> str:
    """``name`` quoted as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """``value`` quoted as an SQL string, whatever standard_conforming_strings is."""
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def create_role(role: dict[str, Any]) -> list[str]:
    """Statements that create ``role`` with its attributes, password hash and comment."""
    words = [name.upper() if role[name] else "NO" + name.upper() for name in ATTRIBUTES]
    words.append(f"CONNECTION LIMIT {role['connection_limit']}")
    if role.get("password"):
        words.append(f"PASSWORD {literal(role['password'])}")
    if role.get("valid_until"):
        words.append(f"VALID UNTIL {literal(role['valid_until'])}")
    statements = [f"CREATE ROLE {identifier(role['name'])} WITH {' '.join(words)}"]
    if role.get("comment"):
        statements.append(f"COMMENT ON ROLE {identifier(role['name'])} IS {literal(role['comment'])}")
    return statements


def role_statements(source: Mapping[str, Any], role: dict[str, Any]) -> list[str]:
    """Statements that create ``role`` with all that is its own: settings for every database, and what it may do with parameters.

    ``source`` is the whole of :func:`read_globals`.
    """
    own = [entry["settings"] for entry in source["settings"] if entry["database"] is None and entry["role"] == role["name"]]
    settings = [statement for values in own for statement in set_statements(f"ALTER ROLE {identifier(role['name'])}", values)]
    return create_role(role) + settings + parameter_statements(source.get("parameters", {}), role["name"])


def grant_membership(membership: dict[str, Any], target_version: int) -> str:
    """The statement that grants it again; options that the source had none of follow the member's own attribute."""
    options = ["ADMIN TRUE"] if membership["admin"] else []
    if membership.get("inherit") is not None and target_version >= 160000:
        options += [f"INHERIT {'TRUE' if membership['inherit'] else 'FALSE'}", f"SET {'TRUE' if membership['set'] else 'FALSE'}"]
    if target_version < 160000:
        options = ["ADMIN OPTION"] if membership["admin"] else []
    return (f"GRANT {identifier(membership['role'])} TO {identifier(membership['member'])}"
            + (f" WITH {', '.join(options)}" if options else ""))


def set_statements(prefix: str, settings: list[str]) -> list[str]:
    """``ALTER … SET`` statements for ``name=value`` entries of pg_db_role_setting."""
    statements = []
    for entry in settings:
        name, _sign, value = entry.partition("=")
        shown = (value or "''") if name.lower() in LIST_SETTINGS else literal(value)
        statements.append(f"{prefix} SET {parameter(name)} TO {shown}")
    return statements


def parameter_statements(parameters: dict[str, list[list[str]]], role: str) -> list[str]:
    """Statements that grant ``role`` what it may do with ``parameters`` (of a capture); the server itself is the grantor of all."""
    return [f"GRANT {privilege.rstrip('*')} ON PARAMETER {parameter(name)} TO {identifier(role)}"
            + (" WITH GRANT OPTION" if privilege.endswith("*") else "")
            for name, acl in sorted(parameters.items()) for grantee, privileges, _grantor in acl if grantee == role
            for privilege in privileges.split(",")]


def parameter(name: str) -> str:
    """The name of a parameter, quoted part by part."""
    return ".".join(identifier(part) for part in name.split("."))


def create_database(frame: dict[str, Any], name: str, owner: str | None, target_version: int, closed: bool = True,
                    tablespace: str | None = None) -> str:
    """The statement that creates ``name`` empty, with encoding and locale of ``frame``; ``closed`` to all but superusers."""
    words = ["TEMPLATE template0", f"ENCODING {literal(frame['encoding'])}", f"LC_COLLATE {literal(frame['collate'])}",
             f"LC_CTYPE {literal(frame['ctype'])}", *(["CONNECTION LIMIT 0"] if closed else [])]
    provider = {"c": "libc", "i": "icu", "b": "builtin"}[frame["provider"]]
    if target_version >= 150000:
        words.append(f"LOCALE_PROVIDER {provider}")
    if frame["locale"]:
        words.append(f"{'BUILTIN_LOCALE' if provider == 'builtin' else 'ICU_LOCALE'} {literal(frame['locale'])}")
    if frame["icu_rules"]:
        words.append(f"ICU_RULES {literal(frame['icu_rules'])}")
    if owner:
        words.append(f"OWNER {identifier(owner)}")
    if tablespace:
        words.append(f"TABLESPACE {identifier(tablespace)}")
    return f"CREATE DATABASE {identifier(name)} WITH {' '.join(words)}"


def frame_statements(source: dict[str, Any], frame: dict[str, Any], name: str, known_roles: set[str], plain: bool = False) -> list[str]:
    """Statements that give database ``name`` the comment, settings, ACL and, last, connection limit of ``frame``.

    ``source`` is the whole of :func:`read_globals`. Grants and settings of roles not in ``known_roles`` are left out.
    A ``plain`` login grants as the owner (see :func:`acl.lead`).
    """
    database = identifier(name)
    statements = [f"COMMENT ON DATABASE {database} IS {literal(frame['comment'])}"] if frame.get("comment") else []
    for entry in source["settings"]:
        if entry["database"] != frame["name"]:
            continue
        if entry["role"] is None:
            statements += set_statements(f"ALTER DATABASE {database}", entry["settings"])
        elif entry["role"] in known_roles:
            statements += set_statements(f"ALTER ROLE {identifier(entry['role'])} IN DATABASE {database}", entry["settings"])
    if frame["has_acl"]:
        statements += acl_statements(source["acl"], frame, database, known_roles, plain)
    if not frame["allow_connections"]:
        statements.append(f"ALTER DATABASE {database} ALLOW_CONNECTIONS FALSE")
    if frame["is_template"]:
        statements.append(f"ALTER DATABASE {database} IS_TEMPLATE TRUE")
    return [*statements, f"ALTER DATABASE {database} CONNECTION LIMIT {frame['connection_limit']}"]


def acl_statements(acl: list[dict[str, Any]], frame: dict[str, Any], database: str, known_roles: set[str],
                   plain: bool = False) -> list[str]:
    """Statements that turn the default privileges on ``database`` (quoted) into those of ``frame``, grantors included."""
    owner = frame["owner"]
    have = {Item(grantee, privilege, False, owner) for grantee, privileges in ((PUBLIC, PRIVILEGES[1:]), (owner, PRIVILEGES))
            for privilege in privileges}
    want = {Item(PUBLIC if entry["grantee"] is None else entry["grantee"], entry["privilege"], entry["grantable"],
                 entry["grantor"] if entry["grantor"] in known_roles else owner) for entry in acl if entry["database"] == frame["name"]}
    actual, wanted = (collapse([item for item in items if item.grantee in {PUBLIC, *known_roles}]) for items in (have, want))
    return lead("DATABASE", database, frame, actual, wanted, plain=plain)


def with_capture(source: dict[str, Any], capture: dict[str, Any]) -> dict[str, Any]:
    """``source`` as it was when ``capture`` (of :mod:`capture`) was taken: before the freeze. Password hashes stay as read."""
    captured = capture["roles"]
    roles = [dict(role, **{key: captured[role["name"]][key] for key in (*ATTRIBUTES, "connection_limit", "valid_until", "comment")})
             if role["name"] in captured else role for role in source["roles"]]
    databases, acl = [], [entry for entry in source["acl"] if entry["database"] not in capture["databases"]]
    for frame in source["databases"]:
        before = capture["databases"].get(frame["name"])
        if before is not None:
            default = {("public", "CONNECT,TEMPORARY"), (before["owner"], "CONNECT,CREATE,TEMPORARY")}
            has_acl = {(grantee, privileges) for grantee, privileges, _grantor in before["acl"]} != default
            keys = ("owner", "connection_limit", "allow_connections", "is_template", "comment")
            frame = dict(frame, has_acl=has_acl, **{key: before[key] for key in keys})
            acl += _captured_acl(frame["name"], before["acl"])
        databases.append(frame)
    others = [entry for entry in source["settings"] if entry["database"] is not None and entry["database"] not in capture["databases"]]
    settings = [{"database": database or None, "role": role or None, "settings": values} for database, role, values in capture["settings"]]
    names = ("role", "member", "admin", "inherit", "set")
    memberships = [dict(dict.fromkeys(names), **dict(zip(names, row))) for row in capture["memberships"]]
    return dict(source, roles=roles, databases=databases, acl=acl, settings=settings + others, memberships=memberships,
                parameters=capture.get("parameters", {}))


def _captured_acl(database: str, acl: list[list[str]]) -> list[dict[str, Any]]:
    return [{"database": database, "grantee": None if grantee == "public" else grantee,
             "privilege": privilege.rstrip("*"), "grantable": privilege.endswith("*"), "grantor": grantor}
            for grantee, privileges, grantor in acl for privilege in privileges.split(",")]
