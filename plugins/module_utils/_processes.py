# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What proc(5) says of processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stat:
    """What proc(5) says of one process; ``start`` in clock ticks since boot. One that sleeps or works meanwhile is the same."""

    pid: int
    state: str = field(compare=False)
    parent: int
    session: int
    start: int


def parse_stat(text: str) -> Stat:
    """The fields of one ``/proc/PID/stat``; the program's name in it may hold blanks and parentheses."""
    head, _bracket, tail = text.rpartition(")")
    fields = tail.split()
    return Stat(int(head.split(" ", 1)[0]), fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def read_stat(pid: int) -> Stat | None:
    """The process ``pid``, None when there is none or it is dead and only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            found = parse_stat(stream.read())
    except (OSError, ValueError, IndexError):
        return None
    return None if found.state in ("Z", "X") else found


def everyone() -> Iterator[Stat]:
    """Every process that lives."""
    for entry in os.listdir("/proc"):
        found = read_stat(int(entry)) if entry.isdigit() else None
        if found:
            yield found
