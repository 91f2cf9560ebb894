# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of our sessions in a database that has no name yet, taken from it before it gets one; and quiet sessions."""

from __future__ import annotations

# Settings that every server knows, and under which its log keeps nothing of a session's statements: these hold rows and password
# hashes, and so do the messages of those that fail. At the level "log", which stands above "error", none of these is written, and
# what the server or an extension audits still is; a session that is ended by force says so without the line it was at.
SILENT = {"log_statement": "none", "log_min_error_statement": "panic", "log_min_duration_statement": "-1",
          "log_min_messages": "log", "log_error_verbosity": "terse"}
QUIET = {**SILENT, "log_min_duration_sample": "-1", "pg_stat_statements.track": "none"}
# What ends a statement or a session that takes long, as one for a large table does, and the version that knows it first.
LIMITS = {"statement_timeout": 0, "lock_timeout": 0, "idle_in_transaction_session_timeout": 0, "idle_session_timeout": 140000,
          "transaction_timeout": 170000}
MOST_MEMORY = 1 << 20  # kB
BLOCK = 8  # kB, the unit in which a server of usual build counts its shared buffers


def load_settings(settings: dict[str, str], jobs: int, version: int) -> list[str]:
    """``name=value`` for each of ``jobs`` sessions on a server of ``version`` with ``settings`` (of :func:`read_server`).

    Any login may set these for itself, and no limit of the server's or of the login's own stands above them.
    Memory to build indexes: all sessions together as much as the server gives to its shared buffers, 1 GiB each at most, never less
    than its own setting. And nobody waits for the disk at each commit: nothing counts before the database takes its name, and that
    commit, by a session without these settings, waits for all before it.
    """
    own, shared = (int(settings[name]) for name in ("maintenance_work_mem", "shared_buffers"))
    return [f"maintenance_work_mem={max(own, min(MOST_MEMORY, shared * BLOCK // jobs))}kB", "synchronous_commit=off",
            *(f"{name}=0" for name, first in LIMITS.items() if version >= first)]
