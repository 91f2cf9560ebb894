# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mypy over everything: the plugins by the name under which Ansible imports them, the rest by path."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOTS = ("collections/ansible_collections/dihya/migration/plugins", "demo", "dev", "tests", "molecule")


def main() -> int:
    """Run mypy on the folders that hold Python; its exit status."""
    present = [root for root in ROOTS if any(pathlib.Path(root).rglob("*.py"))]
    return subprocess.run([sys.executable, "-m", "mypy", "--no-error-summary", *present], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
