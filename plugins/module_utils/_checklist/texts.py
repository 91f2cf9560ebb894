# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the checklist says. Every text here is also a message of the report's catalogs, so that it can be translated."""

from __future__ import annotations

ITEMS = ("backup", "access", "documentation", "rehearsal", "rollback_plan", "notification", "window", "compliance")
OBSERVED_BY_MACHINE = ("backup", "access", "rollback_plan", "window")
ATTESTABLE = ("documentation", "notification", "compliance")
WAIVABLE = ("rehearsal",)
FROM_FILES = ("rehearsal", "rollback_plan")
"""Items that only a file made by an earlier run may prove, beside the facts of this run."""


def N_(text: str) -> str:  # the mark that the catalogs' extraction looks for
    """Return ``text``."""
    return text


EXPECTED = {
    "backup": N_("every stack has a verified backup, and a copy of it elsewhere"),
    "access": N_("login, privilege escalation and database privileges work on every host"),
    "documentation": N_("someone states that it is up to date, with the document's digest"),
    "rehearsal": N_("evidence of a rehearsal, or a waiver"),
    "rollback_plan": N_("a restore drill, or a recorded rollback"),
    "notification": N_("someone states that those concerned were told, with the message's digest"),
    "window": N_("now inside the window, and enough time left in it"),
    "compliance": N_("someone states that it was approved, with the document's digest"),
}
REMEDIES = {
    "backup": N_("let every stack make and verify its backup, and name a second place in migration_backup_copies"),
    "access": N_("correct the account, its sudo rule or its database privileges"),
    "documentation": N_("add an entry for documentation to migration_attestations"),
    "rehearsal": N_("name the report of a rehearsal in migration_evidence, or add a waiver to migration_waivers"),
    "rollback_plan": N_("make a restore drill or a recorded rollback, and name its report in migration_evidence"),
    "notification": N_("add an entry for notification to migration_attestations"),
    "window": N_("set migration_window to a start and an end (RFC 3339) between which the whole migration fits"),
    "compliance": N_("add an entry for compliance to migration_attestations"),
}
WINDOW_OPEN = N_("open until {end}, {left} s left, {needed} s needed")
WINDOW_NONE = N_("no window was given")
WINDOW_EARLY = N_("opens only at {start}")
WINDOW_LATE = N_("ended at {end}")
WINDOW_SHORT = N_("{left} s left, {needed} s needed")
WINDOW_MALFORMED = N_("start and end are not two times in RFC 3339 with an offset, the start first")
ATTESTED = N_("stated by {who} at {when}")
WAIVED = N_("waived by {who} until {until}")
LATER = N_("made and verified by the next step")
NO_BACKUP = N_("{stack}: no verified backup was shown")
NOTHING_TO_BACK_UP = N_("{stack}: nothing to back up ({why})")
NO_COPY = N_("no second place was named for the backups")
NO_COPY_OF = N_("{stack}: no second copy of its backup was shown")
NO_COPY_SHOWN = N_("no second copy of a backup was shown")
EVIDENCE_OLD = N_("the evidence counted until {until}")
EVIDENCE_FILE = N_("{path} says what is expected")
NOT_DEMONSTRATED = (N_("not demonstrated: {text} ({reason})"), N_("not demonstrated: {text}"))
TEXTS = (
    *NOT_DEMONSTRATED,
    *EXPECTED.values(),
    *REMEDIES.values(),
    WINDOW_OPEN,
    WINDOW_NONE,
    WINDOW_EARLY,
    WINDOW_LATE,
    WINDOW_SHORT,
    WINDOW_MALFORMED,
    ATTESTED,
    WAIVED,
    LATER,
    NO_BACKUP,
    NOTHING_TO_BACK_UP,
    NO_COPY,
    NO_COPY_OF,
    NO_COPY_SHOWN,
    EVIDENCE_OLD,
    EVIDENCE_FILE,
)
