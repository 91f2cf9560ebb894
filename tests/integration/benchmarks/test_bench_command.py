# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The benchmark command on the real thing: it measures, and programs can read what it wrote. No figure is looked at."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from dev.testing.turns import parameters
from tests.support.needs import require_postgres, require_program

ROOT = pathlib.Path(__file__).resolve().parents[3]
AREAS = (("postgresql", "memory", "report"), ("trees", "report"), ("traffic", "report"), ("migration",))


@pytest.mark.slow
@pytest.mark.parametrize("areas", parameters([(areas,) for areas in AREAS]), ids="-".join)
def test_a_quick_run_writes_a_row_of_seven_keys_for_everything_it_measures(areas):
    require_postgres(16)
    require_postgres(18)
    for name in ("wrk", "nginx", "haproxy"):
        require_program(name)
    before = {path: path.read_bytes() for path in (ROOT / "docs" / "benchmarks.md", ROOT / "build" / "bench.json") if path.exists()}
    done = subprocess.run([sys.executable, str(ROOT / "dev" / "bench.py"), "--ready", "--quick", *(f"--area={area}" for area in areas)],
                          cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=480,
                          check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    rows = [row for row in json.loads((ROOT / "build" / "bench-quick" / "bench.json").read_text(encoding="utf-8")) if row["area"] in areas]
    assert {row["area"] for row in rows} == set(areas)
    for row in rows:
        assert set(row) == {"area", "name", "ours", "peer", "ratio", "goal", "met"}
        assert (row["ours"] > 0 or row["area"] == "traffic") and row["name"].endswith(")")  # traffic: what failed
        assert (row["met"] is None) == (row["goal"] is None)
    assert {path: path.read_bytes() for path in before} == before
