# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests of this folder share."""

from __future__ import annotations

import os
import pathlib
import subprocess

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump import dump
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import DumpRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore import restore
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import RestoreRequest

from demo.postgres_server import HOST, bin_directory


def endpoint_of(server, **changes):
    options = {"host": HOST, "port": server.port, "user": "postgres", "password": server.password, "sslmode": "disable"}
    return Endpoint(**{**options, **changes})


OBJECTS = (pathlib.Path(__file__).parent / "objects.sql").read_text(encoding="utf-8")
NEWER_OBJECTS = (pathlib.Path(__file__).parent / "objects18.sql").read_text(encoding="utf-8")
# Of the whole server, so that a copy of the database has none; while there is one the database cannot be dropped.
SUBSCRIBE = """
CREATE SUBSCRIPTION feed CONNECTION 'host=feed.example password=canary-feed' PUBLICATION elsewhere
  WITH (connect = false, enabled = false, slot_name = NONE, binary = true);
COMMENT ON SUBSCRIPTION feed IS 'said'
"""
ROLES = """
CREATE ROLE crm_owner; CREATE ROLE crm_app LOGIN PASSWORD 'app-secret' CONNECTION LIMIT 20; CREATE ROLE crm_reader NOINHERIT;
GRANT crm_reader TO crm_app; COMMENT ON ROLE crm_app IS 'Application'; ALTER ROLE crm_app SET statement_timeout = '5min';
"""
DROP_ROLES = "DROP ROLE IF EXISTS crm_app, crm_owner, crm_reader"
FRAME = """
ALTER DATABASE {0} OWNER TO crm_owner; ALTER DATABASE {0} SET timezone = 'Europe/Paris'; COMMENT ON DATABASE {0} IS 'Clients';
ALTER ROLE crm_app IN DATABASE {0} SET work_mem = '8MB'; REVOKE CONNECT ON DATABASE {0} FROM PUBLIC;
GRANT CONNECT ON DATABASE {0} TO crm_app;
ALTER DATABASE {0} CONNECTION LIMIT 50
"""


def fill(server, database):
    """Make every kind of object in ``database``."""
    server.execute(FRAME.format(database))
    server.execute(OBJECTS, database)
    if server.major >= 18:
        server.execute(NEWER_OBJECTS, database)


def move(source, target, database):
    """An untouched move by the tools alone, with the roles and their password hashes."""
    environment = {**os.environ, "PGPASSWORD": source.password}
    client = bin_directory(max(source.major, 18))
    dump = subprocess.run([str(bin_directory(source.major) / "pg_dump"), "-h", HOST, "-p", str(source.port), "-U", "postgres", "-Fc", "-C",
                           database], env=environment, stdout=subprocess.PIPE, check=True).stdout
    for statement in ROLES.strip().splitlines():
        target.execute(statement)
    for (verifier,) in source.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'crm_app'"):
        target.execute(f"ALTER ROLE crm_app PASSWORD '{verifier}'")
    subprocess.run([str(client / "pg_restore"), "-h", HOST, "-p", str(target.port), "-U", "postgres", "-C", "-e", "-d", "postgres"],
                   env={**environment, "PGPASSWORD": target.password}, input=dump, check=True)


def move_by_modules(source, target, database, directory):
    """The same by a backup and its restore, as the modules make them; returns what the restore says."""
    ends = []
    for server in (source, target):
        own = directory / str(server.port)
        own.mkdir()
        ends.append(endpoint_of(server, password=None, passfile=passfile(own, server)))
    dumped = dump(DumpRequest(ends[0], [database], str(directory), bin_dir=str(bin_directory(source.major))))
    return restore(RestoreRequest(ends[1], str(directory / "created.json"), dumped["path"], bin_dir=str(bin_directory(18))))


def passfile(directory, server, *more):
    """Path of a libpq password file with the superuser of ``server`` and the lines ``more``."""
    path = directory / "pgpass"
    path.touch(mode=0o600)
    path.write_text("".join(f"*:*:*:{line}\n" for line in (f"postgres:{server.password}", *more)), encoding="utf-8")
    return str(path)


def normal(server):
    """What a freeze captures of the database ``frozen``, as it is now."""
    return capture(endpoint_of(server), ["frozen"])


def as_application(server, statement):
    """What ``statement`` returns to the application of the database ``frozen``."""
    connection = server.connect("frozen", "crm_app", "app-secret")
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def die(*_arguments, **_options):
    """In place of a function at which a process is to die."""
    raise KeyboardInterrupt
