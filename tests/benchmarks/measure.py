# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every area uses to measure: rounds that alternate, rows with a median and a spread, modules in processes of their own."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMITS = {"ratio": "ratio ≤ {:g}", "ours": "ours ≤ {:g}", "difference": "ours − peer ≤ {:g}"}
Measured = TypeVar("Measured")

# The peak is VmHWM and not ru_maxrss: that one begins with the memory of the process that started this one.
RUN_MODULE = """
import atexit, importlib, json, sys
from ansible.module_utils.testing import patch_module_args
def peak():
    with open('/proc/self/status') as status, open(sys.argv[3], 'w') as out:
        out.write(next(line.split()[1] for line in status if line.startswith('VmHWM')))
atexit.register(peak)
with open(sys.argv[2]) as stream:
    options = json.load(stream)
with patch_module_args(options):
    importlib.import_module(sys.argv[1]).main()
"""


class MeasurementFailed(Exception):
    """Something that was to be timed did not work; the message says what."""


@dataclass(frozen=True)
class Row:
    """One comparison. ``ours`` and ``peer`` hold a value per round, ``peer`` nothing where there is no peer.

    name: what is compared with what, with its unit; goal: upper limit of ``of``, one of ``LIMITS``.
    """

    name: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    goal: float | None = None
    of: str = "ratio"

    def ratios(self) -> list[float]:
        """Ours over the peer's of the same round."""
        return [ours / peer for ours, peer in zip(self.ours, self.peer)]

    def goal_text(self) -> str | None:
        """The goal in words, for instance ``ratio ≤ 0.8``."""
        return None if self.goal is None else LIMITS[self.of].format(self.goal)

    def met(self) -> bool | None:
        """Whether the median keeps the goal; None without one."""
        if self.goal is None:
            return None
        values = {"ratio": self.ratios, "ours": lambda: self.ours, "difference": lambda: [a - b for a, b in zip(self.ours, self.peer)]}
        return statistics.median(values[self.of]()) <= self.goal

    def as_json(self, area: str) -> dict[str, Any]:
        """The row of build/bench.json: medians."""
        return {"area": area, "name": self.name, "ours": median(self.ours), "peer": median(self.peer), "ratio": median(self.ratios()),
                "goal": self.goal_text(), "met": self.met()}


@dataclass
class Result:
    """The rows of one area, and sentences about what was measured and where the time goes."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """What an area may use. ``directory`` is its own and is removed afterwards, ``megabytes`` the size asked for (None: its default).

    ``quick`` asks for the least work that still gives every row: one round, little data, no figure worth keeping.
    """

    directory: pathlib.Path
    quick: bool = False
    megabytes: int | None = None
    say: Callable[[str], None] = lambda text: None

    def rounds(self, usual: int = 3) -> int:
        """How many rounds to measure."""
        return 1 if self.quick else usual

    def alternate(self, rounds: int, contestants: Mapping[str, Callable[[], Measured]]) -> dict[str, list[Measured]]:
        """Run each contestant once a round, each round beginning with the next one; what each returned, by round."""
        found: dict[str, list[Measured]] = {name: [] for name in contestants}
        for number in range(rounds):
            first = number % len(contestants)
            order = [*list(contestants)[first:], *list(contestants)[:first]]
            for name in order:
                self.say(f"round {number + 1} of {rounds}: {name}")
                found[name].append(contestants[name]())
        return found


@dataclass(frozen=True)
class Ran:
    """A module that ran in a process of its own: wall time, peak memory of that process without its children, result.

    work: processor seconds of the whole machine meanwhile, those of the servers and of the kernel too.
    """

    seconds: float
    peak_mb: float
    result: dict[str, Any]
    work: float = 0.0


def median(values: Sequence[float]) -> float | None:
    """The median to four significant digits, None of nothing."""
    return float(f"{statistics.median(values):.4g}") if values else None


def timed(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def processor_seconds() -> float:
    """How long the cores of the machine have worked since it started, all added up."""
    # user, nice, system, idle, iowait, irq, softirq, steal: what is neither idle nor waiting is work
    values = list(map(int, pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]))
    return (sum(values) - values[3] - values[4]) / os.sysconf("SC_CLK_TCK")


def run_module(name: str, scratch: pathlib.Path, /, **options: Any) -> Ran:
    """Run a module (full name, or one of this collection) as it runs on a host; raises :class:`MeasurementFailed`."""
    full = name if "." in name else f"ansible_collections.dihya.migration.plugins.modules.{name}"
    arguments, peak = scratch / "arguments.json", scratch / "peak"
    arguments.write_text(json.dumps(options), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"}
    begun, worked = time.monotonic(), processor_seconds()
    done = subprocess.run([sys.executable, "-c", RUN_MODULE, full, str(arguments), str(peak)], env=environment, text=True, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True)
    seconds, work = time.monotonic() - begun, processor_seconds() - worked
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise MeasurementFailed(f"{name} gave no result: {done.stderr[-600:]}") from None
    if done.returncode or result.get("failed"):
        raise MeasurementFailed(f"{name} failed: {result.get('msg')}")
    return Ran(seconds, int(peak.read_text(encoding="ascii")) / 1024, result, work)


@dataclass(frozen=True)
class Tool:
    """A program to run with more environment; what it prints goes to ``output`` or nowhere."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    output: pathlib.Path | None = None


def run_tools(*tools: Tool) -> float:
    """Run programs one after the other; seconds of all. Raises :class:`MeasurementFailed` with what one that failed said."""
    begun = time.monotonic()
    for tool in tools:
        with open(tool.output or os.devnull, "wb") as stream:
            done = subprocess.run(tool.argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.PIPE, check=False,
                                  env={**os.environ, **tool.environment})
        if done.returncode:
            raise MeasurementFailed(f"{pathlib.Path(tool.argv[0]).name} failed: {done.stderr.decode(errors='replace')[-600:]}")
    return time.monotonic() - begun
