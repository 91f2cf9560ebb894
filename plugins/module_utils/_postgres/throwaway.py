# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A PostgreSQL server that lives for one restore drill: private, without a network where the host allows it, and swept.

PostgreSQL refuses to run as root. Where user namespaces can be made, the server runs in one, with no network but its
socket and with a process namespace of its own, so that the kernel ends all of it when its worker dies. Elsewhere it
runs as the caller or, for root, as an account that the caller names. Every process of it works below its directory,
which has a random name: by that it is known, whoever started it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._lease import is_alive
from ansible_collections.dihya.migration.plugins.module_utils._postgres.backup_dir import OWNER, PREFIX, discard_stage, remove_stale, stage
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, connect
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import major_of, parse_version

PROGRAMS = ("initdb", "postgres")
# Where distributions put the server's programs; {0} is the major version.
USUAL = ("/usr/lib/postgresql/{0}/bin", "/usr/pgsql-{0}/bin", "/usr/lib/postgresql{0}/bin", "/usr/libexec/postgresql{0}")
NAME = "drill"
START = 60.0  # seconds a server gets to answer
GRACE = 5.0  # seconds it gets to end its own processes before they are killed
PATIENCE = 30.0  # seconds for its processes to be gone


class Unfit(MigrationError):
    """A throw-away server cannot be had here, or could not take this backup; nothing is wrong with the backup itself."""


@dataclass(frozen=True)
class Shelter:
    """How the server's programs run: words before theirs, the signal that ends them with their worker, their account if not ours."""

    prefix: tuple[str, ...] = ()
    on_death: int = signal.SIGQUIT
    isolated: bool = False
    account: tuple[int, int] | None = None


def find_shelter(user: str | None) -> Shelter:
    """The shelter of this host; ``user`` is an account for root without user namespaces. Raises :class:`Unfit` saying what is missing."""
    namespace = _namespace()
    if namespace:
        return Shelter(namespace, signal.SIGKILL, True)  # unshare blocks every gentler signal
    if os.geteuid() != 0:
        return Shelter()
    if not user:
        raise Unfit("PostgreSQL refuses to run as root and this host makes no user namespace (unshare): allow them, "
                    "or name an unprivileged account in server_user", subject="server_user")
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise Unfit(f"server_user {user} is no account of this host: name one that is", subject="server_user") from None
    if account.pw_uid == 0:
        raise Unfit(f"server_user {user} is root, as whom PostgreSQL refuses to run: name an unprivileged account", subject="server_user")
    words = (find_tool("setpriv"), f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--pdeathsig=QUIT")
    return Shelter(words, account=(account.pw_uid, account.pw_gid))


def _namespace() -> tuple[str, ...]:
    """The words that run a program in namespaces of its own as nobody, who is known everywhere; none where that does not work."""
    try:
        nobody = pwd.getpwnam("nobody")
        words = (find_tool("unshare"), "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}",
                 "--net", "--ipc", "--pid", "--fork", "--kill-child")
        return words if run([*words, "true"], check=False, timeout=20).status == 0 else ()
    except (KeyError, MigrationError):
        return ()


def find_programs(major: int, server_bin_dir: str | None, bin_dir: str | None) -> str:
    """The directory with the server's programs of ``major``; raises :class:`Unfit` when there is none."""
    places = [server_bin_dir] if server_bin_dir else [bin_dir, *(place.format(major) for place in USUAL)]
    for place in filter(None, places):
        if all(os.access(os.path.join(place, name), os.X_OK) for name in PROGRAMS):
            found = parse_version(run([os.path.join(place, "postgres"), "--version"], timeout=20).stdout)
            if major_of(found) == major:
                return place
            if server_bin_dir:
                raise Unfit(f"the server in {place} is of version {found}, the target of {major}: name the directory of the target's "
                            "version in server_bin_dir", subject="server_bin_dir")
    looked = server_bin_dir or "the usual directories"
    raise Unfit(f"there are no server programs ({' and '.join(PROGRAMS)}) of PostgreSQL {major} in {looked}: install the server's "
                "package on this host, or name their directory in server_bin_dir", subject="server_bin_dir")


class ThrowawayServer:
    """Context manager: makes a server in a new directory below ``work_dir`` and erases it; ``settings`` is its postgresql.conf."""

    def __init__(self, programs: str, shelter: Shelter, work_dir: str, superuser: str, settings: str) -> None:
        self._programs, self._shelter, self._work_dir = programs, shelter, work_dir
        self._superuser, self._settings = superuser, settings
        self._process: subprocess.Popen | None = None
        self._descriptor = -1
        self.directory = ""
        self.log = os.path.join(work_dir, "server.log")

    def __enter__(self) -> Endpoint:
        self.directory = os.path.realpath(stage(self._work_dir, NAME))
        try:
            return self._begin()
        except BaseException:
            self._end()
            raise

    def __exit__(self, kind: Any, *_exc: object) -> None:
        self._end()
        if kind is None and os.path.exists(self.log):
            os.unlink(self.log)

    def _begin(self) -> Endpoint:
        if self._shelter.account:
            os.chown(self.directory, *self._shelter.account)
            self._try_account()
        data, passfile = os.path.join(self.directory, "data"), os.path.join(self.directory, "pgpass")
        password = secrets.token_urlsafe(24)
        self._write(passfile, f"*:*:*:*:{password}\n")
        first = self._write(os.path.join(self.directory, "password"), password + "\n", self._shelter.account)
        self._run("initdb", f"--pgdata={data}", f"--username={self._superuser}", f"--pwfile={first}", "--auth=scram-sha-256", "--no-sync",
                  "--encoding=UTF8", "--locale=C")
        os.unlink(first)
        self._write(os.path.join(data, "postgresql.conf"), self._settings, self._shelter.account)
        # A path to the socket that is short however deep the directory lies, and that only this user can walk.
        self._descriptor = os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        endpoint = Endpoint(host=f"/proc/{os.getpid()}/fd/{self._descriptor}", user=self._superuser, passfile=passfile,
                            dbname="template1", sslmode="disable")
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._process = start([*self._shelter.prefix, os.path.join(self._programs, "postgres"), "-D", data], cwd=self.directory,
                                  stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, on_death=self._shelter.on_death)
        finally:
            os.close(output)
        self._wait(endpoint, os.path.join(data, ".s.PGSQL.5432"))
        return endpoint

    def _wait(self, endpoint: Endpoint, socket: str) -> None:
        until = time.monotonic() + START
        while time.monotonic() < until and self._process is not None and self._process.poll() is None:
            if os.path.exists(socket):
                with contextlib.suppress(MigrationError):
                    connect(endpoint).close()
                    return
            time.sleep(0.05)
        raise Unfit(f"the throw-away server did not start; what it printed is in {self.log}", log=self.log)

    def _try_account(self) -> None:
        """Whether the account of the shelter reaches directory and programs, which may lie where only root goes."""
        tries = {self.directory: ["test", "-w", self.directory], self._programs: [f"{self._programs}/postgres", "--version"]}
        for place, words in tries.items():
            if run([*self._shelter.prefix, *words], check=False, timeout=20).status != 0:
                raise Unfit(f"the account of server_user cannot use {place}: let it enter the directories above, or choose others "
                            "with work_dir and server_bin_dir", subject="server_user")

    def _run(self, program: str, *arguments: str) -> None:
        try:
            run([*self._shelter.prefix, os.path.join(self._programs, program), *arguments], cwd=self.directory, timeout=300, log=self.log,
                on_death=signal.SIGKILL)
        except MigrationError as error:
            raise Unfit(error.message, log=self.log) from None

    @staticmethod
    def _write(path: str, text: str, account: tuple[int, int] | None = None) -> str:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            if account:
                os.fchown(descriptor, *account)
            stream.write(text)
        return path

    def _end(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        end_below(self.directory)
        if self._process is not None:
            self._process.wait()
            self._process = None
        discard_stage(self.directory)


def processes_below(directory: str) -> list[int]:
    """Numbers of the processes that work in ``directory`` (a real path) or below it."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            place = os.readlink(f"/proc/{entry}/cwd")
        except OSError:
            continue
        if f"{place}/".startswith(f"{directory}/") or place == f"{directory} (deleted)":
            found.append(int(entry))
    return found


def end_below(directory: str) -> None:
    """End every process in ``directory``; a server gets the time to free what it holds of the system."""
    server, begun = _server_in(directory), time.monotonic()
    while True:
        found = processes_below(directory)
        waited = time.monotonic() - begun
        if not found:
            return
        if waited > PATIENCE:
            raise MigrationError(f"processes of a restore drill do not end: {', '.join(map(str, found))}", subject=directory)
        gentle = server in found and waited < GRACE
        for process in [server] if gentle else found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGQUIT if gentle else signal.SIGKILL)
        time.sleep(0.05)


def _server_in(directory: str) -> int:
    """The server's process by its own file; in a process namespace it calls itself 1, which no process of ours is."""
    try:
        with open(os.path.join(directory, "data", "postmaster.pid"), encoding="utf-8") as stream:
            return int(stream.readline())
    except (OSError, ValueError):
        return 0


def sweep(work_dir: str) -> list[str]:
    """End and erase what drills left in ``work_dir``, which is theirs alone, by dead workers; returns the names of the directories.

    To be called by the one worker there.
    """
    for entry in sorted(os.listdir(work_dir)) if os.path.isdir(work_dir) else []:
        if entry.startswith(".publish-"):  # a file that was being written
            os.unlink(os.path.join(work_dir, entry))
        if entry.startswith(f"{PREFIX}{NAME}-") and entry.endswith(OWNER):
            with contextlib.suppress(OSError, ValueError):
                if not is_alive(read_json(os.path.join(work_dir, entry))):
                    end_below(os.path.realpath(os.path.join(work_dir, entry[:-len(OWNER)])))
    return remove_stale(work_dir)
