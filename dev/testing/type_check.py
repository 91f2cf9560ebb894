# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mypy over everything: the plugins by the name under which Ansible imports them, the rest by path."""

from __future__ import annotations

import pathlib
import subprocess
import sys

# What the tests move, not what moves it: Flask applications, whose models get their base class when they run.
APPLICATIONS = "demo/app/"
# Of the tests only what they share: their tables of cases hold values of every shape, which pytest judges, not mypy.
ROOTS = ("collections/ansible_collections/dihya/migration/plugins", "demo", "dev", "tests/support", "tests/benchmarks")


def main() -> int:
    """Run mypy on the folders that hold Python; its exit status."""
    present = [root for root in ROOTS if any(pathlib.Path(root).rglob("*.py"))]
    return subprocess.run([sys.executable, "-m", "mypy", "--no-error-summary", "--exclude", APPLICATIONS, *present], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
