# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the checks of :mod:`preflight` read from the facts more than once."""

from __future__ import annotations

from typing import Any

# What findings about a server are about: the inventory's variable for it.
SOURCE, TARGET = "postgresql_source", "postgresql_target"


def good(facts: dict[str, Any]) -> dict[str, Any]:
    """The contents of the chosen databases that could be read."""
    return {name: content for name, content in facts["source"].get("contents", {}).items() if "error" not in content}


def chosen_frames(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The frames (encoding, locale, …) of the chosen databases."""
    return [frame for frame in facts["source"]["globals"]["databases"] if frame["name"] in good(facts)]


def major(side: dict[str, Any]) -> int:
    """The major version of a server."""
    return int(side["server"]["version_num"]) // 10000
