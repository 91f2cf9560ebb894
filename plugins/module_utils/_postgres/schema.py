# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Let a schema tool move one database: versions before and after, what was pending, and which tables it touched."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import cut, find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory
from ansible_collections.dihya.migration.plugins.module_utils._postgres import schema_files
from ansible_collections.dihya.migration.plugins.module_utils._postgres.catalog import read_catalog
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, database_argument, libpq_environment
from ansible_collections.dihya.migration.plugins.module_utils._postgres.passfile import passfile_password
from ansible_collections.dihya.migration.plugins.module_utils._postgres.schema_tools import (
    HISTORY,
    TOOLS,
    clue,
    configuration,
    flyway_pending,
    jdbc_url,
    liquibase_changes,
    own_tables,
    split_table,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.schema_touched import Outline, Touched, outline, touched
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

FIRST = "every change in the changelog"


@dataclass
class SchemaRequest:
    """What is moved by which tool; the fields are the options of the module. ``timeout`` in seconds.

    With ``look_only`` the server refuses every write, and nothing is written here.
    """

    server: Endpoint
    database: str
    tool: str
    path: str
    log_dir: str
    command: list[str] = field(default_factory=list)
    changelog: str | None = None
    history_table: str | None = None
    baseline: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    expected_changes: list[str] = field(default_factory=list)
    timeout: float = 3600.0
    bin_dir: str | None = None
    application_name: str = "dihya"
    progress_file: str | None = None
    look_only: bool = False

    @property
    def history(self) -> str:
        """The table in which the tool keeps what it applied, ``schema.table`` of plain names: it stands in SQL as it is."""
        schema, name = split_table(self.history_table or HISTORY[self.tool])
        return f"{schema}.{name}"


@dataclass
class State:
    """What the database's own record says is applied, and what the tool says is pending."""

    applied: list[str]
    pending: list[str]


def move_schema(request: SchemaRequest) -> dict[str, Any]:
    """Apply what is pending and return the module's result.

    Raises :class:`MigrationError` when the tool fails, leaves something pending, or touches a table that was not named.
    """
    started = time.monotonic()
    if not os.path.isdir(request.path):
        raise MigrationError(f"{request.path} is no directory on this host: it must hold the files of {request.tool}")
    before_outline = {} if request.look_only else _outline(request)
    before = look(request, read_only=request.look_only)
    if request.look_only or not before.pending:
        return _result(request, before, before, Touched({}, {}), time.monotonic() - started)
    _apply(request, before.pending)
    after = look(request, read_only=True)
    if after.pending:  # its exit status alone proves nothing
        raise MigrationError(f"{request.tool} ended with status 0 but left {len(after.pending)} changes pending: "
                             f"{cut(', '.join(after.pending))}; what it printed is in {request.log_dir}")
    found = touched(before_outline, _outline(request))
    named = {*own_tables(request.tool, request.history), *request.expected_changes}
    undeclared = [name for name in found.tables if name not in named]
    if undeclared:
        raise MigrationError(f"{request.tool} touched tables that were not named: {', '.join(undeclared)}. If that is right, "
                             "name them in expected_changes (postgresql_schema_changes)", touched=list(found.tables))
    return _result(request, before, after, found, time.monotonic() - started)


def look(request: SchemaRequest, read_only: bool) -> State:
    """Where the database stands; raises when its history does not fit the files."""
    if request.tool == "sql":
        recorded = _recorded(request)
        only, pending = schema_files.plan(schema_files.read_files(request.path), recorded, request.baseline)
        return State(schema_files.ordered(list(recorded)), only + pending)
    tool = TOOLS[request.tool]
    found = _history(request, tool.versions)
    applied = None if found is None else [row[0] for row in found]
    if applied is None and read_only and not tool.empty:
        return State([], [FIRST])  # the tool would make its table to tell
    if tool.strange and applied is not None:
        strange = liquibase_changes(_ask(request, tool.strange, read_only, "strange"))
        if strange:
            raise MigrationError(f"the database has {len(strange)} changes that are not in the changelog: {cut(', '.join(strange))}")
    output = _ask(request, tool.look, read_only, "look")
    return State(list(applied or []), flyway_pending(output) if request.tool == "flyway" else liquibase_changes(output))


def _history(request: SchemaRequest, query: str) -> list[tuple[Any, ...]] | None:
    """What ``query`` finds in the tool's record (``{}`` is its table, of plain names only), None where there is no record yet."""
    with transaction(request.server, request.database, None, request.application_name) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", (request.history,))
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(query.format(request.history))
        return list(cursor.fetchall())


def _recorded(request: SchemaRequest) -> dict[str, str]:
    """sha256 by name of the SQL files on record."""
    return dict(_history(request, TOOLS["sql"].versions) or [])


def _outline(request: SchemaRequest) -> Outline:
    with transaction(request.server, request.database, None, request.application_name) as connection:
        return outline(read_catalog(connection))


def _apply(request: SchemaRequest, pending: Sequence[str]) -> None:
    if request.tool != "sql":
        _ask(request, TOOLS[request.tool].apply, False, "apply")
        return
    files = schema_files.read_files(request.path)
    only, _pending = schema_files.plan(files, _recorded(request), request.baseline)
    program = find_tool("psql", request.bin_dir)
    for name in pending:
        argv = schema_files.psql(program, database_argument(request.database), request.history, request.path, name, files[name],
                                 run=name not in only)
        log = _log(request, name)
        with Progress(request.progress_file).timed(name):
            done = run(argv, env=libpq_environment(request.server, request.application_name), cwd=request.path,
                       timeout=request.timeout, log=log, check=False)
        if done.status != 0:
            raise MigrationError(f"SQL file {name} failed (psql ended with {done.status}) and was undone; what was printed is in {log}")


def _ask(request: SchemaRequest, words: Sequence[str], read_only: bool, step: str) -> str:
    """What a tool of Java prints for a command; all of it is kept in a 0600 file. Raises when it fails."""
    tool = TOOLS[request.tool]
    program = request.command or list(tool.program)
    program = program if "/" in program[0] else [find_tool(program[0]), *program[1:]]
    variables = {**request.environment, **dict(tool.quiet)}
    log = None if request.look_only else _log(request, step)
    progress = Progress(request.progress_file)
    with progress.timed(f"{request.tool} {step}"), _in_memory(_configuration(request, read_only)) as (descriptor, path):
        done = run([*program, *(word.format(file=path) for word in words)], env=variables, cwd=request.path, timeout=request.timeout,
                   log=log, check=False, name=request.tool, pass_fds=(descriptor,), wraps=True)
    if done.status != 0:
        why = clue(done.stdout + done.stderr)
        raise MigrationError(f"{request.tool} failed with exit status {done.status}" + (f" ({why})" if why else "")
                             + (f"; what it printed is in {log}" if log else ""))
    return done.stdout


def _configuration(request: SchemaRequest, read_only: bool) -> str:
    server, password = request.server, request.server.password
    if password is None and server.passfile:
        try:
            with open(server.passfile, encoding="utf-8") as stream:
                password = passfile_password(stream.read(), server, request.database)
        except OSError as error:
            raise MigrationError(f"the passfile {server.passfile} cannot be read: {error.strerror}") from None
    url = jdbc_url(server, request.database, request.application_name, read_only)
    return configuration(request.tool, url, server.user, password or "", request.history, request.path, request.changelog)


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[tuple[int, str]]:
    """A file that exists in memory only, and the path under which a program that is given its descriptor finds it."""
    descriptor = os.memfd_create("configuration")
    try:
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stream:
            stream.write(text)
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _log(request: SchemaRequest, step: str) -> str:
    private_directory(request.log_dir)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%M%S.%f")
    return os.path.join(request.log_dir, f"schema-{request.tool}-{step.replace('/', '-')[:80]}_{stamp}.log")


def _result(request: SchemaRequest, before: State, after: State, found: Touched, duration: float) -> dict[str, Any]:
    old, new = (state.applied[-1] if state.applied else "none" for state in (before, after))
    names = [*found.tables, *found.others]
    looked = before is after
    done = f"{len(before.pending)} changes are pending" if looked else f"{len(after.applied) - len(before.applied)} changes were applied"
    msg = f"Schema of database {request.database} by {request.tool}: version {old} before, {new} after, {done}."
    journal: dict[str, Any] = {
        "summary": cut(msg), "changed": not looked, "duration": round(duration, 3),
        "versions": {f"schema of {request.database} before": cut(old), f"schema of {request.database} after": cut(new)},
        "explained": [{"rule": "schema_change", "object": cut(f"{request.database}: {name}")} for name in names],
    }
    return {"changed": bool(before.pending), "msg": msg, "before": before.applied, "pending": before.pending, "after": after.applied,
            "touched": list(found.tables), "objects": list(found.others), "own_tables": own_tables(request.tool, request.history),
            "duration": round(duration, 3), "journal": journal}
