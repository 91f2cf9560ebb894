# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The script that undoes a freeze with neither Ansible nor Python: readable, one file, POSIX sh, psql and ssh."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, database_argument

SCRIPT = """\
#!/bin/sh
# Undoes the freeze of {server}: lets clients write again. Written before the freeze.
#   {name}            does it (twice does no harm)
#   {name} --dry-run  says what it would do, tries the connections, changes nothing
# The password is read from the file in PGPASSFILE; without one psql asks for it.
set -eu
export PGHOST={host} PGPORT={port} PGUSER={user} PGSSLMODE={sslmode} PGAPPNAME={application}
{optional}
PSQL=${{PSQL:-{psql}}}
dry=no
case "${{1:-}}" in
  --dry-run) dry=yes ;;
  "") ;;
  *) echo "usage: $0 [--dry-run]" >&2; exit 2 ;;
esac

{functions}
if [ "$dry" = yes ]; then
{trials}
  echo "dry run: nothing was changed"
  exit 0
fi
# What cannot be undone, on a table that was dropped meanwhile for instance, keeps nothing else from it.
owed=no
{calls}
[ "$owed" = no ] || {{ echo "not everything could be undone: see above" >&2; exit 1; }}
echo "the source is open again"
"""
FUNCTION = """\
# {title}
{name}() {{
  "$PSQL" -X -q "$@" -d {database} -f - <<'END_OF_STATEMENTS'
SET default_transaction_read_only = off;
SET TRANSACTION READ WRITE;
SET search_path = '';
{statements}
END_OF_STATEMENTS
}}
"""


# Ends what it runs when its input ends: what was begun over ssh would otherwise go on when whoever began it is gone.
TIED = ('exec 3<&0; "$@" </dev/null 3<&- & work=$!; { cat <&3; kill "$work"; } >/dev/null 2>&1 & watch=$!; '
        'wait "$work"; status=$?; kill "$watch" 2>/dev/null; exit "$status"')


@dataclass(frozen=True)
class Remote:
    """A host reached from here by ssh; ``identity`` and ``known_hosts`` are paths here."""

    host: str
    user: str | None = None
    port: int | None = None
    identity: str | None = None
    known_hosts: str | None = None

    def argv(self, command: Sequence[str]) -> list[str]:
        """The ssh command line that runs ``command`` there: never a prompt, never an unknown host key."""
        options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "StrictHostKeyChecking=yes"]
        if self.identity:
            options += ["-i", self.identity, "-o", "IdentitiesOnly=yes"]
        if self.known_hosts:
            options += ["-o", f"UserKnownHostsFile={self.known_hosts}"]
        if self.port:
            options += ["-p", str(self.port)]
        where = f"{self.user}@{self.host}" if self.user else self.host
        return ["ssh", *options, "--", where, shlex.join(command)]

    def tied(self, command: Sequence[str]) -> list[str]:
        """The same for a command that is to end with the input of this command line."""
        return self.argv(["sh", "-c", TIED, "sh", *command])


def render(endpoint: Endpoint, statements: Mapping[str, Sequence[str]], undo: Sequence[str], on: Remote | None, psql: str,
           databases: Sequence[str], name: str = "reopen") -> str:
    """The script: ``statements`` by database, then the command ``undo``; connections to ``databases`` are tried by a dry run."""
    functions, calls, trials = [], [], []
    for number, (database, lines) in enumerate(sorted(statements.items()), 1):
        functions.append(FUNCTION.format(
            title="database " + " ".join(database.split()), name=f"database_{number}",
            database=shlex.quote(database_argument(database)), statements="\n".join(f"{line};" for line in lines)))
        whole = "-v ON_ERROR_STOP=1 --single-transaction"
        calls.append(f"database_{number} {whole} || {{ database_{number} || true; owed=yes; }}")
        trials.append(f"  echo {shlex.quote(f'would run {len(lines)} statements in database {database}')}")
    for database in sorted(databases):
        trials.append(f"  \"$PSQL\" -X -q -A -t -d {shlex.quote(database_argument(database))} -c 'SELECT 1' >/dev/null")
        trials.append(f"  echo {shlex.quote(f'psql reaches database {database}')}")
    if undo:
        shown = shlex.join(undo)
        calls.append(f"{shlex.join(on.argv(undo)) if on else shown} || owed=yes")
        trials.append(f"  echo {shlex.quote(f'would run: {shown}' + (f' on {on.host}' if on else ''))}")
        trials.append("  " + (f"{shlex.join(on.argv(['true']))} && echo {shlex.quote(f'ssh reaches {on.host}')}" if on
                              else f"command -v {shlex.quote(undo[0])} >/dev/null || {{ echo 'no such program' >&2; exit 1; }}"))
    optional = []
    if endpoint.sslrootcert:
        optional.append(f"export PGSSLROOTCERT={shlex.quote(endpoint.sslrootcert)}")
    if endpoint.passfile:
        path = shlex.quote(endpoint.passfile)
        optional.append(f'if [ -z "${{PGPASSFILE:-}}" ] && [ -r {path} ]; then PGPASSFILE={path}; export PGPASSFILE; fi')
    return SCRIPT.format(
        server=str(endpoint), name=name, host=shlex.quote(endpoint.host), port=endpoint.port, user=shlex.quote(endpoint.user),
        sslmode=endpoint.sslmode, application="dihya/reopen", optional="\n".join(optional), psql=shlex.quote(psql),
        functions="\n".join(functions), trials="\n".join(trials) or "  :", calls="\n".join(calls) or ":")
