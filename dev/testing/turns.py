# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What comes in several forms and takes too long for all of them in every run: a commit has its turn of one, the others are skipped."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Any, TypeVar

Form = TypeVar("Form")
ROOT = pathlib.Path(__file__).resolve().parents[2]
WAITS = "not this commit's turn, TURNS=all runs it"


def turn_of(forms: Sequence[Form], root: pathlib.Path = ROOT) -> list[Form]:
    """The form whose turn it is at the commit of ``root`` (the first one where there is none), all with ``TURNS=all``."""
    if os.environ.get("TURNS") == "all":
        return list(forms)
    asked = subprocess.run(["git", "rev-parse", "--quiet", "--verify", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return [forms[int(asked.stdout or "0", 16) % len(forms)]]


def parameters(forms: Sequence[Sequence[Any]], root: pathlib.Path = ROOT) -> list[Any]:
    """``forms``, a row of arguments each, for ``pytest.mark.parametrize``; those that wait for their turn are skipped and say so.

    That is a choice and no lack of this machine: ``TEST_NO_SKIP`` does not make it a failure.
    """
    import pytest  # here: the test run itself is started by a Python that has none

    due = turn_of(range(len(forms)), root)
    return [pytest.param(*form, marks=[] if number in due else pytest.mark.skip(reason=WAITS)) for number, form in enumerate(forms)]


def in_turn(number: int, of: int, root: pathlib.Path = ROOT) -> Any:
    """The mark of a test that has the turn with this ``number`` of so many; at other commits it is skipped, as :func:`parameters` skips."""
    import pytest

    return pytest.mark.skipif(number not in turn_of(range(of), root), reason=WAITS)
