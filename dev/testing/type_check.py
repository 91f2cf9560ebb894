# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mypy over everything: the plugins by the name under which Ansible imports them, the rest by path."""

from __future__ import annotations

import pathlib
import subprocess
import sys

# The releases of the demo's application are overlays of one another: the same module several times.
OVERLAYS = "demo/app/backend-"
ROOTS = ("collections/ansible_collections/dihya/migration/plugins", "demo", "dev", "tests", "molecule")


def main() -> int:
    """Run mypy on the folders that hold Python; its exit status."""
    present = [root for root in ROOTS if any(pathlib.Path(root).rglob("*.py"))]
    return subprocess.run([sys.executable, "-m", "mypy", "--no-error-summary", "--exclude", OVERLAYS, *present], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
