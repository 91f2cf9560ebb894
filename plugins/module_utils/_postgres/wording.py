# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names, versions and sizes as people write and compare them."""

from __future__ import annotations

import re

LISTED = 5


def names(items: list[str]) -> str:
    """At most five names, and how many more there are."""
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED} more" if len(items) > LISTED else "")


def plain(locale: str) -> str:
    """A locale's name as all systems would spell it: ``en_us.utf8`` for ``en_US.UTF-8``, ``fr_fr.iso88591`` for ``fr_FR.ISO8859-1``."""
    place, dot, rest = (locale or "").lower().partition(".")
    encoding, at, variant = rest.partition("@")
    return place + dot + re.sub("[^a-z0-9]", "", encoding) + at + variant


def version_key(version: str) -> tuple[int, ...]:
    """A key that orders versions of extensions: the numbers in them."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def amount(count: int) -> str:
    """``count`` bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
