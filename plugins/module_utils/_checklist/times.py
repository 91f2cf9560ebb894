# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Times of the checklist: RFC 3339 with an offset; a date alone means its end, in UTC."""

from __future__ import annotations

import datetime
import re
from typing import Any

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}:\d{2})")


def parse(text: Any) -> datetime.datetime | None:
    """An aware time, or None when ``text`` is not one."""
    text = str(text)
    if not _TIME.fullmatch(text):
        return None
    fraction = re.search(r"\.(\d{1,6})", text)
    if fraction:  # Python 3.9 takes three or six digits only
        text = text.replace(fraction.group(), "." + fraction.group(1).ljust(6, "0"))
    try:
        return datetime.datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
    except ValueError:
        return None


def parse_day(text: Any, end: bool) -> datetime.datetime | None:
    """As :func:`parse`, and also ``YYYY-MM-DD``: the ``end`` of that day, or its beginning, in UTC."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(text)):
        return parse(f"{text}T{'23:59:59' if end else '00:00:00'}Z")
    return parse(text)
