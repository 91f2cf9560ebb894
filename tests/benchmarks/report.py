# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A journal of thousands of events, far longer than that of one migration: 12 stacks on 40 hosts, resumed often. The engines run inside
the measuring process. A bare append is one write and one fsync of the same bytes, without chain, head and lock."""

from __future__ import annotations

import json
import os
import pathlib
import time
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._journal import chain
from ansible_collections.dihya.migration.plugins.module_utils._journal.commands import execute
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import Options
from ansible_collections.dihya.migration.plugins.plugin_utils.report.render import render

from tests.benchmarks.measure import Bench, Result, Row, timed
from tests.unit.report.journals import Writer

STACKS, HOSTS = 12, 40
VERBS = ("preflight", "backup", "freeze", "migrate", "verify", "commit")
FACTS: dict[str, Any] = {"summary": "12 tables in 52428800 bytes of backup: dumped", "changed": True, "duration": 12.5,
         "counts": {"tables": 12, "bytes": 52_428_800}, "digests": {"crm": "cd" * 32},
         "proofs": [{"kind": "manifest", "path": "/backup/crm/manifest.json", "sha256": "ab" * 32}]}


def measure(bench: Bench) -> Result:
    """All rows of the area."""
    length = 500 if bench.quick else 10_000
    events = journal(length)
    chained = {"intact": True, "events": length, "head": events[-1]["hash"], "torn": 0, "problem": ""}
    found = bench.alternate(bench.rounds(5), {
        "render": lambda: timed(lambda: render(events, chained, Options(journal_path="journal.jsonl"))) * 1e6 / length,
        "parse": lambda: timed(lambda: json.loads(json.dumps(events))) * 1e6 / length})
    rows = [Row(f"report in three formats of {length:,} events, against their JSON written and read (ms per 1,000 events)", found["render"],
                found["parse"])]
    for size in (20, 200 if bench.quick else 2_000):
        ours, bare = appends(bench, size)
        rows.append(Row(f"journal `record` of one event behind {size:,}, against a bare append (ms an event)", ours, bare))
    return Result(rows, ["`record` reads and checks the whole chain before each append: its time grows with the journal. "
                         "A migration of three stacks writes about 60 events."])


def journal(length: int) -> list[dict[str, Any]]:
    """The events of a long attempt."""
    writer = Writer()
    writer.begin()
    for number in range(length - 2):
        unit = number // 2
        status = "ok" if number % 2 else "started"
        writer.add(f"stack{unit % STACKS}", VERBS[unit // (STACKS * HOSTS) % len(VERBS)], status, f"host{unit // STACKS % HOSTS}",
                   **(FACTS if number % 2 else {}))
    writer.end("ok")
    return writer.events


def appends(bench: Bench, size: int) -> tuple[list[float], list[float]]:
    """Milliseconds an event of the journal's own ``record``, and of a bare append, each behind ``size`` events."""
    common: dict[str, Any] = {
        "state_dir": str(bench.directory / f"state{size}"), "migration_id": "bench", "state_host": "mover", "purpose": "migrate",
        "run": {"stacks": ["postgresql"]}, "identities": [], "takeover": [], "dead_runs": [], "holder": None}
    token = execute({**common, "command": "begin"}, False)["token"]
    record = {**common, "command": "record", "token": token, "stack": "postgresql"}
    hosts = [{"host": f"host{number}"} for number in range(size - 1)]
    execute({**record, "verb": "preflight", "status": "started", "events": hosts}, False)
    line = chain.encode([journal(10)[4]])
    number = iter(range(1_000_000))

    def ours() -> None:
        execute({**record, "verb": "backup", "status": "started", "events": [{"host": f"host{next(number)}", "facts": FACTS}]}, False)

    repeat = 5 if bench.quick else 20
    found = bench.alternate(bench.rounds(5), {f"record behind {size}": lambda: each(ours, repeat),
                                              "bare append": lambda: each(lambda: bare(bench.directory / "bare", line), repeat)})
    return found[f"record behind {size}"], found["bare append"]


def each(work: Any, repeat: int) -> float:
    """Milliseconds of one ``work`` of ``repeat``."""
    begun = time.monotonic()
    for _ in range(repeat):
        work()
    return (time.monotonic() - begun) * 1000 / repeat


def bare(path: pathlib.Path, line: bytes) -> None:
    """One durable append and nothing else."""
    with open(path, "ab") as stream:
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
