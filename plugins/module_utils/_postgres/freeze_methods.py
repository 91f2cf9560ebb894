# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ways to stop the writes to a source: the user's command, what the server itself can do, its pg_hba.conf, a PgBouncer before it.

Each becomes argument lists (POSIX sh, psql) that stop writes, undo that, and try both; all do no harm when run twice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    conninfo,
    import_psycopg2,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.reopen import Remote

# Brings each database into the wanted state (1: paused) and sees that it is there; `look` only sees that PgBouncer knows it.
BOUNCER = r"""
set -eu
psql=$1 admin=$2 verb=$3 wanted=$4; shift 4
state() {
  "$psql" -X -w -q -A -F '|' -P footer=off -d "$admin" -c 'SHOW DATABASES' | NAME=$1 awk -F '|' '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == "paused") column = i; next } $1 == ENVIRON["NAME"] { print $column }'
}
for database; do
  found=$(state "$database"); test -n "$found"
  test "$verb" != look || continue
  test "$found" = "$wanted" || "$psql" -X -w -q -d "$admin" -c "$verb \"$database\"" >/dev/null
  test "$(state "$database")" = "$wanted"
done
"""
# Puts our lines before all others, or takes them away, in one rename, and has the server read the file.
HBA = r"""
set -eu
umask 077
file=$(readlink -f "$1") pid=$2 verb=$3
begin='# dihya.migration, freeze: begin' end='# dihya.migration, freeze: end'
if test "$verb" = look; then
  test -w "$file" && test -w "$(dirname "$file")" && kill -0 "$(head -n 1 "$pid")"; exit
fi
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
cp -p "$file" "$new"
{ test "$verb" = open || printf '%s\n' "$begin" "$4" "$end"; sed "/^$begin\$/,/^$end\$/d" "$file"; } >"$new"
mv "$new" "$file"
kill -HUP "$(head -n 1 "$pid")"
"""
FILES = "SELECT current_setting('hba_file') AS hba, current_setting('data_directory') AS data"
ROLES = "SELECT rolname::text AS name FROM pg_roles WHERE NOT rolsuper AND rolname <> current_user AND rolname !~ '^pg_' ORDER BY 1"
TOGETHER = 20
"""Roles in one line of pg_hba.conf, whose words are limited in length."""


@dataclass(frozen=True)
class Method:
    """How to stop writes: ``command``, ``undo`` and ``look`` (tries, changes nothing) are argument lists, run ``on`` a host (None: here).

    ``words`` is what people read in place of ``command``; ``login`` has the password that programs of the method need.
    """

    name: str
    command: Sequence[str] = ()
    undo: Sequence[str] = ()
    on: Remote | None = None
    keep_readers: bool = False
    look: Sequence[str] = ()
    words: str = ""
    login: Endpoint | None = None

    @property
    def ends_sessions(self) -> bool:
        """Whether sessions under way are ended, because none can begin."""
        return self.name in ("revoke_connect", "pg_hba")


def through_bouncer(given: Mapping[str, Any], databases: Sequence[str], source: Endpoint, psql: str, on: Remote | None) -> Method:
    """``PAUSE`` of what PgBouncer calls ``databases``, or ``given["databases"]``; its console has a login of its own."""
    login = Endpoint(given["host"], given["user"], port=given["port"], password=given["password"],
                     passfile=given["passfile"] or source.passfile, sslmode=given["sslmode"], sslrootcert=given["sslrootcert"])
    names = list(given["databases"] or databases)
    wrong = [name for name in names if set(name) & set('|"\n')]
    if wrong:
        raise MigrationError(f"PgBouncer's console cannot be asked for a database named {wrong[0]!r}", subject="pgbouncer")
    trusted = {"sslrootcert": login.sslrootcert} if login.sslrootcert else {}
    admin = conninfo(host=login.host, port=str(login.port), user=login.user, dbname="pgbouncer", sslmode=login.sslmode, **trusted)

    def argv(verb: str, wanted: str) -> list[str]:
        return ["sh", "-c", BOUNCER, "pgbouncer", psql, admin, verb, wanted, *names]
    told = f"PAUSE {', '.join(names)} in PgBouncer at {login.host}:{login.port}"
    return Method("pgbouncer", argv("PAUSE", "1"), argv("RESUME", "0"), on, look=argv("look", ""), words=told, login=login)


def through_hba(databases: Sequence[str], source: Endpoint, application_name: str, on: Remote | None) -> Method:
    """Lines of ``pg_hba.conf`` that reject every role but superusers and the login, on the host of the server."""
    psycopg2 = import_psycopg2()
    with contextlib.closing(connect(source, None, application_name)) as connection:
        roles = [row["name"] for row in rows(connection, ROLES)]
        try:
            (files,) = rows(connection, FILES)
        except psycopg2.Error:
            raise MigrationError(f"{source} does not tell where its pg_hba.conf is: grant pg_read_all_settings to {source.user}, "
                                 "or freeze in another way", subject="method") from None
    process = os.path.join(files["data"], "postmaster.pid")

    def argv(verb: str) -> list[str]:
        return ["sh", "-c", HBA, "pg_hba", files["hba"], process, verb]
    told = f"reject {len(roles)} roles for {', '.join(databases)} in {files['hba']}"
    return Method("pg_hba", [*argv("close"), hba_lines(databases, roles)], argv("open"), on, look=argv("look"), words=told)


def hba_lines(databases: Sequence[str], roles: Sequence[str]) -> str:
    """Lines that let none of ``roles`` into ``databases``; pure."""
    lines = []
    for first in range(0, len(roles), TOGETHER):
        words = [",".join(map(hba_name, names)) for names in (databases, roles[first:first + TOGETHER])]
        lines += [f"local {' '.join(words)} reject", f"host {' '.join(words)} all reject"]
    return "\n".join(lines)


def hba_name(name: str) -> str:
    """A name as ``pg_hba.conf`` wants it: in quotes no word (``all``, ``replication``) and no sign has a meaning."""
    if set(name) & set('"\n\r'):
        raise MigrationError(f"pg_hba.conf cannot name {name!r}: freeze in another way", subject="method")
    return f'"{name}"'
