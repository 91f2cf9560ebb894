# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module writes down of a tree, to know it again in a later run."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish_json, read_json


def read(path: str) -> dict[str, Any]:
    """The record at ``path``, empty when there is none. Raises :class:`MigrationError` when it cannot be read."""
    try:
        return dict(read_json(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError):
        raise MigrationError(f"{path} cannot be read", subject="record_file") from None


def write(path: str, record: dict[str, Any]) -> None:
    """Publish ``record`` in one step, in a private directory."""
    private_directory(os.path.dirname(path))
    publish_json(path, record)
