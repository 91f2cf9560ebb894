# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One database: accounts as pgbench makes them, and events in JSON with a GIN index. Ours is the modules as they run while writes are
frozen: `pg_dumpall` (final dump on disk, with checksums), `pg_restore_cluster`, `pg_verify` (every row and the catalogs of both sides),
each in a process of its own with two jobs. The peers prove nothing. A server-side `COPY … TO '/dev/null'` reads every row of the source."""

from __future__ import annotations

import os
import pathlib
import shutil
import statistics
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import compression_of

from tests.benchmarks import pgcopydb
from tests.benchmarks.measure import Bench, Ran, Result, Row, Tool, run_module, run_tools
from tests.benchmarks.servers import DATABASE, SETTINGS, Servers, servers

JOBS = 2
MODULES = ("pg_dumpall", "pg_restore_cluster", "pg_verify")


def measure(bench: Bench) -> Result:
    """All rows of the area."""
    wanted = 8 if bench.quick else bench.megabytes or 1024
    bench.say(f"fill a database of about {wanted} MB")
    with servers(bench.directory / "servers", wanted) as both:
        size = f"{both.megabytes():,} MB"
        bench.say(f"it has {size}")
        return compare(bench, both, size)


def compare(bench: Bench, both: Servers, size: str) -> Result:
    """All rounds."""
    contestants: dict[str, Any] = {
        "ours": lambda: ours(bench, at_rest(both), DATABASE), "tools": lambda: tools(bench, at_rest(both)),
        "file": lambda: through_file(bench, at_rest(both)), "pipe": lambda: through_pipe(at_rest(both)),
        "COPY to null": lambda: read_all(at_rest(both))}
    absent = pgcopydb.absence()
    if not absent:
        contestants["pgcopydb"] = lambda: pgcopydb.measured(bench, at_rest(both), JOBS)
    found: dict[str, list[Any]] = bench.alternate(bench.rounds(), contestants)
    runs: list[dict[str, Ran]] = found["ours"]
    frozen = [sum(run[name].seconds for name in MODULES) for run in runs]
    proofs = [run["rows"].seconds for run in runs]
    rows = [
        Row(f"final dump + restore + full proof, against `pg_dumpall > file; psql -f file`: {size} (s)", frozen, found["file"], 0.8),
        Row(f"the same against `pg_dumpall | psql`: {size} (s)", frozen, found["pipe"], 1.0),
        Row(f"row proof of both sides, against one `COPY … TO` null of each table: {size} (s)", proofs, found["COPY to null"], 1.0),
        *pgcopydb.rows(size, frozen, proofs, found.get("pgcopydb", [])),
        Row(f"`pg_dumpall` module against the tools it runs: {size} (s)", [run["pg_dumpall"].seconds for run in runs],
            [each["dump"] for each in found["tools"]], 1.03),
        Row(f"`pg_restore_cluster` module against the tools it runs: {size} (s)", [run["pg_restore_cluster"].seconds for run in runs],
            [each["restore"] for each in found["tools"]], 1.03),
    ]
    settings = ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
    return Result(rows, [f"{both.versions()}. Settings of both servers: {settings}.", profile(runs[-1], found["tools"][-1]),
                         limits(found, proofs), absent or pgcopydb.presence()])


def profile(run: dict[str, Ran], bare: dict[str, float]) -> str:
    """Where the time of the last round went."""
    parts = ", ".join(f"{name} {run[name].seconds:.2f} s (by its own clock {run[name].result['duration']:.2f})" for name in MODULES)
    return (f"Last round: {parts}; bare: dump {bare['dump']:.2f} s, restore {bare['restore']:.2f} s. The rows alone are proved in "
            f"{run['rows'].seconds:.2f} s.")


def limits(found: dict[str, list[Any]], proofs: list[float]) -> str:
    """How near to each goal the same tools could come: what they take with nothing of ours, as shares of the peers."""
    medians = {name: statistics.median(found[name]) for name in ("file", "pipe", "COPY to null")}
    for step in ("clone", "compare") if "pgcopydb" in found else ():
        medians[step] = statistics.median(each[step] for each in found["pgcopydb"])
    alone, least = (statistics.median(times) for times in zip(*((each["dump"] + each["restore"], each["hash"]) for each in found["tools"])))
    proof = statistics.median(proofs)
    cores = os.cpu_count() or 1
    spread = statistics.median(sum(run[name].work for name in MODULES) for run in found["ours"]) / cores
    names = {"file": "`pg_dumpall > file; psql -f file`", "pipe": "`pg_dumpall | psql`", "clone": "`pgcopydb clone`",
             "COPY to null": "the `COPY … TO` null", "compare": "`pgcopydb compare data`"}

    def shares(seconds: float, *peers: str) -> str:
        return ", ".join(f"{seconds / medians[peer]:.2f} of {names[peer]}" for peer in peers if peer in medians)

    return (f"The limits: `pg_dump` and `pg_restore` alone, with {JOBS} jobs and no proof, take "
            f"{shares(alone, 'file', 'pipe', 'clone')}; with the row proof after them "
            f"{(alone + proof) / medians['file']:.2f} of the first. All that ours has processors do, the servers' work too, would take "
            f"{shares(spread, 'file', 'pipe', 'clone')} if dump, restore and proof ran into each other and never left one of {cores} cores "
            "idle. One `sum(hashtextextended(row::text, 0))` of each table by `psql`, on "
            "both sides at once, which finds that a row changed and not which one, takes "
            f"{shares(least, 'COPY to null', 'compare')}.")


def ours(bench: Bench, both: Servers, database: str) -> dict[str, Ran]:
    """The three modules in their order, then the row proof once more by itself; what was made is removed again."""
    source, target = both.endpoint(both.source), both.endpoint(both.target)
    common = {"bin_dir": str(both.target.bin), "jobs": JOBS}
    created = bench.directory / "created.json"
    dumped = run_module("pg_dumpall", bench.directory, source=source, databases=[database], dest=str(bench.directory / "backup"), **common)
    there = {"target": target, "created_file": str(created), **common}
    restored = run_module("pg_restore_cluster", bench.directory, backup=dumped.result["path"], **there)
    compared = {"source": source, "target": target, "databases": [database], **common}
    proved = run_module("pg_verify", bench.directory, **compared)
    only_rows = run_module("pg_verify", bench.directory, scope="rows", **compared)
    run_module("pg_restore_cluster", bench.directory, state="absent", **there)
    created.unlink(missing_ok=True)
    shutil.rmtree(dumped.result["path"])
    return {"pg_dumpall": dumped, "pg_restore_cluster": restored, "pg_verify": proved, "rows": only_rows}


def tools(bench: Bench, both: Servers) -> dict[str, float]:
    """Seconds of the programs that dump and restore run, as bare as they can be run, and of :func:`hash_all` on both sides."""
    dump, new = bench.directory / "tools", both.environment(both.target)
    seconds = {
        "dump": dump_alone(both, dump),
        "restore": run_tools(Tool([both.tool("createdb"), "-T", "template0", DATABASE], new),
                             Tool([both.tool("pg_restore"), "-e", f"-j{JOBS}", "-d", DATABASE, str(dump)], new),
                             Tool([both.tool("psql"), "-qc", "ANALYZE", DATABASE], new)),
        "hash": hash_all(at_rest(both))}
    drop(both)
    shutil.rmtree(dump)
    return seconds


def dump_alone(both: Servers, path: pathlib.Path) -> float:
    """Seconds of the programs that a dump runs, as bare as they can be run; the archive ``path`` is left."""
    compression, old = f"--compress={compression_of(str(both.target.bin))}", both.environment(both.source)
    return run_tools(Tool([both.tool("pg_dumpall"), "--globals-only"], old),
                     Tool([both.tool("pg_dump"), "-Fd", f"-j{JOBS}", compression, "-f", str(path), DATABASE], old))


def through_file(bench: Bench, both: Servers) -> float:
    """Seconds of ``pg_dumpall > backup.sql``, then ``psql -f backup.sql``."""
    path = bench.directory / "backup.sql"
    seconds = run_tools(Tool([both.tool("pg_dumpall")], both.environment(both.source), path),
                        Tool([both.tool("psql"), "-q", "-f", str(path)], both.environment(both.target)))
    drop(both)
    path.unlink()
    return seconds


def through_pipe(both: Servers) -> float:
    """Seconds of ``pg_dumpall | psql``."""
    pipe = ["bash", "-o", "pipefail", "-c",
            f'PGPORT={both.source.port} "$0" | PGPORT={both.target.port} "$1" -q', both.tool("pg_dumpall"), both.tool("psql")]
    seconds = run_tools(Tool(pipe, both.environment(both.source)))
    drop(both)
    return seconds


def read_all(both: Servers) -> float:
    """Seconds of one COPY of each table of the source into nothing, by the server itself."""
    statements = "COPY account TO '/dev/null'; COPY event TO '/dev/null'"
    return run_tools(Tool([both.tool("psql"), "-qc", statements, DATABASE], both.environment(both.source)))


def hash_all(both: Servers) -> float:
    """Seconds of the least that can prove rows: one hash of the text of each, summed up by both servers at once."""
    statements = "; ".join(f"SELECT sum(hashtextextended({table}::text, 0)) FROM {table}" for table in ("account", "event"))
    at_once = f'PGPORT={both.source.port} "$0" "$@" & PGPORT={both.target.port} "$0" "$@" & wait -n && wait -n'
    return run_tools(Tool(["bash", "-c", at_once, both.tool("psql"), "-qAtc", statements, DATABASE], both.environment(both.source)))


def at_rest(both: Servers) -> Servers:
    """Both servers with nothing left to write, so that nobody pays for what ran before it."""
    for server in (both.source, both.target):
        server.execute("CHECKPOINT")
    os.sync()
    return both


def drop(both: Servers) -> None:
    """Remove what a peer restored."""
    both.target.execute(f"DROP DATABASE {DATABASE}")
