# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory the modules themselves take, without the tools that they run: a large database is dumped, restored and proved
once, and then a tenth of it, which takes some twenty minutes. The tables are those of the area postgresql. `BENCH_MB` sets the size of the
large one."""

from __future__ import annotations

from tests.benchmarks.measure import Bench, Result, Row
from tests.benchmarks.postgresql import JOBS, MODULES, ours
from tests.benchmarks.servers import DATABASE, fill, servers


def measure(bench: Bench) -> Result:
    """A row for each module, and one sentence."""
    wanted = 16 if bench.quick else bench.megabytes or 10_240
    bench.say(f"fill a database of about {wanted:,} MB, and another one of a tenth")
    with servers(bench.directory / "servers", wanted) as both:
        fill(both.source, "tenth", max(1, wanted // 10))
        sizes = [f"{both.megabytes(name):,} MB" for name in (DATABASE, "tenth")]
        large, small = (ours(bench, both, name) for name in (DATABASE, "tenth"))
        rows = [Row(f"peak memory of `{name}`, {' against '.join(sizes)} (MB)", [large[name].peak_mb], [small[name].peak_mb], 150, "ours")
                for name in MODULES]
        took = ", ".join(f"{name} {large[name].seconds:.0f} s" for name in MODULES)
        return Result(rows, [f"{both.versions()}, {JOBS} jobs. The large one took: {took}."])
