# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory the modules themselves take, without the tools that they run: a large database is dumped, restored and proved
once, and then a tenth of it, which takes some twenty minutes. The tables are those of the area postgresql. `BENCH_MB` sets the size of the
large one. Its dump is timed as well, once against the tools alone: beside 10 GB the start of a module is little."""

from __future__ import annotations

import shutil

from tests.benchmarks.measure import Bench, Result, Row
from tests.benchmarks.postgresql import JOBS, MODULES, at_rest, dump_alone, ours
from tests.benchmarks.servers import DATABASE, fill, servers


def measure(bench: Bench) -> Result:
    """A row for each module, and one sentence."""
    wanted = 16 if bench.quick else bench.megabytes or 10_240
    bench.say(f"fill a database of about {wanted:,} MB, and another one of a tenth")
    with servers(bench.directory / "servers", wanted) as both:
        fill(both.source, "tenth", max(1, wanted // 10))
        sizes = [f"{both.megabytes(name):,} MB" for name in (DATABASE, "tenth")]
        bare = dump_alone(at_rest(both), bench.directory / "bare")
        shutil.rmtree(bench.directory / "bare")
        large, small = (ours(bench, at_rest(both), name) for name in (DATABASE, "tenth"))
        rows = [Row(f"peak memory of `{name}`, {' against '.join(sizes)} (MB)", [large[name].peak_mb], [small[name].peak_mb], 150, "ours")
                for name in MODULES]
        rows.append(Row(f"`pg_dumpall` module against the tools it runs: {sizes[0]} (s)", [large["pg_dumpall"].seconds], [bare], 1.03))
        took = ", ".join(f"{name} {large[name].seconds:.0f} s" for name in MODULES)
        return Result(rows, [f"{both.versions()}, {JOBS} jobs. The large one took: {took}."])
