# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One small database that moves from a real PostgreSQL 16 (or ``POSTGRES_SOURCE``) to a real 18, and both servers before and after."""

from __future__ import annotations

import contextlib
import json
import pathlib
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2

from demo.postgres_server import HOST, PostgresServer, bin_directory
from tests.support.playbook import ROOT, Outcome, Playbook
from tests.support.postgres_modules import SOURCE, dump_tools

SYSTEM_ROLES = "rolname !~ '^pg_' AND rolname <> 'postgres'"
# Every list of privileges in one order and with its default spelled out, so that equal ones are equal texts.
ACL = "ARRAY(SELECT item::text FROM unnest(coalesce({}, acldefault('{}', {}))) item ORDER BY 1)::text"
CLUSTER = {
    "databases": f"SELECT datname, oid::bigint, pg_get_userbyid(datdba), datallowconn, datconnlimit, {ACL.format('datacl', 'd', 'datdba')}"
                 " FROM pg_database ORDER BY 1",
    "roles": "SELECT rolname, oid::bigint, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolconnlimit, rolpassword,"
             " rolvaliduntil::text FROM pg_authid ORDER BY 1",
    "memberships": "SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members ORDER BY 1, 2",
    "settings": "SELECT setdatabase::bigint, setrole::bigint, setconfig::text FROM pg_db_role_setting ORDER BY 1, 2",
}
CONTENTS = {
    "schemas": f"SELECT nspname, pg_get_userbyid(nspowner), {ACL.format('nspacl', 'n', 'nspowner')} FROM pg_namespace"
               " WHERE nspname !~ '^pg_' ORDER BY 1",
    "relations": "SELECT oid::regclass::text, relkind::text, pg_get_userbyid(relowner), " + ACL.format(
        "relacl", "r", "relowner").replace("'r'", "CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"")
        + " FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'v', 'S') ORDER BY 1",
    "sequences": "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2",
    "large objects": f"SELECT oid::bigint, md5(lo_get(oid)), {ACL.format('lomacl', 'L', 'lomowner')}"
                     " FROM pg_largeobject_metadata ORDER BY 1",
}
TABLES = "SELECT oid::regclass::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1"
DIGEST = "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {} t"
FILL = (
    "CREATE SCHEMA app AUTHORIZATION {owner}",
    "SET ROLE {owner}",
    "CREATE TABLE app.client (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL)",
    "INSERT INTO app.client (name) SELECT 'Taḍsa ⵜⴰⴹⵚⴰ زبون ' || n FROM generate_series(1, 300) n",
    "CREATE TABLE app.invoice (id int PRIMARY KEY, client bigint REFERENCES app.client, amount numeric)",
    "INSERT INTO app.invoice SELECT n, n % 300 + 1, n / 7.0 FROM generate_series(1, 500) n",
    "CREATE SEQUENCE app.ticket START 100",
    "SELECT nextval('app.ticket')",
    "SELECT lo_from_bytea(4711, 'a large object'::bytea)",
    "GRANT USAGE ON SCHEMA app TO {reader}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO {reader}",
    "GRANT SELECT ON LARGE OBJECT 4711 TO {reader}",
)


@dataclass(frozen=True)
class Sites:
    """The old and the new server; their superusers' passwords need every escape there is."""

    source: PostgresServer
    target: PostgresServer

    @classmethod
    def start(cls, directory: pathlib.Path) -> Sites:
        """Both servers running, without autovacuum, whose own transactions would move the fence."""
        def server(side: str, major: int) -> PostgresServer:
            password = f"k:'\\%{major}\"& {secrets.token_hex(8)}"
            return PostgresServer(major, directory / side, password=password, settings={"autovacuum": "off"}).create().start()
        return cls(server("source", SOURCE), server("target", 18))

    def remove(self) -> None:
        """Stop and erase both."""
        self.source.remove()
        self.target.remove()

    def clear(self) -> None:
        """Drop every database and role that a test made or moved."""
        for server in (self.source, self.target):
            for (name,) in server.execute("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"):
                server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            for (name,) in server.execute(f"SELECT rolname FROM pg_roles WHERE {SYSTEM_ROLES}"):
                server.execute(f'DROP ROLE "{name}"')


class Move:
    """A migration of one database with everything that it writes below ``directory``; change :attr:`variables` before a run."""

    def __init__(self, sites: Sites, directory: pathlib.Path, name: str) -> None:
        self.sites, self.directory, self.database, self.id = sites, directory, name, name.replace("_", "-")
        self.owner, self.reader = f"{name}_owner", f"{name}_reader"
        self.passwords = {role: f"r:'%{secrets.token_hex(8)}" for role in (self.owner, self.reader)}
        self.playbook = Playbook(directory / "controller")
        self.backup, self.work = directory / "backup", directory / "work"
        self.secrets: dict[str, Any] = {"vault_source": sites.source.password, "vault_target": sites.target.password,
                                        "vault_roles": self.passwords}
        self.variables: dict[str, Any] = {
            "migration_id": self.id, "migration_stacks": ["postgresql"], "migration_transport": "local", "test_base": str(directory),
            # Templates, as inventories have them: what is taken without resolving them shows.
            "migration_work_dir": "{{ test_base }}/work/{{ inventory_hostname }}", "migration_state_dir": "{{ test_base }}/state",
            "migration_report_dir": "{{ test_base }}/reports", "migration_backup_dir": "{{ test_base }}/backup",
            "postgresql_source": self.endpoint(sites.source, "{{ vault_source }}"),
            "postgresql_target": self.endpoint(sites.target, "{{ vault_target }}"),
            "postgresql_databases": [name], "postgresql_freeze": "revoke_connect", "postgresql_jobs": 2,
            "postgresql_bin_dir": str(bin_directory(sites.target.major)),
            **({"postgresql_dump_bin_dir": dump_tools(15)} if sites.source.major == 15 else {}),
        }
        self.children: dict[str, Any] = {}
        self.mover: dict[str, Any] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}

    @staticmethod
    def endpoint(server: PostgresServer, password: str) -> dict[str, Any]:
        """An endpoint of the inventory; the servers of the tests are built without TLS and listen on loopback only."""
        return {"host": HOST, "port": server.port, "user": "postgres", "password": password, "sslmode": "disable"}

    def fill(self, rows: int = 0) -> Move:
        """Make the source database: two logins, grants, settings, tables, a sequence, a large object, and a table of ``rows`` rows."""
        source = self.sites.source
        for role, password in self.passwords.items():
            quoted = password.replace("'", "''")
            source.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{quoted}'")
        source.execute(f"CREATE DATABASE {self.database} OWNER {self.owner}")
        source.execute(f"ALTER DATABASE {self.database} SET timezone TO 'Africa/Algiers'")
        source.execute(f"ALTER ROLE {self.reader} IN DATABASE {self.database} SET statement_timeout TO '9s'")
        source.execute(f"REVOKE CONNECT ON DATABASE {self.database} FROM PUBLIC")
        source.execute(f"GRANT CONNECT ON DATABASE {self.database} TO {self.reader}")
        statements = [statement.format(owner=self.owner, reader=self.reader) for statement in FILL]
        if rows:
            statements.append("CREATE TABLE app.bulk AS SELECT n AS id, md5(n::text) || md5((n + 1)::text) AS text"
                              f" FROM generate_series(1, {rows}) n")
        source.execute(";".join(statements), self.database)
        return self

    def run(self, playbook: str = "migrate", arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None,
            timeout: float = 290, **extra: Any) -> Outcome:
        """Run one of the playbooks of the checkout to its end; secrets and ``extra`` come as extra variables, in a file."""
        return self.playbook.run(f"playbooks/{playbook}.yml", self.inventory(), {**self.secrets, **extra}, arguments, environment, timeout)

    def inventory(self) -> dict[str, Any]:
        """The inventory: one mover, the variables, and the groups of :attr:`children`."""
        return {"all": {"hosts": {"mover": self.mover}, "vars": self.variables, "children": self.children}}

    def events(self) -> list[dict[str, Any]]:
        """The journal, empty when there is none."""
        path = self.directory / "state" / self.id / "journal.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def outcome(self) -> str:
        """The outcome of the last run that ended, empty when none did."""
        return next((event["facts"]["outcome"] for event in reversed(self.events()) if event["verb"] == "end"), "")

    def report(self) -> str:
        """The Markdown report, its typographic blanks as ordinary ones."""
        text = (self.directory / "reports" / self.id / "report.md").read_text(encoding="utf-8")
        return text.replace("\u00a0", " ").replace("\u202f", " ").replace("’", "'")

    def source_state(self) -> dict[str, Any]:
        """The source as it is."""
        return {**cluster_state(self.sites.source), **contents_state(self.sites.source, self.database)}

    def target_state(self) -> dict[str, Any]:
        """The target's databases, roles and settings as they are."""
        return cluster_state(self.sites.target)

    def owner_writes(self) -> None:
        """A client logs in to the source as the application does, and writes."""
        with contextlib.closing(psycopg2.connect(host=HOST, port=self.sites.source.port, dbname=self.database, user=self.owner,
                                                 password=self.passwords[self.owner])) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO app.client (name) VALUES ('after the rollback')")
            connection.commit()

    def leftovers(self) -> list[str]:
        """What no run may leave: sessions, scratch databases, parts of backups, password files, jobs."""
        found = [f"session {name}" for server in (self.sites.source, self.sites.target) for name in our_sessions(server)]
        found += [f"database {row[0]}" for row in self.sites.target.execute("SELECT datname FROM pg_database WHERE datname ~ '^dihya'")]
        patterns = ("backup/**/.partial*", "work/**/*.pgpass", "work/*/run", "work/*/async/*", "controller/remote/*", "controller/local/*")
        return found + [str(path) for pattern in patterns for path in self.directory.glob(pattern)]


def cluster_state(server: PostgresServer) -> dict[str, Any]:
    """Databases, roles, memberships and settings of a server."""
    return {name: server.execute(sql) for name, sql in CLUSTER.items()}


def contents_state(server: PostgresServer, database: str) -> dict[str, Any]:
    """Owners, privileges, sequences, large objects and a digest of every table in a database."""
    found: dict[str, Any] = {name: server.execute(sql, database) for name, sql in CONTENTS.items()}
    for (table,) in server.execute(TABLES, database):
        found[f"table {table}"] = server.execute(DIGEST.format(table), database)
    return found


def our_sessions(server: PostgresServer, patience: float = 5.0) -> list[str]:
    """Application names of our sessions that do not end within ``patience`` seconds."""
    until = time.monotonic() + patience
    while True:
        found = [row[0] for row in server.execute("SELECT application_name FROM pg_stat_activity WHERE application_name ~ '^dihya'")]
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.1)


def equal_data(move: Move) -> bool:
    """Whether source and target hold the same rows, sequences and large objects in the database."""
    one, other = (contents_state(server, move.database) for server in (move.sites.source, move.sites.target))
    for state in (one, other):  # what privileges there are differs between versions
        del state["schemas"], state["relations"]
    return one == other


__all__ = ["HOST", "ROOT", "Move", "Outcome", "Sites", "cluster_state", "contents_state", "equal_data", "our_sessions"]
