# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two real PostgreSQL servers with data to move, and the bare tools that ours are held against."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo.postgres_server import HOST, PostgresServer

DATABASE = "bench"
SETTINGS = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "4GB", "maintenance_work_mem": "128MB", "autovacuum": "off"}
# A megabyte on disk is about 3,390 accounts as pgbench makes them and 1,271 events with a GIN index over their JSON.
ACCOUNTS, EVENTS = 3390, 1271
FILL = """
CREATE TABLE account (aid int PRIMARY KEY, bid int NOT NULL, abalance int, filler char(84));
INSERT INTO account SELECT n, n % 40, n * 7 % 10000 - 5000, 'line ' || n FROM generate_series(1, {accounts}) n;
CREATE INDEX account_branch ON account (bid);
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, body jsonb NOT NULL);
INSERT INTO event (at, kind, body) SELECT timestamptz '2024-01-01 00:00Z' + n * interval '7 s', 'kind' || n % 12, jsonb_build_object(
  'client', n % 5000, 'amount', n % 997 / 10.0, 'words', jsonb_build_array(md5(n::text), 'tag' || n % 300), 'note', 'زبون ⵣ ' || n)
  FROM generate_series(1, {events}) n;
CREATE INDEX event_at ON event (at);
CREATE INDEX event_body ON event USING gin (body jsonb_path_ops);
"""


@dataclass(frozen=True)
class Servers:
    """An old and a new server, a directory for what the measurements write, and the new server's client tools."""

    source: PostgresServer
    target: PostgresServer
    directory: pathlib.Path

    @property
    def passfile(self) -> pathlib.Path:
        """Passwords of both for libpq."""
        return self.directory / "pgpass"

    def environment(self, server: PostgresServer) -> dict[str, str]:
        """What libpq needs to reach ``server``."""
        return {"PGHOST": HOST, "PGPORT": str(server.port), "PGUSER": "postgres", "PGDATABASE": "postgres",
                "PGPASSFILE": str(self.passfile)}

    def endpoint(self, server: PostgresServer) -> dict[str, Any]:
        """The endpoint option of the modules."""
        return {"host": HOST, "port": server.port, "user": "postgres", "passfile": str(self.passfile), "sslmode": "disable"}

    def tool(self, name: str) -> str:
        """A client program of the new version."""
        return str(self.target.bin / name)

    def megabytes(self, database: str = DATABASE) -> int:
        """Size on the source's disk."""
        return int(self.source.execute(f"SELECT pg_database_size('{database}')")[0][0] / 2**20)

    def versions(self) -> str:
        """Both versions, for the notes."""
        found = [server.execute("SHOW server_version")[0][0].split()[0] for server in (self.source, self.target)]
        return f"PostgreSQL {found[0]} to {found[1]}, client tools of the new version"


@contextlib.contextmanager
def servers(directory: pathlib.Path, megabytes: int) -> Iterator[Servers]:
    """Both servers running, ``megabytes`` of data on the source; stopped and erased at the end."""
    # One password: pg_dumpall brings the superuser's along, and psql must be able to connect again after it.
    password = secrets.token_urlsafe(12)
    both = [PostgresServer(major, directory / str(major), password=password, settings=SETTINGS) for major in (16, 18)]
    try:
        found = Servers(both[0].create().start(), both[1].create().start(), directory)
        found.passfile.touch(mode=0o600)
        found.passfile.write_text("".join(f"{HOST}:{server.port}:*:postgres:{server.password}\n" for server in both), encoding="utf-8")
        fill(found.source, DATABASE, megabytes)
        yield found
    finally:
        for server in both:
            with contextlib.suppress(Exception):  # the cause of the failure is more important than what could not be stopped
                server.remove()


def fill(server: PostgresServer, database: str, megabytes: int) -> None:
    """Make ``database`` with about ``megabytes`` on disk."""
    server.execute(f"CREATE DATABASE {database}")
    for statement in FILL.format(accounts=megabytes * ACCOUNTS, events=megabytes * EVENTS).split(";\n"):
        if statement.strip():
            server.execute(statement, database)
    server.execute("VACUUM (ANALYZE)", database)
    server.execute("CHECKPOINT")


