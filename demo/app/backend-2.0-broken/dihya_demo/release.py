# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Release 2.0 with a mistake in it, for `make demo-failure`: the decade loses its last figure."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

VERSION = "2.0.0"


class BookOfThisRelease:
    """Columns that this release adds to a book."""

    period: Mapped[str] = mapped_column(Text, index=True)

    def more(self) -> dict:
        """What this release adds to the JSON of a book."""
        return {"period": self.period[:-1]}
