# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What :mod:`preflight_managed` looks at: the capture of the source, and what the login of the target may make of it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import Adaptation
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture, cluster
from ansible_collections.dihya.migration.plugins.module_utils._postgres.carried import beside, carry
from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import other_verifiers
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, connect, import_psycopg2, pin_session
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import identifier, rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.limits import adaptation_to, assumable
from ansible_collections.dihya.migration.plugins.module_utils._postgres.login import try_logins
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_plan import mentioned

OURS = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = o.oid AND d.deptype = 'e')"
HERE = "(SELECT b.{} FROM pg_database b WHERE b.datname = current_database())"
NAMED = "quote_ident(n.nspname) || '.' || quote_ident(o.{name})"


def _made(kind: str, catalog: str, name: str, condition: str = "true", schema: str = "") -> str:
    """SQL of kind, name and owner of the objects of a catalog that somebody made, not an extension."""
    shown = NAMED.format(name=name) if schema else f"o.{name}::text"
    join = f" JOIN pg_namespace n ON n.oid = o.{schema}" if schema else ""
    return (f"SELECT '{kind}' AS kind, {shown} AS name FROM {catalog} o{join}"
            f" WHERE o.oid >= 16384 AND {condition} AND {OURS.format(catalog=catalog)}")


# What takes a superuser to make, whoever is to own it.
SUPERUSER_OBJECTS = " UNION ALL ".join((
    _made("event trigger", "pg_event_trigger", "evtname"),
    _made("publication", "pg_publication", "pubname", "(o.puballtables{schemas})"),
    _made("subscription", "pg_subscription", "subname", f"o.subdbid = {HERE.format('oid')}"),
    _made("foreign data wrapper", "pg_foreign_data_wrapper", "fdwname"),
    _made("language", "pg_language", "lanname", "o.lanispl"),
    _made("function in C or leakproof", "pg_proc", "proname", "(o.prolang IN (12, 13) OR o.proleakproof)", "pronamespace"),
    _made("base type", "pg_type", "typname", "o.typtype = 'b' AND o.typelem = 0", "typnamespace"),
    _made("operator class", "pg_opclass", "opcname", schema="opcnamespace"),
    _made("text search parser", "pg_ts_parser", "prsname", schema="prsnamespace"),
    _made("text search template", "pg_ts_template", "tmplname", schema="tmplnamespace"),
    _made("access method", "pg_am", "amname"),
)) + " ORDER BY 1, 2"
MAPPINGS = "SELECT srvname || ' for ' || coalesce(usename, 'public') AS name FROM pg_user_mappings WHERE umoptions IS NULL ORDER BY 1"


def managed_facts(source: Endpoint, target: Endpoint, target_connection: Any, facts: dict[str, Any], *, owners: dict[str, str],
                  service_roles: Sequence[str], leave_out: Sequence[str], passwords: Mapping[str, str],
                  application_name: str) -> dict[str, Any]:
    """The facts for the databases of ``facts`` that could be read; ``passwords`` are those given for roles of the target."""
    found = [name for name, content in facts["source"]["contents"].items() if "error" not in content]
    taken = capture(source, found, application_name)
    login = facts["target"]["server"]["login"]
    read: dict[str, Any] = {
        "taken": taken, "assumable": assumable(target_connection), "createrole": login["createrole"], "createdb": login["createdb"],
        "change": adaptation_to(target_connection, taken, owners=owners, service_roles=service_roles, leave_out=leave_out),
        # The login with which the source is read is not made on the target unless something is its own.
        "servant": {facts["source"]["server"]["login"]["name"]} - mentioned(taken), "superuser_objects": {}, "mappings": {}}
    there = dict(cluster(target_connection, []), server_version=target_connection.server_version)
    read["roles"] = _roles(taken, there, beside(read["change"], there, {}, service_roles))
    given = {role: passwords[role] for role in other_verifiers(read["roles"]["source"], there) & passwords.keys()}
    read["logins"] = {role: try_logins(target, [role], [target.dbname], application_name, given) for role in given}
    for name in found:
        with contextlib.closing(connect(source, name, application_name)) as connection:
            pin_session(connection)
            schemas = " OR EXISTS (SELECT FROM pg_publication_namespace p WHERE p.pnpubid = o.oid)" if connection.server_version >= 150000 \
                else ""
            objects = rows(connection, SUPERUSER_OBJECTS.replace("{schemas}", schemas))
            read["superuser_objects"][name] = objects
            read["mappings"][name] = [row["name"] for row in rows(connection, MAPPINGS)] if read["change"].limits.plain else []
    return read


def _roles(taken: Mapping[str, Any], there: Mapping[str, Any], change: Adaptation) -> dict[str, Any]:
    """What a proof will compare of roles: the capture ``taken`` of the source, and ``there`` of the target as it is now."""
    source, target, _left = carry(taken, there, change)
    return {"source": source, "target": target}


def closed_extensions(contents: Mapping[str, Any], target: Mapping[str, Any], connection: Any, leave_out: Collection[str]) -> list[str]:
    """Extensions of the databases ``contents`` that the login of ``target`` cannot create, tried: services let theirs create more.

    ``target`` has its ``server`` and the ``superuser_only`` of :func:`read_offer`. A superuser is not asked to try.
    """
    needed = {one["name"] for content in contents.values() for one in content.get("extensions", [])
              if f"extension {one['name']}" not in leave_out}
    closed = sorted(needed & set(target["superuser_only"]))
    superuser = target["server"]["login"]["superuser"]
    return [name for name in closed if superuser or not _creatable(connection, name)]


def _creatable(connection: Any, name: str) -> bool:
    """Whether the login may create an extension that is not trusted: tried where it is connected, and rolled back."""
    psycopg2 = import_psycopg2()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {identifier(name)} CASCADE")
        except psycopg2.Error:
            return False
        finally:
            cursor.execute("ROLLBACK")
    return True
