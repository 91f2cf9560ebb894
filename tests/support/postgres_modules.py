# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules for PostgreSQL in processes of their own, as they run on a host, and servers with the endpoint of their superuser."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts

from demo.postgres_server import HOST, PostgresServer, bin_directory

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = int(os.environ.get("POSTGRES_SOURCE", "16"))
"""The version from which databases move to 18."""
MAJORS: dict[int, int] = {}
"""The major version of every server of a :class:`Site`, by port."""
RUNNER = """
import importlib, json, os, sys
from ansible.module_utils.testing import patch_module_args
with patch_module_args(json.load(open(sys.argv[2]))):
    importlib.import_module('ansible_collections.dihya.migration.plugins.modules.' + sys.argv[1]).main()
"""
VERBS = {"pg_preflight": "preflight", "pg_dumpall": "backup", "pg_restore_cluster": "migrate", "pg_restore_drill": "backup",
         "pg_freeze": "freeze", "pg_schema": "migrate", "pg_verify": "verify"}


def dump_tools(major: int) -> str:
    """Directory of client tools that may dump a server of ``major``.

    Debian's 15 keeps, since a security release of 2026, a version with every column; it belongs in no dump, but tools that are
    older than that release, as the newest of the tests are, do not know it.
    """
    return str(bin_directory(15 if major == 15 else 18))


class Module:
    """Starts a module in a process of its own, as it runs on a host."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._started: list[subprocess.Popen] = []

    def start(self, name: str, check: bool = False, **options: Any) -> subprocess.Popen:
        if MAJORS.get((options.get("source") or {}).get("port", 0)) == 15:
            if name == "pg_dumpall" and options.get("bin_dir") == dump_tools(18):
                options["bin_dir"] = dump_tools(15)
            elif name == "pg_preflight" and options.get("bin_dir") == dump_tools(18):
                options.setdefault("dump_bin_dir", dump_tools(15))
        arguments = self._directory / f"arguments{len(self._started) + 1}.json"
        arguments.write_text(json.dumps(dict(options, _ansible_check_mode=check)))
        environment = dict(os.environ, PYTHONPATH=f"{ROOT}:{ROOT / 'collections'}")
        self._started.append(subprocess.Popen(
            [sys.executable, "-c", RUNNER, name, str(arguments)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ))
        return self._started[-1]

    def end(self) -> None:
        """Kill every module that still works, as after a test that failed; its tools die with it."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def run(self, name: str, check: bool = False, **options: Any) -> dict[str, Any]:
        process = self.start(name, check, **options)
        out, err = process.communicate(timeout=400)
        assert out, err
        result = json.loads(out)
        if "journal" in result:
            check_facts("postgresql", VERBS[name], result["journal"])  # what the journal would refuse is a defect here
        return result


class Site:
    """A server with the endpoint options of its superuser."""

    def __init__(self, server: PostgresServer, passfile: pathlib.Path) -> None:
        self.server = server
        MAJORS[server.port] = server.major
        passfile.touch(0o600)
        password = server.password.replace("\\", "\\\\").replace(":", "\\:")
        passfile.write_text(f"*:{server.port}:*:{server.superuser}:{password}\n")
        self.endpoint = {"host": HOST, "port": server.port, "user": server.superuser, "passfile": str(passfile), "sslmode": "disable"}

    def execute(self, sql: str, database: str = "postgres") -> list[tuple]:
        return self.server.execute(sql, database)

    def names(self) -> dict[str, set[str]]:
        """What a restore could have left: databases, roles, and what it gave to every role."""
        found: dict[str, set[str]] = {"databases": set(), "roles": set(), "everybody": set()}
        for kind, name in self.execute(
                "SELECT 'databases', datname::text FROM pg_database UNION ALL SELECT 'roles', rolname FROM pg_roles UNION ALL"
                " SELECT 'everybody', unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = 0 UNION ALL"
                " SELECT 'everybody', parname FROM pg_parameter_acl WHERE paracl::text ~ '[{,]='"):
            found[kind].add(name)
        return found

    def clear(self, kept: dict[str, set[str]]) -> None:
        """Drop databases and roles that are not among ``kept``, which :meth:`names` told before."""
        found = self.names()
        for name in found["databases"] - kept["databases"]:
            quoted = name.replace('"', '""')
            self.execute(f'DROP DATABASE "{quoted}" WITH (FORCE)')
        for role in found["roles"] - kept["roles"]:
            self.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
