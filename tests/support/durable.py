# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order names are changed and made durable: what a power cut would show, told without one."""

from __future__ import annotations

import os
from typing import Any

import pytest


def watched(patch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The calls of this process from now on, (call, path): ``name`` (renamed to), ``gone`` (unlinked), ``fsync`` (file or directory)."""
    seen: list[tuple[str, str]] = []

    def observe(function: str, call: str, position: int) -> None:
        real = getattr(os, function)

        def observed(*arguments: Any, **options: Any) -> Any:
            what = arguments[position]
            path = os.readlink(f"/proc/self/fd/{what}") if call == "fsync" else os.fsdecode(what)
            done = real(*arguments, **options)
            seen.append((call, path))
            return done
        patch.setattr(os, function, observed)
    for function, call, position in (("rename", "name", 1), ("replace", "name", 1), ("unlink", "gone", 0), ("fsync", "fsync", 0)):
        observe(function, call, position)
    return seen
