# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Schema tools that need no application: what Flyway, Liquibase and raw SQL files are asked, and what they answer. All pure.

The tools of Java read their login from a configuration file that exists in memory only, so the password is neither an
argument, nor in the environment, nor on a disk.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import dataclass

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint

# States of a Flyway migration that is still to be applied, and of one that needs nothing; any other state is wrong.
FLYWAY_PENDING = {"Pending", "Outdated"}
FLYWAY_FINE = {"Success", "Out of Order", "Superseded", "Baseline", "Below Baseline", "Above Target", "Available", "Deleted", "Undone"}
LIQUIBASE_CHANGE = re.compile(r"^ {2,}(\S.*::.*::.*?)\s*$", re.MULTILINE)
CLUES = (r'"errorCode" ?: ?"([A-Z_]{1,60})"', r"(SQL State *: [0-9A-Z]{5})\b", r"Exception Primary Class: +(\w{1,60})")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class SchemaTool:
    """One tool. ``versions`` is the SQL of what its history says is applied, in order (``{}`` is the table).

    ``look``, ``apply`` and ``strange`` are its arguments for what is pending, for going there, and for what the database has
    and the files have not. ``empty`` says whether ``look`` can be asked of a database that it may not write to and that
    has no history of it yet. ``quiet`` are variables with which it asks the network for nothing.
    """

    versions: str
    program: tuple[str, ...] = ()
    look: tuple[str, ...] = ()
    apply: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    empty: bool = True
    beside: tuple[str, ...] = ()
    quiet: tuple[tuple[str, str], ...] = ()


_FLYWAY = ("-configFiles={file}", "-skipCheckForUpdate")
_LIQUIBASE = ("--defaults-file={file}",)
TOOLS = {
    "flyway": SchemaTool(
        versions="SELECT coalesce(version, 'R__' || description) FROM {} WHERE success AND type <> 'SCHEMA' ORDER BY installed_rank",
        program=("flyway",), look=(*_FLYWAY, "-outputType=json", "info"), apply=(*_FLYWAY, "migrate"),
        quiet=(("REDGATE_DISABLE_TELEMETRY", "true"),),
    ),
    "liquibase": SchemaTool(
        versions="SELECT filename || '::' || id || '::' || author FROM {} ORDER BY orderexecuted",
        program=("liquibase",), look=(*_LIQUIBASE, "status", "--verbose"), apply=(*_LIQUIBASE, "update"),
        strange=(*_LIQUIBASE, "unexpected-changesets", "--verbose"), empty=False, beside=("databasechangeloglock",),
        quiet=(("LIQUIBASE_ANALYTICS_ENABLED", "false"), ("LIQUIBASE_SHOW_BANNER", "false")),
    ),
    "sql": SchemaTool(versions="SELECT name, sha256 FROM {} ORDER BY name"),
}
HISTORY = {"flyway": "public.flyway_schema_history", "liquibase": "public.databasechangelog", "sql": "public.schema_files"}


def split_table(text: str) -> tuple[str, str]:
    """Schema and name of a history table; plain names only, as all three tools write them without quotes."""
    schema, dot, name = text.partition(".")
    if not dot or not NAME.match(schema) or not NAME.match(name):
        raise MigrationError(f"the history table {text[:80]} is no schema.table of plain names")
    return schema, name


def own_tables(tool: str, history: str) -> list[str]:
    """The tables in which ``tool`` keeps its own records."""
    schema, _name = split_table(history)
    return [history, *(f"{schema}.{name}" for name in TOOLS[tool].beside)]


def jdbc_url(endpoint: Endpoint, database: str, application_name: str, read_only: bool) -> str:
    """The address of ``database`` for Java; with ``read_only`` the server refuses every write of the session."""
    given = {"sslmode": endpoint.sslmode, "sslrootcert": endpoint.sslrootcert, "connectTimeout": str(endpoint.connect_timeout),
             "ApplicationName": application_name, "options": "-c default_transaction_read_only=on" if read_only else None}
    query = urllib.parse.urlencode({name: value for name, value in given.items() if value}, quote_via=urllib.parse.quote)
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"jdbc:postgresql://{host}:{endpoint.port}/{urllib.parse.quote(database, safe='')}?{query}"


def configuration(tool: str, url: str, user: str, password: str, history: str, path: str, changelog: str | None) -> str:
    """What the configuration file of a tool of Java says; it holds the password."""
    schema, table = split_table(history)
    if tool == "flyway":
        lines = {"flyway.url": url, "flyway.user": user, "flyway.password": password, "flyway.locations": f"filesystem:{path}",
                 "flyway.defaultSchema": schema, "flyway.table": table, "flyway.cleanDisabled": "true"}
        # It reads its file as properties without escapes, and replaces ${…} by variables of the environment.
        if any("\n" in value or "${" in value or value != value.strip() for value in lines.values()):
            raise MigrationError("Flyway cannot read a user, password or path with a line break, ${ or a blank at its ends")
        return "".join(f"{name}={value}\n" for name, value in lines.items())
    lines = {"url": url, "username": user, "password": password, "searchPath": path, "changelogFile": changelog or "",
             "liquibaseSchemaName": schema, "databaseChangelogTableName": table}
    return "".join(f"{name}={_escaped(value)}\n" for name, value in lines.items())


def _escaped(value: str) -> str:
    """``value`` as a Java properties file takes it."""
    units = value.encode("utf-16-be")
    codes = (int.from_bytes(units[at:at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < 128 and chr(code).isalnum() else f"\\u{code:04x}" for code in codes)


def flyway_pending(output: str) -> list[str]:
    """Versions that ``info`` calls pending; raises :class:`MigrationError` with all that are in a wrong state."""
    try:
        entries = json.loads(output[output.index("{"):])["migrations"]
    except (ValueError, KeyError, TypeError):
        raise MigrationError("Flyway's answer is not the JSON of its command info") from None
    names = [(str(entry.get("version") or f"R__{entry.get('description')}"), str(entry.get("state"))) for entry in entries]
    wrong = [f"{name} is {state.lower()}" for name, state in names if state not in FLYWAY_PENDING | FLYWAY_FINE]
    if wrong:
        raise MigrationError(f"Flyway's history does not fit the files: {', '.join(wrong)}")
    return [name for name, state in names if state in FLYWAY_PENDING]


def liquibase_changes(output: str) -> list[str]:
    """The changesets, ``file::id::author``, that ``status`` or ``unexpected-changesets`` lists."""
    return LIQUIBASE_CHANGE.findall(output)


def clue(output: str) -> str:
    """Why a tool failed, as far as that can be told without its own words, which may hold rows: code, SQLSTATE, class."""
    found = [match.group(1) for pattern in CLUES for match in [re.search(pattern, output)] if match]
    return ", ".join(found)
