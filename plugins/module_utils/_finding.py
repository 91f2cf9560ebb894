# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight, checklist and inputs find, in the one form that the transaction collects."""

from __future__ import annotations

from typing import Any

Finding = dict[str, Any]


def finding(subject: str, text: str, remedy: str, blocking: bool = True) -> Finding:
    """One finding: the variable or host that it is about, what is wrong, what to do, and whether it stops the migration."""
    return {"subject": subject, "finding": text, "remedy": remedy, "blocking": blocking}
