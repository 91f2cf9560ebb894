#!/usr/bin/env python3
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs every test there is: ``python dev/test.py [unit|sanity|integration|chaos|molecule|browser]`` (or TIER=… in the environment).

Sets up what is missing, runs every tier even when one failed, lists each skip with its reason, and ends with exactly
one line ``N passed, N failed, N skipped``. The exit status is not 0 when a test failed or when none ran.
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

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dev.testing.results import Counts  # noqa: E402
from dev.testing.steps import Runner  # noqa: E402
from dev.testing.system import install  # noqa: E402
from dev.testing.tiers import Tier, tiers  # noqa: E402

PYTHON = ROOT / ".venv" / "bin" / "python"


def main() -> int:
    """Parse the choice, set up, run, sum up."""
    names = [tier.name for tier in tiers(ROOT)]
    parser = argparse.ArgumentParser(description="Run the tests, all tiers or one.")
    parser.add_argument("tier", nargs="?", default=os.environ.get("TIER") or None, choices=[*names, None], metavar="|".join(names))
    parser.add_argument("--ready", action="store_true", help="the virtual environment is set up: go on at once")
    arguments = parser.parse_args()
    chosen = arguments.tier
    if not arguments.ready:
        return set_up_and_enter(chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(ROOT / "build" / "junit", ignore_errors=True)
    begun = time.monotonic()
    counts = Counts()
    for tier in tiers(ROOT):
        if chosen in (None, tier.name):
            counts += run_tier(tier)
    return close(counts, time.monotonic() - begun)


def set_up_and_enter(chosen: str | None) -> int:
    """Make the virtual environment ready, then run this script with its interpreter."""
    print("set-up", flush=True)
    done = subprocess.run([sys.executable, str(ROOT / "dev" / "setup.py"), "test"], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        print("the set-up failed: no test ran", flush=True)
        return close(Counts(failed=1), 0)
    os.execv(PYTHON, [str(PYTHON), str(ROOT / "dev" / "test.py"), "--ready", *([chosen] if chosen else [])])


def run_tier(tier: Tier) -> Counts:
    """Run the steps of one tier, as many at a time as it allows."""
    print(tier.name, flush=True)
    begun = time.monotonic()
    install(list(tier.needs))
    runner = Runner(ROOT)
    counts = Counts()
    with concurrent.futures.ThreadPoolExecutor(tier.workers) as pool:
        try:
            for part in pool.map(runner.run, tier.steps):
                counts += part
        except BaseException:  # interrupted: the pool waits for its steps, so they must end first
            runner.stop()
            raise
    if not (counts.ran or counts.skipped):
        print(f"  {tier.name} holds no test: counted as a failure", flush=True)
        counts += Counts(failed=1)
    print(f"  {tier.name}: {counts.line()} in {time.monotonic() - begun:.0f} s", flush=True)
    return counts


def close(counts: Counts, seconds: float) -> int:
    """Print the skips, the time and the closing line; the exit status."""
    if counts.skips:
        print("skipped", flush=True)
        for test, reason in counts.skips:
            print(f"  {test}: {reason}", flush=True)
    print(f"{int(seconds) // 60} min {int(seconds) % 60} s, JUnit files in build/junit")
    print(counts.line(), flush=True)
    return 1 if counts.failed or not counts.ran else 0


if __name__ == "__main__":
    sys.exit(main())
