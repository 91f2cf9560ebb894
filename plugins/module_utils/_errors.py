# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one exception that engines raise and that every module's ``main()`` catches."""

from __future__ import annotations

from typing import Any


class MigrationError(Exception):
    """A step could not do, or could not prove, what it was asked for.

    ``message`` is shown to people and written to the journal: it names the object and the remedy, and never
    contains a row, a secret or raw server output. ``facts`` (JSON types) become additional keys of ``fail_json``.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
