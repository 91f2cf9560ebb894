# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The databases of the demo: a full PostgreSQL 16 on the old site, an empty PostgreSQL 18 on the new one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from pathlib import Path

import psycopg2

from demo import saved
from demo.layout import APP, DATABASE, HOST, OLD, PYTHON, SECRETS, SITES, DemoError, Site, write_private
from demo.postgres_server import PostgresServer, set_password

ROLES = ("demo_owner", "demo_app", "demo_reader")
ADMINISTRATORS = ("postgres_old", "postgres_new", "migrator_old", "migrator_new")
AWKWARD = "\"'%&"
"""Within every password: what JSON, URLs, SQL, HTML and shells write otherwise, so that a search through their escapes shows something."""


def make_secrets() -> dict[str, str]:
    """New random passwords for everybody."""
    found = {name: secrets.token_urlsafe(9) + AWKWARD + secrets.token_urlsafe(9) for name in (*ROLES, *ADMINISTRATORS)}
    write_private(SECRETS, json.dumps(found, indent=1))
    return found


def read_secrets() -> dict[str, str]:
    """The passwords of the running demo."""
    return json.loads(SECRETS.read_text(encoding="utf-8"))


def server(site: Site) -> PostgresServer:
    """The PostgreSQL server of ``site``."""
    return PostgresServer(site.major, site.root / "postgresql", site.postgresql, read_secrets()[f"postgres_{site.name}"],
                          {"shared_buffers": "128MB", "max_wal_size": "1GB", "timezone": "UTC", "log_timezone": "UTC"})


def environment(site: Site) -> dict[str, str]:
    """What the back end of ``site`` needs to reach its database; no secret in it."""
    address = f"{HOST}:{site.postgresql}/{DATABASE}"
    return {"DATABASE_URL": f"postgresql+psycopg2://demo_app@{address}", "MIGRATION_DATABASE_URL": f"postgresql+psycopg2://demo_owner@{address}",
            "PGPASSFILE": str(site.passfile)}


def write_passfile(site: Site) -> None:
    """The application's passwords on ``site``."""
    known = read_secrets()
    write_private(site.passfile, "".join(f"{HOST}:{site.postgresql}:*:{role}:{known[role]}\n" for role in ROLES))


def create(site: Site) -> None:
    """Create and start an empty server with the migration's login."""
    write_passfile(site)
    running = server(site).create().start()
    running.execute("CREATE ROLE migrator SUPERUSER LOGIN")
    set_passwords(running, running.password, {"migrator": read_secrets()[f"migrator_{site.name}"]})


def create_old(release: Path) -> None:
    """The old server with everything in it: a copy of an earlier demo's, else from scratch."""
    running, known = server(OLD), read_secrets()
    password = saved.take(running)
    if password:
        write_passfile(OLD)
        running.configure().start()
    else:
        create(OLD)
        fill(release)
        password = saved.keep(running)
    set_passwords(running, password, {role: known[role] for role in ROLES})
    set_passwords(running, password, {"migrator": known["migrator_old"], "postgres": running.password})


def set_passwords(running: PostgresServer, superuser: str, passwords: dict[str, str]) -> None:
    """Give each role its password, by the superuser whose password is ``superuser``."""
    connection = running.connect(password=superuser)
    with contextlib.closing(connection), connection.cursor() as cursor:
        for role, password in passwords.items():
            set_password(cursor, role, password)


def fill(release: Path) -> None:
    """Roles, database, schema by the old release's own migrations, and the rows."""
    running, known = server(OLD), read_secrets()
    connection = running.connect()
    with contextlib.closing(connection), connection.cursor() as cursor:
        for statement in (APP / "roles.sql").read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                cursor.execute(statement)
    set_passwords(running, running.password, {role: known[role] for role in ROLES})
    running.execute("CREATE EXTENSION vector", DATABASE)
    done = subprocess.run([str(PYTHON), "-m", "flask", "--app", "wsgi", "db", "upgrade"], cwd=release,
                          env={**os.environ, **environment(OLD)}, text=True, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise DemoError(f"the old release could not make its schema: {done.stdout[-1500:]}")
    owner = psycopg2.connect(host=HOST, port=OLD.postgresql, dbname=DATABASE, user="demo_owner", password=known["demo_owner"])
    with owner, owner.cursor() as cursor:
        cursor.execute((APP / "rows.sql").read_text(encoding="utf-8"))
    owner.close()
    running.execute("VACUUM (ANALYZE)", DATABASE)


def stop_all(mode: str = "fast") -> None:
    """Stop both servers where they run; ``mode`` as pg_ctl has it."""
    if SECRETS.exists():
        for site in SITES.values():
            with contextlib.suppress(RuntimeError):  # one that was killed leaves its pid file, and cannot be stopped
                server(site).stop(mode)


def remove_all() -> None:
    """Erase both clusters, wherever they are, once their processes have ended."""
    if SECRETS.exists():
        for site in SITES.values():
            cluster = server(site)
            (cluster.directory / "postmaster.pid").unlink(missing_ok=True)  # of a server that was killed
            cluster.remove()
