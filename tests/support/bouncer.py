# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real PgBouncer before a server of the tests."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Any

import psycopg2

from demo.postgres_server import HOST, free_port, wait_for_port
from tests.support.needs import require_program

CONSOLE = "canary-console"
NOBODY = 65534


class Bouncer:
    """PgBouncer on loopback calls ``database`` of the server at ``port`` ``shop``; its console has a login of its own."""

    def __init__(self, port: int, database: str, login: tuple[str, str]) -> None:
        program = require_program("pgbouncer")
        self.port, self.login = free_port(), login
        # Not below pytest's own directory, which is closed to other users.
        self._directory = directory = pathlib.Path(tempfile.mkdtemp(prefix="bouncer-"))
        users, configuration = directory / "users.txt", directory / "pgbouncer.ini"
        users.write_text("".join(f'"{name}" "{password}"\n' for name, password in (login, ("console", CONSOLE))))
        configuration.write_text(
            f"[databases]\nshop = host={HOST} port={port} dbname={database}\n[pgbouncer]\nadmin_users = console\n"
            f"listen_addr = {HOST}\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n"
            f"pool_mode = transaction\nlogfile = {directory}/log\npidfile = {directory}/pid\n")
        argv = [program, "-q", str(configuration)]
        if os.geteuid() == 0:  # as which it refuses to run
            argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]
            for path in (directory, users, configuration):
                os.chown(path, NOBODY, NOBODY)
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_for_port(self.port)

    def console(self) -> dict[str, Any]:
        """How its console is reached."""
        return {"host": HOST, "port": self.port, "user": "console", "password": CONSOLE, "sslmode": "disable", "databases": ["shop"]}

    def ask(self, statement: str) -> Any:
        """The first value that a client is told, who waits while PgBouncer pauses."""
        user, password = self.login
        connection = psycopg2.connect(host=HOST, port=self.port, user=user, password=password, dbname="shop")
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()[0][0]
        finally:
            connection.close()

    def stop(self) -> None:
        """End it and remove what it had."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory)
