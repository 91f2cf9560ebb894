# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `pgcopydb` takes for the same database, where that program is installed: its copy and its comparison of the data."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

from demo.postgres_server import HOST
from tests.benchmarks.measure import Bench, MeasurementFailed, Row, Tool, run_tools
from tests.benchmarks.servers import DATABASE, Servers

PROGRAM = shutil.which("pgcopydb")
NEWEST_SERVER = "18"
"""Version of the target, which 0.10, the one that Debian 12 packages, does not know."""


def absence() -> str:
    """Why nothing can be measured with it here, a sentence; empty when it can."""
    if not PROGRAM:
        return "`pgcopydb` is not installed: no rows against it."
    if NEWEST_SERVER not in " ".join(re.findall(r"compatible with Postgres (.+)", said_of_itself())):
        return f"`pgcopydb` is installed, but does not know PostgreSQL {NEWEST_SERVER}: no rows against it."
    return ""


def presence() -> str:
    """Which version is measured, a sentence."""
    return f"{' '.join(said_of_itself().split()[:3])}, its own defaults but for the jobs."


def said_of_itself() -> str:
    """What ``--version`` prints."""
    done = subprocess.run([str(PROGRAM), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout


def measured(bench: Bench, both: Servers, jobs: int) -> dict[str, float]:
    """Seconds of ``clone`` and of ``compare data`` after it, with ``jobs`` for each of its kinds of work; the copy is removed."""
    where, work = {"PGPASSFILE": str(both.passfile), "PATH": f"{both.target.bin}:{os.environ['PATH']}"}, bench.directory / "pgcopydb"
    ends = [argument for name, server in (("--source", both.source), ("--target", both.target))
            for argument in (name, f"postgresql://postgres@{HOST}:{server.port}/{DATABASE}")]
    counts = [f"--{kind}-jobs={jobs}" for kind in ("table", "index", "restore", "large-objects")]
    try:
        clone = run_tools(Tool([both.tool("createdb"), "-T", "template0", DATABASE], both.environment(both.target)),
                          Tool([str(PROGRAM), "clone", *ends, *counts, "--fail-fast", "--dir", str(work / "clone")], where))
        compared = work / "compared"
        compare = run_tools(Tool([str(PROGRAM), "compare", "data", *ends, "--dir", str(work / "compare")], where, compared))
        require_equal(compared)
    finally:
        both.target.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        shutil.rmtree(work, ignore_errors=True)
    return {"clone": clone, "compare": compare}


def require_equal(path: pathlib.Path) -> None:
    """Raise :class:`MeasurementFailed` unless it compared both tables and found them equal: what compares nothing is no peer."""
    said = path.read_text(encoding="utf-8", errors="replace")
    marks = re.findall(r"\.public\.(?:account|event) \|(.*?)\|", said)
    if [mark.strip() for mark in marks] != ["", ""]:
        raise MeasurementFailed(f"pgcopydb compare data did not find both tables equal: {said[-600:]}")


def rows(size: str, frozen: list[float], proofs: list[float], found: list[dict[str, float]]) -> list[Row]:
    """Its two rows; none of nothing ``found``."""
    if not found:
        return []
    return [Row(f"final dump + restore + full proof, against `pgcopydb clone`: {size} (s)", frozen, [each["clone"] for each in found], 0.9),
            Row(f"row proof of both sides, against `pgcopydb compare data`: {size} (s)", proofs, [each["compare"] for each in found], 0.5)]
