# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows as tables, for the screen and for docs/benchmarks.md, where each area has a section of its own."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
from collections.abc import Sequence

from tests.benchmarks.measure import Result, Row

HEAD = """# Benchmarks

Written by `make bench`; `make bench AREA=postgresql` measures one area and replaces its section, `BENCH_MB` sets the size of its database
in megabytes (else 1,024 in `postgresql`, 10,240 in `memory`, 256 in `migration`). Ours and its peer run in turn on the same machine, in
alternating order; every figure is the median over the rounds, with the smallest and the largest in brackets. A ratio is ours over the
peer's of the same round. Less is better everywhere. No test fails on a figure: `build/bench.json` has them for programs.
"""
COLUMNS = ("", "ours", "peer", "ratio", "goal", "met")


def figures(values: Sequence[float]) -> str:
    """``median (smallest – largest)``, or a dash."""
    if not values:
        return "—"
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} – {number(max(values))})"


def number(value: float) -> str:
    """Three significant digits, whole numbers from 1,000 on."""
    if abs(value) < 1:
        return f"{value:#.3g}"
    return f"{value:,.{max(0, 3 - len(str(int(abs(value)))))}f}"


def cells(row: Row) -> tuple[str, ...]:
    """A row's texts, one per column."""
    met = {None: "", True: "yes", False: "no"}[row.met()]
    return row.name, figures(row.ours), figures(row.peer), figures(row.ratios()), row.goal_text() or "", met


def screen(result: Result) -> str:
    """The rows for a terminal, three lines each."""
    lines = []
    for row in result.rows:
        name, ours, peer, ratio, goal, met = cells(row)
        lines += [f"  {name}", f"      ours {ours}   peer {peer}   ratio {ratio}" + (f"   goal {goal}: {met}" if goal else "")]
    return "\n".join(lines + [f"  {note}" for note in result.notes])


def section(area: str, about: str, result: Result, command: str) -> str:
    """The section of one area in Markdown: what is measured, where and when, the table, the notes."""
    table = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, result.rows)]
    lines = [f"## {area}", "", about.strip(), "", f"`{command}`, {machine()}, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}.", ""]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    lines += ["", *(f"- {note}" for note in result.notes)] if result.notes else []
    return "\n".join(lines).rstrip() + "\n"


def machine() -> str:
    """Cores, memory and interpreter: what the figures depend on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {pages:.0f} GiB of memory, {platform.machine()}, Python {platform.python_version()}"


def disturbance(cores: float) -> str:
    """How far other work on the machine disturbed the figures."""
    if cores < 0.3:
        return "The machine did nothing else."
    return f"Not a quiet machine: other work took {cores:.1f} cores beside it, which costs most what could have used them all."


def merged(document: str, sections: dict[str, str], order: Sequence[str]) -> str:
    """``document`` with ``sections`` in place of those of the same areas; areas stand in ``order``."""
    parts = re.split(r"(?m)^(?=## )", document)[1:]
    known = {part.splitlines()[0][3:].strip(): part.strip() + "\n" for part in parts}
    known.update(sections)
    return "\n".join([HEAD, *(known[area] for area in order if area in known)])
