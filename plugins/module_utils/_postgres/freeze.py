# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stop the writes to a source, and undo that exactly.

:class:`Freeze` carries out what :mod:`freeze_plan` derives from what was captured before. Its state lies beside the
capture (``<capture_file>.state``): ``freezing`` before the first change, ``frozen`` with the fence, ``open`` when
undone; so a second start finds the capture of the first. ``reopened`` says that the timer was faster: the source is
open, which is still to be proved.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils import _command
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture, large_objects, rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.definitions import digest_of_server, redefined
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    import_psycopg2,
    passfile_line,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.fence import read_fence, try_fence
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_methods import Method
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_plan import (
    WRITES,
    Changes,
    altered,
    difference,
    frozen,
    plan,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_rights import require_rights
from ansible_collections.dihya.migration.plugins.module_utils._postgres.guard import NO_LIMITS, Guard, Limits
from ansible_collections.dihya.migration.plugins.module_utils._postgres.privileges import run_in_transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.reopen import render

# Without pg_read_all_stats a session of somebody else shows neither its kind nor its address: it counts as a client.
CLIENTS = """
SELECT coalesce(usename::text, ''), application_name, coalesce(client_addr::text, 'local'), datname::text,
  coalesce((SELECT r.rolsuper FROM pg_roles r WHERE r.oid = usesysid), false), count(*)::int
FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usesysid IS NOT NULL
  AND pid <> pg_backend_pid() AND datname = ANY (%s) AND left(application_name, length(%s)) <> %s GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4
"""
WORKERS = """
SELECT DISTINCT backend_type FROM pg_stat_activity WHERE datname = ANY (%s)
  AND (backend_type ~ '^logical replication .*worker' OR backend_type ~ '^pg_cron')
"""
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
  AND datname = ANY (%s) AND left(application_name, length(%s)) <> %s AND {which}
  AND NOT coalesce((SELECT r.rolsuper FROM pg_roles r WHERE r.oid = usesysid), false)
"""
# Tables, sequences and columns that somebody dropped meanwhile.
GONE = """
SELECT x.kind, x.identity FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS x(kind, identity, relation, attribute)
WHERE to_regclass(x.relation) IS NULL OR (x.attribute <> '' AND NOT EXISTS (SELECT FROM pg_attribute a
  WHERE a.attrelid = to_regclass(x.relation) AND quote_ident(a.attname) = x.attribute AND NOT a.attisdropped))
"""
NOT_OPEN = "the source could not be opened in full"
STARTED = ", but its application was started all the same"


class Freeze:
    """One freeze of ``databases`` on ``endpoint`` whose state lies beside ``capture_file``."""

    def __init__(self, endpoint: Endpoint, databases: Sequence[str], method: Method, capture_file: str, reopen_script: str | None,
                 application_name: str, other_clients: str = "fail", settle: float = 10.0, psql: str = "psql",
                 limits: Limits = NO_LIMITS) -> None:
        self.endpoint, self.databases, self.method = endpoint, sorted(databases), method
        self.capture_file, self.reopen_script = capture_file, reopen_script
        self.application_name, self.other_clients, self.settle, self.psql = application_name, other_clients, settle, psql
        self.limits, self.guard = limits, Guard(capture_file + ".guard", reopen_script)
        # Every verb of this migration is ours: dihya/<id>/…
        self._ours = application_name.rpartition("/")[0] + "/" if "/" in application_name else application_name

    @property
    def state(self) -> dict[str, Any]:
        """What the last run left: ``{"state": "open"}`` when nothing was frozen."""
        try:
            state = read_json(self.capture_file + ".state")
            return {"state": "reopened"} if state["state"] != "open" and self.guard.reopened else state
        except FileNotFoundError:
            return {"state": "open"}
        except (OSError, ValueError) as error:
            raise MigrationError(f"the state of the freeze beside {self.capture_file} cannot be read: {type(error).__name__}") from None

    def captured(self) -> dict[str, Any]:
        """What was captured before the freeze when one is under way, else what is there now."""
        return read_json(self.capture_file) if self.state["state"] != "open" else self.capture()

    def capture(self) -> dict[str, Any]:
        taken = capture(self.endpoint, self.databases, self.application_name)
        missing = [name for name in self.databases if name not in taken["databases"]]
        if missing:
            raise MigrationError(f"database {missing[0]} does not exist on {self.endpoint}")
        return taken

    def statements(self, wanted: str, taken: Mapping[str, Any]) -> list[str]:
        """What reaching ``wanted`` (``frozen`` or ``open``) runs, for people to read."""
        undo = wanted == "open"
        argv = self.method.undo if undo else self.method.command
        words = ("undo: " if undo else "") + self.method.words if self.method.words else f"run {' '.join(argv)}"
        shown = [words + (f" on {self.method.on.host}" if self.method.on else "")] if argv else []
        found = [f"{name}: {statement}" for name, changes in plan(taken, self.databases, self.method).items()
                 for statement in (changes.undo if undo else changes.apply)]
        return found + shown if undo else shown + found

    def freeze(self) -> dict[str, Any]:
        """Freeze and take the fence; a freeze that an earlier run began is finished with that run's capture."""
        state = self.state
        if state["state"] == "frozen":
            self.guard.renew()
            return dict(state, changed=False, clients=self.clients())
        if state["state"] == "reopened":
            state = self.open()  # proves that all is as before: what is captured next is not a half-frozen source
        taken = self.captured()
        self._require_rights(taken)
        if state["state"] == "open":
            self.guard.clear()  # one whose freeze is undone must not undo this one
            private_directory(os.path.dirname(self.capture_file))
            publish_json(self.capture_file, taken)
            self._write_reopen(taken)
            publish_json(self.capture_file + ".state", {"state": "freezing"})
        if self.limits.longest and not self.guard.watching:  # nor does one live where a run died right before it set it
            self.guard.arm(self.limits, self._passwords())
        self._run(self.method.command)
        for name, changes in plan(taken, self.databases, self.method).items():
            self._execute(name, changes.apply)
        clients = self._quieten()
        # Older than the fence, so that nothing changed after it hides in it.
        server = digest_of_server(self.endpoint, self.databases, self.application_name)
        fence = dict(read_fence(self.endpoint, self.databases, self.application_name, self.settle), server=server)
        self._capture_late(taken)
        state = {"state": "frozen", "fence": fence, "capture_sha256": sha256_file(self.capture_file)}
        publish_json(self.capture_file + ".state", state)
        return dict(state, changed=True, clients=clients)

    def _capture_late(self, taken: Mapping[str, Any]) -> None:
        """Put into the capture the large objects that clients made until the writes had stopped.

        Nothing else: what a command did in order to stop them must not be taken for the state of before.
        """
        for name in self.databases:
            with transaction(self.endpoint, name, None, self.application_name) as connection:
                large_objects(connection, taken["databases"][name])
        if taken != read_json(self.capture_file):
            publish_json(self.capture_file, taken)

    def count_again(self, fence: Mapping[str, Any]) -> None:
        """Keep the later statistics of ``fence``, read while nothing had moved: they also count what came late at the freeze."""
        state = self.state
        if state["state"] == "frozen" and state["fence"]["value"] == fence["value"]:
            state["fence"]["activity"] = fence["activity"]
            publish_json(self.capture_file + ".state", state)

    def open(self) -> dict[str, Any]:
        """Undo a freeze, or what there is of one, and prove that all captured is as before.

        What others made or dropped meanwhile is told as ``besides``, and whatever they did since a timer opened the
        source: it must not keep the source from being frozen again.
        """
        if self.state["state"] == "open":
            return {"state": "open", "changed": False, "besides": []}
        taken = read_json(self.capture_file)
        with self.guard.aside():
            changes = self._undo(plan(taken, self.databases, self.method))
        after = self.capture()
        differing = [f"{name}: {one}" for name, found in changes.items() for one in found.owed(after["databases"][name])]
        if not differing and not self.guard.reopened:
            differing = altered(taken, after)
        if differing:
            self.guard.give_up()
            raise MigrationError(f"the source is open again, but {len(differing)} things are not as before the freeze: {differing[0]}: "
                                 f"set that right, or remove {self.capture_file}.state when it is meant so", differing=differing[:20])
        publish_json(self.capture_file + ".state", {"state": "open"})
        self.guard.clear()
        return {"state": "open", "changed": True, "capture_sha256": sha256_file(self.capture_file), "besides": difference(taken, after)}

    def _undo(self, planned: Mapping[str, Changes]) -> dict[str, Changes]:
        """Undo all that can be undone of ``planned``, what is gone excepted, and let the application go on.

        It goes on although the server refused something: that it can only read, or not everything, is better than that it stands.
        Raises with all that could not be undone.
        """
        done: dict[str, Changes] = {}
        failed: list[str] = []
        for name, found in planned.items():
            for last in (False, True):  # a connection may have been lost
                try:
                    done[name] = self._without_what_is_gone(name, found)
                    self._execute(name, done[name].undo)
                    break
                except MigrationError as error:
                    if last:
                        failed.append(error.message)
                        self._execute_each(name, done.get(name, found).undo)
        try:
            self._run(self.method.undo)
        except MigrationError as error:
            if not failed:
                raise
            raise MigrationError(f"{NOT_OPEN}: {'; '.join([*failed, error.message])}") from None
        if failed:
            raise MigrationError(f"{NOT_OPEN}{STARTED if self.method.undo else ''}: {'; '.join(failed)}")
        return done

    def _without_what_is_gone(self, database: str, changes: Changes) -> Changes:
        relations = [(one.kind, one.identity, one.entry.get("table", one.identity), one.entry.get("column", ""))
                     for one in changes.objects if one.kind != "DATABASE"]
        if not relations:
            return changes
        with transaction(self.endpoint, database, None, self.application_name) as connection:
            return changes.without(rows(connection, GONE, tuple(map(list, zip(*relations)))))

    def redefined(self, catalogs: Mapping[str, str | None]) -> list[str]:
        """What changed since the freeze that is no row; ``catalogs`` are digests of the catalogs that were proved since."""
        server = self.state.get("fence", {}).get("server")
        if server is None:
            return ["what was defined at the freeze is not known"]
        expected = frozen(self.captured(), self.databases, self.method)
        return list(redefined(self.endpoint, expected, server, catalogs, self.application_name))

    def clients(self) -> list[dict[str, Any]]:
        """Sessions in the databases that are not ours, counted by user, application, address and database."""
        connection = connect(self.endpoint, None, self.application_name)
        try:
            found = rows(connection, CLIENTS, (self.databases, self._ours, self._ours))
        finally:
            connection.close()
        return [dict(zip(("user", "application_name", "address", "database", "superuser", "sessions"), row)) for row in found]

    def _quieten(self) -> list[dict[str, Any]]:
        """End the sessions that the method says may not stay, wait for the others, and judge what is left."""
        readers = self.method.keep_readers
        connection = connect(self.endpoint, None, self.application_name)
        try:
            workers = [row[0] for row in rows(connection, WORKERS, (self.databases,))]
            if workers:
                raise MigrationError(f"{workers[0]} works in a frozen database of {self.endpoint}: stop it, it writes")
            parameters = (self.databases, self._ours, self._ours)
            until = time.monotonic() + self.settle
            while True:
                if self.method.ends_sessions:  # each time: one may have begun while the server read its new rules
                    rows(connection, END_SESSIONS.format(which="true"), parameters)
                if not (self._writers(connection) if readers else self.clients()) or time.monotonic() >= until:
                    break
                time.sleep(0.2)
            if readers:  # an open transaction would commit what it wrote before its grants went
                rows(connection, END_SESSIONS.format(which="backend_xid IS NOT NULL"), parameters)
        finally:
            connection.close()
        left = self.clients()
        if left and not readers and self.other_clients == "fail":
            one = left[0]
            raise MigrationError(
                f"{sum(client['sessions'] for client in left)} sessions are still open in the frozen databases, the first of user "
                f"{one['user']} ({one['application_name'] or 'no application name'}, {one['address']}): stop them", clients=left)
        return left

    def _writers(self, connection: Any) -> int:
        return rows(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname = ANY (%s)"
                    " AND pid <> pg_backend_pid()", (self.databases,))[0][0]

    def _execute(self, database: str, statements: Sequence[str]) -> None:
        run_in_transaction(self.endpoint, database, statements, self.application_name)

    def _execute_each(self, database: str, statements: Sequence[str]) -> None:
        """Give what the server lets us give, each grant by itself.

        In one session, for ``SET ROLE`` is for what follows it. What a freeze gave is not taken back: it may be our own right to
        connect, without which nobody could open the rest.
        """
        psycopg2 = import_psycopg2()
        with contextlib.suppress(MigrationError), \
                contextlib.closing(connect(self.endpoint, database, self.application_name)) as connection, \
                contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            pin_session(connection)
            refused = False
            for statement in statements:
                if statement.startswith("REVOKE ") or (refused and statement != "RESET ROLE"):
                    continue
                try:
                    cursor.execute(statement)
                    refused = False
                except psycopg2.Error:
                    if connection.closed:
                        return
                    refused = statement.startswith("SET ROLE ")

    def _run(self, argv: Sequence[str]) -> None:
        if argv:
            self._tried(argv, check=True)

    def _tried(self, argv: Sequence[str], check: bool, timeout: float = 300) -> _command.Finished:
        """What became of a program of the method, run where the method says, with the method's password in a file that it inherits."""
        with secret_passfile(self.method.login) as (environment, inherited):
            name = self.method.name if self.method.words else None
            return _command.run(self.method.on.tied(argv) if self.method.on else list(argv), timeout=timeout, check=check, name=name,
                                env=environment, pass_fds=inherited, lifeline=bool(self.method.on))

    def _passwords(self) -> bytes:
        """What a password file says that undoes the freeze without us: the console first, as the other lines hold for every server."""
        found = []
        for login in (self.method.login, self.endpoint):
            if login and login.password:
                found.append(passfile_line(login.password, login.host, login.port, login.user).encode())
            elif login and login.passfile and os.path.exists(login.passfile):
                with open(login.passfile, "rb") as stream:
                    found.append(stream.read() + b"\n")
        return b"".join(dict.fromkeys(found))

    def script(self, taken: Mapping[str, Any]) -> str:
        """The text of the script that undoes the freeze."""
        undo = {name: changes.undo for name, changes in plan(taken, self.databases, self.method).items() if changes.undo}
        return render(self.endpoint, undo, self.method.undo, self.method.on, self.psql, self.databases)

    def trial(self) -> None:
        """Try what freezing and reopening will need: the script's dry run, the host and the program that stops the writes.

        Nothing is written to a disk: the script comes from standard input and a password from memory.
        """
        if self.method.command:
            reached = self._tried(self.method.look or ["sh", "-c", f"command -v {shlex.quote(self.method.command[0])}"], False, 60)
            where = f"on {self.method.on.host}" if self.method.on else "here"
            if reached.status == 255 and self.method.on:
                raise MigrationError(f"ssh does not reach {self.method.on.host}, where the command that stops the writes is to run: "
                                     "check address, user, key and known host key")
            if reached.status != 0 and self.method.look:
                raise MigrationError(f"this could not be tried {where}: {self.method.words}; check that the program, the login or the user "
                                     "there may do that")
            if reached.status != 0:
                raise MigrationError(f"the program {self.method.command[0]} that is to stop the writes was not found {where}")
        taken = self.capture()
        self._require_rights(taken)
        try_fence(self.endpoint, self.databases, self.application_name)
        with secret_passfile(self.endpoint) as (environment, inherited):
            tried = subprocess.run(["sh", "-s", "--", "--dry-run"], input=self.script(taken), text=True, check=False, timeout=120,
                                   env=_command.environment(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   pass_fds=inherited, start_new_session=True)
        if tried.returncode != 0:
            raise MigrationError(f"the script that reopens the source failed its dry run with exit status {tried.returncode}: "
                                 f"check that {self.psql} and ssh are installed and that psql can connect")

    def _require_rights(self, taken: Mapping[str, Any]) -> None:
        with contextlib.closing(connect(self.endpoint, None, self.application_name)) as connection:
            require_rights(connection, taken, WRITES if self.method.keep_readers else {}, self.method.name == "revoke_connect",
                           self.method.ends_sessions)

    def _write_reopen(self, taken: Mapping[str, Any]) -> None:
        if self.reopen_script:
            private_directory(os.path.dirname(self.reopen_script))
            publish(self.reopen_script, self.script(taken).encode(), mode=0o700)


@contextlib.contextmanager
def secret_passfile(endpoint: Endpoint | None) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Environment that tells children where the endpoint's password is, and what they must inherit for it.

    It lies in the endpoint's own passfile, else in memory.
    """
    if endpoint is None or not endpoint.password:
        yield {"PGPASSFILE": endpoint.passfile} if endpoint and endpoint.passfile else {}, []
        return
    descriptor = os.memfd_create("passfile", 0)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, passfile_line(endpoint.password).encode())
        yield {"PGPASSFILE": f"/proc/self/fd/{descriptor}"}, [descriptor]
    finally:
        os.close(descriptor)
