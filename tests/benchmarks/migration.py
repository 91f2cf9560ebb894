# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole migration of one database beside the bare tools that it uses."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator
from datetime import datetime

from tests.support.measure import Row, stopwatch
from tests.support.move import HOST, Move, Sites

ROWS = 1_000_000


def rows(directory: pathlib.Path) -> Iterator[Row]:
    """Wall time and freeze time of a migration, and what pg_dump and pg_restore take for the same database."""
    sites = Sites.start(directory / "sites")
    try:
        move = Move(sites, directory / "move", "bench").fill(ROWS)
        sites.source.execute("VACUUM (ANALYZE)", move.database)
        tools = bare_tools(move, directory / "tools")
        with stopwatch() as whole:
            outcome = move.run()
        if outcome.rc != 0:
            raise RuntimeError(f"the migration failed: {outcome.output[-2000:]}")
        yield Row(f"whole migration of {ROWS} rows, against pg_dump + pg_restore", whole.seconds, tools, 6)
        yield Row(f"write freeze of {ROWS} rows, against pg_dump + pg_restore", frozen(move), tools, 3)
    finally:
        sites.remove()


def bare_tools(move: Move, directory: pathlib.Path) -> float:
    """Seconds of a parallel pg_dump and pg_restore into a scratch database of the target."""
    source, target = move.sites.source, move.sites.target
    scratch = "bare_tools"
    target.execute(f"CREATE DATABASE {scratch}")

    def tool(name: str, server, *arguments: str) -> None:
        subprocess.run([target.bin / name, "--jobs=2", "--username=postgres", f"--host={HOST}", f"--port={server.port}", *arguments],
                       env={**os.environ, "PGPASSWORD": server.password}, check=True, stdin=subprocess.DEVNULL)

    with stopwatch() as watch:
        tool("pg_dump", source, "--format=directory", f"--file={directory}", move.database)
        tool("pg_restore", target, "--no-owner", "--no-privileges", f"--dbname={scratch}", str(directory))
    target.execute(f"DROP DATABASE {scratch}")
    return watch.seconds


def frozen(move: Move) -> float:
    """Seconds from the first event of the freeze to the commit point, as the journal has them."""
    times = {(event["verb"], event["status"]): datetime.fromisoformat(event["time"].replace("Z", "+00:00")) for event in reversed(move.events())}
    begin = times[("freeze", "started")]
    end = next(when for (verb, _status), when in times.items() if verb == "commit_point")
    return round((end - begin).total_seconds(), 3)
