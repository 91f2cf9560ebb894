# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of the side to compare with, and the file in which an earlier verification kept it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import ALGORITHM
from ansible_collections.dihya.migration.plugins.module_utils._postgres.kept_catalog import Kept
from ansible_collections.dihya.migration.plugins.module_utils._postgres.schema_touched import Outline, Rights

FORMAT = 1


@dataclass
class Known:
    """The side to compare with: row digests, whether they are of hexadecimal texts, the capture, kept catalogs, sequences that were
    behind their column, and outlines of catalogs with the owners and privileges of their objects, where there are."""

    tables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    hexadecimal: dict[str, bool] = field(default_factory=dict)
    capture: dict[str, Any] | None = None
    catalogs: dict[str, Kept] = field(default_factory=dict)
    behind: dict[str, list[str]] = field(default_factory=dict)
    outlines: dict[str, Outline] = field(default_factory=dict)
    rights: dict[str, Rights] = field(default_factory=dict)


def read_baseline(path: str) -> Known:
    """The digests that an earlier verification wrote to its digest_file."""
    try:
        content = read_json(path)
        if content["format"] != FORMAT or content["algorithm"] != ALGORITHM:
            raise ValueError
        entries = content["databases"]
        return Known({name: entry["tables"] for name, entry in entries.items()},
                     {name: entry["hexadecimal"] for name, entry in entries.items()},
                     behind={name: entry["behind"] for name, entry in entries.items() if "behind" in entry},
                     outlines={name: entry["outline"] for name, entry in entries.items() if "outline" in entry},
                     rights={name: entry["rights"] for name, entry in entries.items() if "rights" in entry})
    except (OSError, ValueError, KeyError, TypeError):
        raise MigrationError(f"{path} cannot be read as a digest file of {ALGORITHM}") from None
