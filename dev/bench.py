#!/usr/bin/env python3
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measures ours beside its peers: ``python dev/bench.py [--area AREA] [--quick]``.

Sets up what is missing (programs of the system where it may, else an area that needs them has no rows), prints every row
with its spread, writes docs/benchmarks.md and build/bench.json (medians, one object a row). The exit status is 0 unless a
measurement itself failed: a figure is never a failure. ``--quick`` shows that everything can be measured, in one round
over little data, and writes below build/bench-quick only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
AREAS = ("migration", "postgresql", "memory", "trees", "traffic", "report")


def main() -> int:
    """Parse the choice, set up, measure, write."""
    parser = argparse.ArgumentParser(description="Measure, all areas or some.")
    parser.add_argument("--area", action="append", choices=AREAS, help="may be given several times; all by default")
    parser.add_argument("--quick", action="store_true", help="one round over little data, only to see that it works")
    parser.add_argument("--ready", action="store_true", help="the virtual environment is set up: go on at once")
    arguments = parser.parse_args()
    areas = arguments.area or list(AREAS)
    sys.path[:0] = [str(ROOT), str(ROOT / "collections")]
    return measure(areas, arguments.quick) if arguments.ready else set_up_and_enter(areas)


def set_up_and_enter(areas: list[str]) -> int:
    """Make the virtual environment ready, and what ``areas`` need of the system, then run this script with its interpreter."""
    from dev.testing.system import install
    from dev.testing.tiers import PROXIES

    done = subprocess.run([sys.executable, str(ROOT / "dev" / "setup.py"), "demo"], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        return done.returncode
    if "traffic" in areas:
        install(list(PROXIES))
    os.execv(PYTHON, [str(PYTHON), str(ROOT / "dev" / "bench.py"), "--ready", *sys.argv[1:]])


def measure(areas: list[str], quick: bool) -> int:
    """Measure ``areas`` one after the other; 1 when a measurement failed, the others are written all the same."""
    failed = []
    for area in areas:
        say(f"{area}{' (quick: no figure worth keeping)' if quick else ''}")
        try:
            measure_area(area, quick)
        except Exception as error:  # whatever it is, the other areas are still measured and the exit status tells
            say(f"{area} could not be measured: {type(error).__name__}: {error}")
            failed.append(area)
    return 1 if failed else 0


def measure_area(area: str, quick: bool) -> None:
    """Measure one area, print its rows and write them."""
    from tests.benchmarks import document
    from tests.benchmarks.measure import Bench

    module = importlib.import_module(f"tests.benchmarks.{area}")
    size = os.environ.get("BENCH_MB")
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{area}-", dir=scratch()))
    look = 0.1 if quick else 3.0
    begun, busy = time.monotonic(), busy_cores(look)
    try:
        result = module.measure(Bench(directory, quick, int(size) if size else None, lambda text: say("  " + text)))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if not result.rows:
        say(f"{area} has no rows here, and the figures written before stay: {' '.join(result.notes)}")
        return
    result.notes.append(document.disturbance(max(busy, busy_cores(look))))
    say(f"{area}, {time.monotonic() - begun:.0f} s\n{document.screen(result)}")
    command = f"{f'BENCH_MB={size} ' if size else ''}make bench AREA={area}"
    write(area, document.section(area, module.__doc__ or "", result, command), [row.as_json(area) for row in result.rows], quick)


def busy_cores(seconds: float) -> float:
    """How many cores work while we do nothing: what others run on this machine disturbs every figure."""
    from tests.benchmarks.measure import processor_seconds

    before, begun = processor_seconds(), time.monotonic()
    time.sleep(seconds)
    return (processor_seconds() - before) / (time.monotonic() - begun)


def scratch() -> pathlib.Path:
    """Where the areas put their files: on the disk of the checkout, as what users copy is on a disk."""
    directory = ROOT / "build" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write(area: str, section: str, rows: list[dict], quick: bool) -> None:
    """Replace the area in both files; the others stay as they are."""
    from tests.benchmarks.document import merged

    docs, build = (ROOT / "build" / "bench-quick",) * 2 if quick else (ROOT / "docs", ROOT / "build")
    docs.mkdir(parents=True, exist_ok=True)
    page, table = docs / "benchmarks.md", build / "bench.json"
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(merged(before, {area: section}, AREAS), encoding="utf-8")
    known = json.loads(table.read_text(encoding="utf-8")) if table.exists() else []
    kept = [row for row in known if row["area"] in AREAS and row["area"] != area]
    ordered = sorted(kept + rows, key=lambda row: AREAS.index(row["area"]))
    table.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say(f"written: {page.relative_to(ROOT)} and {table.relative_to(ROOT)}")


def say(text: str) -> None:
    """One progress line."""
    print(f"bench: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
