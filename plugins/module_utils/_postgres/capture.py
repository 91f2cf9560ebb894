# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who owns what and who may do what, in a normal form: taken before the freeze, so that the freeze never travels.

An ACL is a sorted list of ``[grantee, privileges, grantor]``: ``privileges`` such as ``INSERT,SELECT*`` (``*`` = with
grant option), grantee ``public`` is everybody. A default ACL is written out, so "never granted" equals "granted the
default". Objects of the system and of extensions appear only where their ACL is no longer the initial one, and their
owner, whom each server has of its own, is the empty name there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import read_placed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import count_objects, require_named

FORMAT = 1
PUBLIC = "public"

ROLES = """
SELECT r.rolname, json_build_object('superuser', r.rolsuper, 'inherit', r.rolinherit, 'createrole', r.rolcreaterole,
  'createdb', r.rolcreatedb, 'login', r.rolcanlogin, 'replication', r.rolreplication, 'bypassrls', r.rolbypassrls,
  'connection_limit', r.rolconnlimit, 'valid_until', r.rolvaliduntil::text, 'bootstrap', r.oid = 10,
  'comment', shobj_description(r.oid, 'pg_authid'))
FROM pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname
"""
# The verifier itself stays on the server, its SHA-256 stands for it. Only a SCRAM one is salted by chance: who has that of an md5 one
# can try passwords, as who has the backup's roles can. So a capture is private, and nothing of it is printed.
PASSWORDS = """
SELECT rolname, CASE WHEN rolpassword IS NULL THEN 'none' ELSE CASE WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'scram:' ELSE 'md5:' END
  || encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex') END
FROM pg_authid WHERE rolname !~ '^pg_'
"""
MEMBERSHIPS = """
SELECT g.rolname, u.rolname, bool_or(m.admin_option){options}
FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
WHERE u.rolname !~ '^pg_' GROUP BY 1, 2 ORDER BY 1, 2
"""
SETTINGS = """
SELECT coalesce(d.datname, ''), coalesce(r.rolname, ''), s.setconfig
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase = 0 OR d.datname = ANY (%s) ORDER BY 1, 2
"""
DEFAULT_ACLS = """
SELECT pg_get_userbyid(d.defaclrole), coalesce(quote_ident(n.nspname), ''), d.defaclobjtype::text, {acl}
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace ORDER BY 1, 2, 3
"""


def acl_sql(acl: str) -> str:
    """SQL of the normal form of the expression ``acl`` (an ``aclitem[]``) as JSON."""
    return (
        "(SELECT coalesce(json_agg(json_build_array(s.g, s.p, s.r) ORDER BY s.g, s.r), '[]') FROM (SELECT"
        f" CASE x.grantee WHEN 0 THEN '{PUBLIC}' ELSE pg_get_userbyid(x.grantee) END AS g, pg_get_userbyid(x.grantor) AS r,"
        " string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END, ',' ORDER BY x.privilege_type COLLATE \"C\") AS p"
        f" FROM aclexplode({acl}) x GROUP BY 1, 2) s)"
    )


DATABASES = f"""
SELECT d.datname, json_build_object('owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
  'collate', d.datcollate, 'ctype', d.datctype, 'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
  'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), 'rules', to_jsonb(d) ->> 'daticurules',
  'is_template', d.datistemplate,
  'allow_connections', d.datallowconn, 'connection_limit', d.datconnlimit,
  'acl', {acl_sql("coalesce(d.datacl, acldefault('d', d.datdba))")}, 'comment', shobj_description(d.oid, 'pg_database'))
FROM pg_database d WHERE d.datname = ANY (%s)
"""

# kind (as GRANT names it), catalog, condition, identity, owner, ACL, letter of acldefault
USER_SCHEMA = "n.nspname NOT IN ('pg_toast', 'information_schema') AND n.nspname !~ '^pg_(toast_)?temp_'"
NAMED = "quote_ident(n.nspname) || '.' || quote_ident(o.{})"
KINDS = (
    ("SCHEMA", "pg_namespace", "pg_namespace o JOIN pg_namespace n ON n.oid = o.oid", "true", "quote_ident(o.nspname)",
     "nspowner", "nspacl", "n"),
    ("TABLE", "pg_class", "pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace", "o.relkind IN ('r','p','v','m','f')",
     NAMED.format("relname"), "relowner", "relacl", "r"),
    ("SEQUENCE", "pg_class", "pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace", "o.relkind = 'S'",
     NAMED.format("relname"), "relowner", "relacl", "s"),
    ("ROUTINE", "pg_proc", "pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace", "true",
     NAMED.format("proname") + " || '(' || pg_get_function_identity_arguments(o.oid) || ')'", "proowner", "proacl", "f"),
    ("TYPE", "pg_type", "pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace LEFT JOIN pg_class c ON c.oid = o.typrelid",
     "o.typtype IN ('b','c','d','e','r') AND o.typelem = 0 AND (o.typrelid = 0 OR c.relkind = 'c')", NAMED.format("typname"),
     "typowner", "typacl", "T"),
    ("LANGUAGE", "pg_language", "pg_language o LEFT JOIN pg_namespace n ON false", "true", "quote_ident(o.lanname)",
     "lanowner", "lanacl", "l"),
    ("FOREIGN DATA WRAPPER", "pg_foreign_data_wrapper", "pg_foreign_data_wrapper o LEFT JOIN pg_namespace n ON false", "true",
     "quote_ident(o.fdwname)", "fdwowner", "fdwacl", "F"),
    ("FOREIGN SERVER", "pg_foreign_server", "pg_foreign_server o LEFT JOIN pg_namespace n ON false", "true",
     "quote_ident(o.srvname)", "srvowner", "srvacl", "S"),
)
# What has an owner and no privileges: kind (as ALTER names it), catalog, name, schema, owner, what the identity has after the name.
OWNED = (
    ("COLLATION", "pg_collation", "collname", "collnamespace", "collowner", ""),
    ("CONVERSION", "pg_conversion", "conname", "connamespace", "conowner", ""),
    ("OPERATOR", "pg_operator", "oprname", "oprnamespace", "oprowner",
     "'(' || CASE o.oprleft WHEN 0 THEN 'NONE' ELSE o.oprleft::regtype::text END || ', ' || o.oprright::regtype::text || ')'"),
    ("OPERATOR CLASS", "pg_opclass", "opcname", "opcnamespace", "opcowner",
     "' USING ' || (SELECT quote_ident(m.amname) FROM pg_am m WHERE m.oid = o.opcmethod)"),
    ("OPERATOR FAMILY", "pg_opfamily", "opfname", "opfnamespace", "opfowner",
     "' USING ' || (SELECT quote_ident(m.amname) FROM pg_am m WHERE m.oid = o.opfmethod)"),
    ("STATISTICS", "pg_statistic_ext", "stxname", "stxnamespace", "stxowner", ""),
    ("TEXT SEARCH CONFIGURATION", "pg_ts_config", "cfgname", "cfgnamespace", "cfgowner", ""),
    ("TEXT SEARCH DICTIONARY", "pg_ts_dict", "dictname", "dictnamespace", "dictowner", ""),
)
OWNERS = " UNION ALL ".join(
    f"SELECT '{kind}', quote_ident(n.nspname) || '.' || {f'o.{name}' if kind == 'OPERATOR' else f'quote_ident(o.{name})'}"
    f" || {after or repr('')}, pg_get_userbyid(o.{owner}) FROM {catalog} o JOIN pg_namespace n ON n.oid = o.{schema}"
    f" WHERE o.oid >= 16384 AND {USER_SCHEMA} AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass"
    " AND d.objid = o.oid AND d.deptype = 'e')" for kind, catalog, name, schema, owner, after in OWNED) + " ORDER BY 1, 2"
# A member of an extension or of the system has an initial ACL (pg_init_privs) that is not the user's.
OBJECTS = """
SELECT s.identity, pg_get_userbyid(s.owner), {full}, s.given, {added}, {removed}
FROM (SELECT {identity} AS identity, o.{owner} AS owner, coalesce(o.{acl}, acldefault('{letter}', o.{owner})) AS acl,
    coalesce((SELECT p.initprivs FROM pg_init_privs p WHERE p.objoid = o.oid AND p.classoid = '{catalog}'::regclass AND p.objsubid = 0),
             acldefault('{letter}', o.{owner})) AS initial,
    o.oid < 16384 AND {identity} <> 'public' OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass
      AND d.objid = o.oid AND d.deptype = 'e') AS given
  FROM {source} WHERE {condition} AND (n.oid IS NULL OR {schema})) s
WHERE NOT s.given OR s.acl::text <> s.initial::text ORDER BY 1
"""
COLUMNS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(o.relname), quote_ident(a.attname), pg_get_userbyid(o.relowner), {acl}
FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace
WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND o.oid >= 16384 AND {schema} ORDER BY 1, 2
"""
# What pg_dump may write of a member of an extension: rows of its configuration tables, and privileges that were changed.
MEMBERS = """
SELECT e.extname, {identity} FROM {source} JOIN pg_depend d ON d.classid = '{catalog}'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid WHERE {condition} ORDER BY 1, 2
"""
LARGE_OBJECTS = """
SELECT o.oid::text, pg_get_userbyid(o.lomowner), {acl} FROM pg_largeobject_metadata o
WHERE o.lomacl IS NOT NULL OR o.lomowner <> (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()) ORDER BY o.oid
"""
SEQUENCES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY 1
"""


def capture(endpoint: Endpoint, databases: Iterable[str], application_name: str = "dihya") -> dict[str, Any]:
    """Roles, memberships, settings, and owners and ACLs in ``databases``, as JSON types (see the module's text).

    Holds no password and no verifier, but values of settings, which may be secret: keep it in a 0600 file.
    """
    names = sorted(databases)
    with transaction(endpoint, None, None, application_name) as connection:
        taken = dict(cluster(connection, names), format=FORMAT, server_version=connection.server_version)
    for name in names:
        if name in taken["databases"]:
            with transaction(endpoint, name, None, application_name) as connection:
                taken["databases"][name].update(contents(connection))
    return taken


def choose_databases(endpoint: Endpoint, wanted: Sequence[str], application_name: str = "dihya") -> list[str]:
    """The databases that ``wanted`` names, sorted; ``["all"]`` means as it does to a dump: no template, no empty ``postgres``.

    Raises :class:`MigrationError` when none is named.
    """
    require_named(wanted)
    if list(wanted) != ["all"]:
        return sorted(set(wanted))
    with transaction(endpoint, None, None, application_name) as connection:
        names = [row[0] for row in rows(connection, "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1")]
    if "postgres" in names:
        with transaction(endpoint, "postgres", None, application_name) as connection:
            names = names if count_objects(connection) else [name for name in names if name != "postgres"]
    return names


def cluster(connection: Any, databases: Sequence[str]) -> dict[str, Any]:
    """What belongs to the whole server, seen over ``connection``."""
    roles = dict(rows(connection, ROLES))
    readable = rows(connection, "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')")[0][0]
    passwords = dict(rows(connection, PASSWORDS)) if readable else {}
    for name, role in roles.items():
        role["password"] = passwords.get(name, "unknown")
    options = ", bool_or(m.inherit_option), bool_or(m.set_option)" if connection.server_version >= 160000 else ""
    parameters = ""
    if connection.server_version >= 150000:
        parameters = f"SELECT p.parname, {acl_sql('p.paracl')} FROM pg_parameter_acl p ORDER BY 1"
    return {
        "administrator": rows(connection, "SELECT current_user::text")[0][0],
        "roles": roles,
        "memberships": [list(row) for row in rows(connection, MEMBERSHIPS.format(options=options))],
        "settings": [[database, role, sorted(values)] for database, role, values in rows(connection, SETTINGS, (list(databases),))],
        "parameters": dict(rows(connection, parameters)) if parameters else {},
        "databases": dict(rows(connection, DATABASES, (list(databases),))),
    }


def contents(connection: Any) -> dict[str, Any]:
    """Owners and ACLs in the database of ``connection``: ``objects``, ``changed_system_objects``, ``default_acls``.

    ``extensions`` has the members of each extension, identities by kind; ``placed`` is of :func:`placement.read_placed`.
    """
    objects: dict[str, dict[str, Any]] = {}
    changed: dict[str, dict[str, Any]] = {}
    members: dict[str, dict[str, list[str]]] = {}
    for kind, catalog, source, condition, identity, owner, acl, letter in KINDS:
        sql = OBJECTS.format(
            full=acl_sql("s.acl"), added=_difference("s.acl", "s.initial", "s.owner"),
            removed=_difference("s.initial", "s.acl", "s.owner"), identity=identity, owner=owner,
            acl=acl, letter=letter, catalog=catalog, source=source, condition=condition, schema=USER_SCHEMA)
        for name, role, full, given, added, removed in rows(connection, sql):
            if not given:
                objects.setdefault(kind, {})[name] = {"owner": role, "acl": full}
            elif added or removed:
                changed.setdefault(kind, {})[name] = {"granted": added, "revoked": removed}
        for extension, name in rows(connection, MEMBERS.format(identity=identity, source=source, catalog=catalog, condition=condition)):
            members.setdefault(extension, {}).setdefault(kind, []).append(name)
    for kind, name, owner in rows(connection, OWNERS):
        objects.setdefault(kind, {})[name] = {"owner": owner, "acl": []}
    for table, column, owner, acl in rows(connection, COLUMNS.format(acl=acl_sql("a.attacl"), schema=USER_SCHEMA)):
        objects.setdefault("COLUMN", {})[f"{table}.{column}"] = {"table": table, "column": column, "owner": owner, "acl": acl}
    found = {
        "objects": objects, "changed_system_objects": changed, "extensions": members,
        "placed": read_placed(connection),
        "default_acls": [list(row) for row in rows(connection, DEFAULT_ACLS.format(acl=acl_sql("d.defaclacl")))],
    }
    large_objects(connection, found)
    return found


def large_objects(connection: Any, found: dict[str, Any]) -> None:
    """Put owners and ACLs of the large objects of now into ``found``, of :func:`contents`: they come and go with what clients write."""
    entries = {oid: {"owner": owner, "acl": acl} for oid, owner, acl in rows(connection, LARGE_OBJECTS.format(acl=acl_sql("o.lomacl")))}
    found["objects"] = {**{kind: entry for kind, entry in found["objects"].items() if kind != "LARGE OBJECT"},
                        **({"LARGE OBJECT": entries} if entries else {})}
    found["large_object_owners"] = dict(
        rows(connection, "SELECT pg_get_userbyid(lomowner), count(*) FROM pg_largeobject_metadata GROUP BY 1 ORDER BY 1"))


def sequences(connection: Any) -> dict[str, list[Any]]:
    """``[last_value, is_called]`` of every sequence in the database of ``connection``, read from the sequences themselves."""
    names = [row[0] for row in rows(connection, SEQUENCES)]
    found: dict[str, list[Any]] = {}
    for start in range(0, len(names), 200):
        some = names[start:start + 200]
        parts = " UNION ALL ".join(f"SELECT {index}, last_value, is_called FROM {name}" for index, name in enumerate(some))
        found.update((some[index], [last, called]) for index, last, called in rows(connection, parts))
    return found


def rows(connection: Any, sql: str, parameters: Any = None) -> list[tuple]:
    """All rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _difference(one: str, other: str, owner: str) -> str:
    explode = "SELECT grantor, grantee, privilege_type, is_grantable FROM aclexplode({})"
    return (
        "(SELECT coalesce(json_agg(json_build_array(s.g, s.p, s.r) ORDER BY s.g, s.p, s.r), '[]') FROM (SELECT"
        f" CASE x.grantee WHEN 0 THEN '{PUBLIC}' WHEN {owner} THEN '' ELSE pg_get_userbyid(x.grantee) END AS g,"
        f" CASE x.grantor WHEN {owner} THEN '' ELSE pg_get_userbyid(x.grantor) END AS r,"
        " x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END AS p"
        f" FROM ({explode.format(one)} EXCEPT {explode.format(other)}) x) s)"
    )
