# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What comes in several forms and takes too long for all of them in every run: a commit has its turn of one."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Sequence
from typing import TypeVar

Form = TypeVar("Form")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def turn_of(forms: Sequence[Form], root: pathlib.Path = ROOT) -> list[Form]:
    """The form whose turn it is at the commit of ``root`` (the first one where there is none), all with ``TURNS=all``."""
    if os.environ.get("TURNS") == "all":
        return list(forms)
    asked = subprocess.run(["git", "rev-parse", "--quiet", "--verify", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return [forms[int(asked.stdout or "0", 16) % len(forms)]]
