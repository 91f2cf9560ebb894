#!/usr/bin/env python3
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventory script: what ``make demo`` wrote when it started the sites (ports, addresses, passwords, a window that holds now).

A script is read once; the same values behind ``lookup('file', …)`` were read and parsed anew by every task.
"""

import json
import os
import sys
from pathlib import Path


def parameters() -> dict[str, object]:
    """The variables of every host; raises :class:`OSError` where no demo was started."""
    root = Path(__file__).resolve().parent.parent.parent
    state = Path(os.environ.get("DEMO_STATE") or root / "demo" / "state")
    read = {name: json.loads((state / f"{file}.json").read_text(encoding="utf-8"))
            for name, file in (("demo", "demo"), ("demo_passwords", "secrets"))}
    reports = os.environ.get("DEMO_REPORTS") or root / "reports"
    return {"demo_root": str(root), "demo_state": str(state), "demo_reports": str(reports), **read}


if __name__ == "__main__":
    try:
        print(json.dumps({"_meta": {"hostvars": {}}, "all": {"vars": parameters()}} if sys.argv[1:] == ["--list"] else {}))
    except OSError as error:
        sys.exit(f"the demo is not running, start it with: make demo ({error})")
