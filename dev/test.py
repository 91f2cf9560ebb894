#!/usr/bin/env python3
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the tests: ``python dev/test.py [unit|sanity|molecule|integration|chaos|browser]`` (or TIER=… in the environment).

Runs what has its turn at this commit (see :mod:`dev.testing.turns`), with ``TURNS=all`` in the environment every test. Sets up what is
missing, runs every step even when one failed, two beside each other, lists each skip with its reason, and ends with exactly one line
``N passed, N failed, N skipped``. The exit status is not 0 when a test failed or when none ran.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dev.testing.results import Counts
from dev.testing.steps import Runner, Step
from dev.testing.system import install
from dev.testing.tiers import Tier, tiers

WORKERS = 2  # as many as cores: three keep both busy no longer, and what runs waits longer


def main() -> int:
    """Parse the choice, set up, run, sum up."""
    names = [tier.name for tier in tiers(ROOT)]
    parser = argparse.ArgumentParser(description="Run the tests, all tiers or one.")
    parser.add_argument("tier", nargs="?", default=os.environ.get("TIER") or None, choices=[*names, None], metavar="|".join(names))
    wanted = parser.parse_args().tier
    # Hundreds of processes import the same modules: let the first one keep what it compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(ROOT / "build" / "junit", ignore_errors=True)
    begun = time.monotonic()
    chosen = [tier for tier in tiers(ROOT) if wanted in (None, tier.name)]
    needs = list(dict.fromkeys(need for tier in chosen for need in tier.needs))
    # Both take a core and a minute or two.
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        installed = beside.submit(install, needs)
        counts = run_tiers(chosen, installed.result) if set_up() else Counts(failed=1, failures=[("set-up", "no test ran")])
    return close(counts, time.monotonic() - begun)


def set_up() -> bool:
    """Make the virtual environment ready, whose interpreter runs all steps; whether that could be done."""
    print("set-up", flush=True)
    done = subprocess.run([sys.executable, str(ROOT / "dev" / "setup.py"), "test"], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        print("the set-up failed: no test ran", flush=True)
    return done.returncode == 0


def run_tiers(chosen: list[Tier], installed: Callable[[], None], root: pathlib.Path = ROOT) -> Counts:
    """Run the lanes of all tiers, in their order and some at a time, so that no core is idle while another tier has work.

    ``installed`` returns when what the system lacked is there; tiers that need nothing of it begin before.
    """
    runner = Runner(root)
    counts = Counts()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        try:
            lanes = []
            for tier in chosen:
                if tier.needs:
                    installed()
                lanes.append((tier, [pool.submit(run_lane, runner, lane) for lane in tier.lanes]))
            for tier, futures in lanes:
                counts += sum_up(tier, [future.result() for future in futures])
        except BaseException:  # interrupted: the pool waits for its steps, so they must end first
            runner.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return counts


def run_lane(runner: Runner, steps: tuple[Step, ...]) -> Counts:
    """Run steps one after the other."""
    return sum((runner.run(step) for step in steps), Counts())


def sum_up(tier: Tier, parts: list[Counts]) -> Counts:
    """What became of a tier, printed; one that holds no test has failed."""
    counts = sum(parts, Counts())
    if not (counts.ran or counts.skipped):
        print(f"{tier.name} holds no test: counted as a failure", flush=True)
        counts += Counts(failed=1, failures=[(tier.name, "holds no test")])
    print(f"{tier.name}: {counts.line()}", flush=True)
    return counts


def close(counts: Counts, seconds: float) -> int:
    """Print the skips, the failures after them, the time and the closing line; the exit status."""
    for title, tests in (("skipped", counts.skips), ("failed", counts.failures)):
        if tests:
            print("\n".join([title, *lines_of(tests)]), flush=True)
    print(f"{int(seconds) // 60} min {int(seconds) % 60} s, JUnit files in build/junit")
    print(counts.line(), flush=True)
    return 1 if counts.failed or not counts.ran else 0


def lines_of(tests: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each test and what is said of it, one for all forms of a test of which the same is said.

    Shown are the first line of it, and 200 letters of that.
    """
    forms: dict[tuple[str, str], list[str]] = {}
    for test, said in tests:
        forms.setdefault((test.partition("[")[0], said.strip().partition("\n")[0][:200]), []).append(test)
    return [f"  {named[0] if len(named) == 1 else f'{name} in {len(named)} forms'}: {said}" for (name, said), named in forms.items()]


if __name__ == "__main__":
    sys.exit(main())
