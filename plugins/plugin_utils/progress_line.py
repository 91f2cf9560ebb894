# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One line that tells how far a long operation is; pure but for the clock."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import VERBS

QUIET = 60.0
"""Seconds without any change after which the line says so."""


class Watch:
    """Sees the progress of an operation (the dict of ``_progress.Progress``) and words it."""

    def __init__(self, name: str, frozen_since: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        frozen = seconds_since(frozen_since)
        self._frozen = None if frozen is None else clock() - frozen
        self._state: dict[str, Any] = {}
        self._changed = clock()

    def see(self, state: Any) -> None:
        """Take the newest progress; anything that is none is ignored."""
        if isinstance(state, dict) and state != self._state:
            self._state, self._changed = state, self._clock()

    def line(self) -> str:
        """For example ``postgresql mover: restoring 42 % 31 MB/s, 0:20 left``."""
        done, total = _number(self._state.get("done")), _number(self._state.get("total"))
        unit = str(self._state.get("unit", ""))
        elapsed = _number(self._state.get("updated")) - _number(self._state.get("started"))
        rate = done / elapsed if elapsed > 0 and unit != "seconds" else 0.0
        parts = [_printable(self._state.get("step")) or "working"]
        if total > 0:
            parts.append(f"{min(100, int(100 * done / total))} %")
        elif done > 0:
            parts.append(amount(done, unit))
        if rate > 0:
            parts.append(f"{amount(rate, unit)}/s")
        line = f"{self.name}: {' '.join(parts)}"
        if rate > 0 and total > done:
            line += f", {clock_time((total - done) / rate)} left"
        if self._frozen is not None:
            line += f", frozen for {clock_time(self._clock() - self._frozen)}"
        quiet = self._clock() - self._changed
        return line + (f", no news for {clock_time(quiet)}" if quiet >= QUIET else "")


def step_of_verb(verb: Any) -> str:
    """``[4/7 migrate] `` for a verb of the transaction, empty for anything else."""
    return f"[{VERBS.index(verb) + 1}/{len(VERBS)} {verb}] " if verb in VERBS else ""


def seconds_since(moment: Any) -> float | None:
    """Seconds since an RFC 3339 time, None for anything else."""
    try:
        begun = datetime.datetime.fromisoformat(str(moment).replace("Z", "+00:00"))
        return max(0.0, (datetime.datetime.now(datetime.timezone.utc) - begun).total_seconds())
    except (TypeError, ValueError):
        return None


def amount(value: float, unit: str) -> str:
    """``value`` of ``unit`` in words: bytes as kB, MB, GB, seconds as a clock shows them, everything else as it is."""
    if unit == "seconds":
        return clock_time(value)
    if unit != "bytes":
        return f"{value:.0f} {_printable(unit)}".strip()
    names = ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(names) > 1:
        value /= 1000
        names.pop(0)
    return f"{value:.0f} {names[0]}" if value >= 9.95 or names[0] == "B" else f"{value:.1f} {names[0]}"


def clock_time(seconds: float) -> str:
    """``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def _printable(value: Any) -> str:
    """The text without control characters (the file comes from another host), at most 80 characters."""
    return "".join(character for character in str(value or "") if character.isprintable())[:80]
