# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One database moves from a real PostgreSQL 16 to a real 18 by `playbooks/migrate.yml`: backup, restore drill, freeze
(`revoke_connect`), final dump, restore, proof of every row, commit. The peer is the sum of the bare times of its tools: `pg_dump` and
`pg_restore`, each twice for the whole migration (backup and drill, final dump and restore) and once for the freeze, which lasts from the
journal's `frozen` to its `commit_point`. "Without the callback" is the same playbook with no callback plugin beside it; what the journal
takes is computed, not measured with it off: it is the time of its tasks."""

from __future__ import annotations

import collections
import functools
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import compression_of

from tests.benchmarks.measure import ROOT, Bench, MeasurementFailed, Result, Row, Tool, run_tools
from tests.benchmarks.servers import DATABASE, HOST, Servers, servers
from tests.support.playbook import Playbook

JOBS = 2
PRISTINE = "pristine"
TASKS = 300


def measure(bench: Bench) -> Result:
    """All rows of the area."""
    megabytes = 4 if bench.quick else bench.megabytes or 256
    bench.say(f"fill a database of about {megabytes} MB")
    with servers(bench.directory / "servers", megabytes) as both:
        both.source.execute(f"ALTER DATABASE {DATABASE} RENAME TO {PRISTINE}")
        size = f"{both.megabytes(PRISTINE):,} MB"
        number = iter(range(100))
        here, elsewhere = ROOT / "playbooks" / "migrate.yml", bare_playbook(bench)
        found: dict[str, list[Any]] = bench.alternate(bench.rounds(), {
            "with callback": lambda: migrate(bench, both, here, next(number)),
            "without callback": lambda: migrate(bench, both, elsewhere, next(number)),
            "tools": lambda: tools(bench, both)})
        versions = both.versions()
    whole = [run["seconds"] for run in found["with callback"]]
    journal = [run["actions"]["dihya.migration.journal"][0] for run in found["with callback"]]
    rows = [
        Row(f"whole migration, against its tools alone: {size} (s)", whole, [2 * seconds for seconds in found["tools"]]),
        Row(f"write freeze of it, against its tools alone: {size} (s)", [run["frozen"] for run in found["with callback"]], found["tools"]),
        Row(f"whole migration, against the same without the callback: {size} (s)", whole,
            [run["seconds"] for run in found["without callback"]], 1.02),
        Row(f"whole migration, against the same less the time of its journal tasks, computed: {size} (s)", whole,
            [seconds - spent for seconds, spent in zip(whole, journal)]),
        *many_tasks(bench),
    ]
    return Result(rows, [versions + ".", profile(found["with callback"][-1])])


def bare_playbook(bench: Bench) -> pathlib.Path:
    """The playbook at a place where no callback plugin lies beside it."""
    directory = bench.directory / "bare"
    directory.mkdir()
    return pathlib.Path(shutil.copy(ROOT / "playbooks" / "migrate.yml", directory))


def migrate(bench: Bench, both: Servers, playbook: pathlib.Path, number: int) -> dict[str, Any]:
    """One migration to its end: seconds of the whole, seconds frozen, and seconds and number of its tasks by action."""
    both.source.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {PRISTINE} STRATEGY file_copy")
    base, name = bench.directory / f"run{number}", f"bench-{number}"
    begun = time.monotonic()
    done = Playbook(base / "controller").run(playbook, inventory(both, base, name), timeout=1800)
    seconds = time.monotonic() - begun
    if done.rc:
        raise MeasurementFailed(f"the migration failed: {done.output[-1500:]}")
    events = list(lines(base / "state" / name / "journal.jsonl"))
    tasks: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0])
    for log in (base / "reports" / name / "runs").glob("*.jsonl"):
        for line in lines(log):
            if line["event"] == "task":
                tasks[line["action"]][0] += line["duration"] or 0
                tasks[line["action"]][1] += 1
    both.source.execute(f"DROP DATABASE {DATABASE}")
    both.target.execute(f"DROP DATABASE {DATABASE}")
    shutil.rmtree(base)
    return {"seconds": seconds, "frozen": moment(events, "commit_point") - moment(events, "frozen"), "actions": dict(tasks)}


def inventory(both: Servers, base: pathlib.Path, name: str) -> dict[str, Any]:
    """The smallest inventory: one mover, two endpoints."""
    def endpoint(server: Any) -> dict[str, Any]:
        return {"host": HOST, "port": server.port, "user": "postgres", "password": server.password, "sslmode": "disable"}

    return {"all": {"hosts": {"mover": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}, "vars": {
        "migration_id": name, "migration_stacks": ["postgresql"], "migration_transport": "local", "migration_work_dir": f"{base}/work",
        "migration_state_dir": f"{base}/state", "migration_report_dir": f"{base}/reports", "migration_backup_dir": f"{base}/backup",
        "postgresql_source": endpoint(both.source), "postgresql_target": endpoint(both.target), "postgresql_databases": [DATABASE],
        "postgresql_freeze": "revoke_connect", "postgresql_jobs": JOBS, "postgresql_bin_dir": str(both.target.bin)}}}


def lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def moment(events: list[dict[str, Any]], verb: str) -> float:
    """When the journal has the run-level event ``verb``, in seconds of the epoch."""
    return next(datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
                for event in events if (event["stack"], event["verb"]) == ("migration", verb))


def tools(bench: Bench, both: Servers) -> float:
    """Seconds of a bare parallel pg_dump and pg_restore of the same data."""
    dump, old, new = bench.directory / "tools", both.environment(both.source), both.environment(both.target)
    both.target.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    compression = f"--compress={compression_of(str(both.target.bin))}"
    seconds = run_tools(Tool([both.tool("pg_dump"), "-Fd", f"-j{JOBS}", compression, "-f", str(dump), PRISTINE], old),
                        Tool([both.tool("pg_restore"), "-e", f"-j{JOBS}", "-d", DATABASE, str(dump)], new))
    both.target.execute(f"DROP DATABASE {DATABASE}")
    shutil.rmtree(dump)
    return seconds


def profile(run: dict[str, Any]) -> str:
    """Where the time of a migration went, by action."""
    most = sorted(run["actions"].items(), key=lambda item: -item[1][0])[:6]
    inside = sum(seconds for seconds, _number in run["actions"].values())
    return (f"Last round, {run['seconds']:.1f} s: " + ", ".join(f"{action.rpartition('.')[2]} {seconds:.1f} s in {number:.0f} tasks"
                                                               for action, (seconds, number) in most)
            + f"; between the tasks {run['seconds'] - inside:.1f} s.")


def many_tasks(bench: Bench) -> list[Row]:
    """A playbook of many tasks that do nothing, with and without the callback: its worst case."""
    number = 20 if bench.quick else TASKS
    play = [{"hosts": "all", "gather_facts": False, "tasks": [{"name": f"Task {one}", "ansible.builtin.debug": {"msg": "nothing"}}
                                                             for one in range(number)]}]
    paths = {}
    for name in ("with callback", "without callback"):
        directory = bench.directory / f"many {name}"
        directory.mkdir()
        (directory / "play.yml").write_text(json.dumps(play), encoding="utf-8")
        paths[name] = directory / "play.yml"
    (paths["with callback"].parent / "callback_plugins").symlink_to(ROOT / "playbooks" / "callback_plugins")
    found = bench.alternate(bench.rounds(9), {name: functools.partial(run_many, bench, path, number) for name, path in paths.items()})
    return [Row(f"playbook of {number} empty tasks, against the same without the callback ({what})",
                [run[key] for run in found["with callback"]], [run[key] for run in found["without callback"]], 1.02)
            for key, what in (("seconds", "s"), ("cpu", "s of processor time"))]


def run_many(bench: Bench, path: pathlib.Path, number: int) -> dict[str, float]:
    """Wall and processor time of that playbook; proves that the callback was at work, or that it was not."""
    reports = path.parent / "reports"
    variables = {"migration_id": "many", "migration_report_dir": str(reports)}
    hosts = {"all": {"hosts": {"here": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}, "vars": variables}}
    begun = time.monotonic()
    process = Playbook(bench.directory / "many").start(path, hosts)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    logged = sum(line["event"] == "task" for log in reports.rglob("*.jsonl") for line in lines(log))
    if process.returncode or logged != (number if (path.parent / "callback_plugins").exists() else 0):
        raise MeasurementFailed(f"the playbook of many tasks ended with {process.returncode}, {logged} tasks in its run log")
    shutil.rmtree(reports, ignore_errors=True)
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime}
