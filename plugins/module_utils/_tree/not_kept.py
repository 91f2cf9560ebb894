# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a copy was not given although its source has it: counted and told, never silent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import Entry, first_names

NAMES = 3


def sentences(name: str, entries: Sequence[Entry]) -> list[str]:
    """One for each kind of what the copy ``name`` of ``entries`` was not given, as ``not_proved`` of the journal has them."""
    missing: dict[str, list[bytes]] = {}
    for entry in entries:
        for what in entry.not_kept:
            missing.setdefault(what, []).append(entry.path)
    return [cut(f"that the copy of {name} has the same {what} ({len(paths)} times refused by its file system or to its user): "
                f"{first_names(paths, NAMES)}") for what, paths in sorted(missing.items())]


def tell(result: dict[str, Any], told: Sequence[str]) -> dict[str, Any]:
    """``result`` of a module with what :func:`sentences` said: as warnings, and in its journal if it has one."""
    result["warnings"] = [*result["warnings"], *(f"not proved: {sentence}" for sentence in told)]
    if told and "journal" in result:
        result["journal"]["not_proved"] = [*result["journal"].get("not_proved", []), *told]
    return result
