# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one release of the application has of its own; the next release replaces this file."""

from __future__ import annotations

VERSION = "1.0.0"


class BookOfThisRelease:
    """Columns that this release adds to a book: none."""

    def more(self) -> dict:
        """What this release adds to the JSON of a book."""
        return {}
