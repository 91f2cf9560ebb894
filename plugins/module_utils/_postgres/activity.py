# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who moved the transaction number of a frozen server: its maintenance alone, or somebody who wrote?

ANALYZE and VACUUM take transaction numbers too. What they write is told from rows of others by the statistics of each
table. Those come late: a session reports at its end, and since 15 at the end of a transaction when its last report is a second
old, and at most ten seconds after it went idle (``PGSTAT_MIN_INTERVAL`` and ``PGSTAT_IDLE_INTERVAL`` in its pgstat.c). So a
count may grow by what was written *before* the fence. Therefore a table whose counts grew is searched for row versions that
are younger than the fence; only a deletion leaves none, so a growing count of deletions is never explained.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, connect

# Without what ANALYZE itself writes, and without TOAST, whose rows come and go with a row of their table.
COUNTS = """
SELECT relid::text, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_all_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname <> 'pg_toast'
  AND (schemaname <> 'pg_catalog' OR relname NOT IN ('pg_statistic', 'pg_statistic_ext_data'))
"""
MAINTAINED = """
SELECT count(*) FROM pg_stat_all_tables WHERE greatest(last_analyze, last_autoanalyze, last_vacuum, last_autovacuum) >= %s::timestamptz
"""
# Sessions that may still hold back what they wrote behind the fence, seen at $now: not idle, or idle since less than their
# timer needs, and without a transaction that ended a second after $now. One that cannot be looked into counts too; to a
# login without pg_read_all_stats that is every session of somebody else.
HOLDING_BACK = """
SELECT count(*) FROM pg_stat_activity
WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usesysid IS NOT NULL AND left(application_name, 6) <> 'dihya/'
  AND pid <> pg_backend_pid() AND coalesce(backend_start < %(now)s::timestamptz, true)
  AND NOT coalesce(state_change < %(fence)s::timestamptz OR (state = 'idle'
    AND (clock_timestamp() - state_change > %(timer)s OR state_change > %(now)s::timestamptz + %(interval)s)), false)
"""
NAME = "SELECT coalesce(%s::oid::regclass::text, '')"
# An age below zero is that of a row frozen more than 2^31 transactions ago.
YOUNGER = "SELECT EXISTS (SELECT FROM ONLY {} WHERE age(xmin) BETWEEN 0 AND age(%s::xid))"
TIMER, INTERVAL = datetime.timedelta(seconds=10.5), datetime.timedelta(seconds=1.1)
LONGEST = 15.0  # seconds to wait for sessions to report

# database -> oid of a table -> rows inserted, updated, deleted; None for a database that cannot be looked into
Activity = Mapping[str, Optional[Mapping[str, list[int]]]]


def read_activity(endpoint: Endpoint, application_name: str) -> dict[str, dict[str, list[int]] | None]:
    """Rows inserted, updated and deleted, as the statistics count them, by database and oid of the table.

    A database that does not let the login in, as a service's own one, has none: it must not keep the others from being frozen.
    """
    return {name: connection and {oid: list(counts) for oid, *counts in rows(connection, COUNTS)}
            for name, connection in _databases(endpoint, application_name)}


def unknown(fence: Mapping[str, Any]) -> list[str]:
    """Databases of which a fence has no statistics: who wrote there cannot be told, so no maintenance explains that it moved."""
    return sorted(name for name, counts in fence.get("activity", {}).items() if counts is None)


def grown(before: Activity, after: Activity) -> tuple[dict[str, list[str]], bool]:
    """Tables by database whose counts of insertions or updates differ; and whether a count of deletions does."""
    found: dict[str, list[str]] = {}
    deleted = False
    for database in sorted(before.keys() | after.keys()):
        old, new = before.get(database) or {}, after.get(database) or {}
        for oid in sorted(old.keys() | new.keys()):
            one, other = old.get(oid, [0, 0, 0]), new.get(oid, [0, 0, 0])
            if one != other:
                found.setdefault(database, []).append(oid)
                deleted = deleted or one[2] != other[2]
    return found, deleted


def maintenance_alone(endpoint: Endpoint, fence: Mapping[str, Any], application_name: str) -> bool:
    """Whether tables were analyzed or vacuumed since ``fence`` (of ``read_fence``), and nobody wrote a row.

    Statistics that are still to come are waited for; where a session may hold back for longer what it wrote, the answer
    is no.
    """
    if "activity" not in fence or unknown(fence) or not any(
            connection and rows(connection, MAINTAINED, (fence["clock"],))[0][0]
            for _name, connection in _databases(endpoint, application_name)):
        return False
    if _written(endpoint, fence, application_name):  # known at once: not worth a wait
        return False
    return _all_reported(endpoint, fence["clock"], application_name) and not _written(endpoint, fence, application_name)


def _all_reported(endpoint: Endpoint, since: str, application_name: str) -> bool:
    """Wait until every session that was active after ``since``, a time of the server, has reported what it wrote up to now."""
    until = time.monotonic() + LONGEST
    with contextlib.closing(connect(endpoint, None, application_name)) as connection:
        parameters = {"now": rows(connection, "SELECT clock_timestamp()::text")[0][0], "fence": since, "timer": TIMER, "interval": INTERVAL}
        while rows(connection, HOLDING_BACK, parameters)[0][0]:
            if connection.server_version < 150000 or time.monotonic() > until:
                return False
            time.sleep(0.2)
    time.sleep(1.0)  # a session that has just ended reports before it is gone, but no view shows that it has
    return True


def _written(endpoint: Endpoint, fence: Mapping[str, Any], application_name: str) -> bool:
    now = read_activity(endpoint, application_name)
    suspects, deleted = grown(fence["activity"], now)
    return deleted or None in now.values() or any(
        connection is None or _written_since(connection, oid, fence["value"])
        for name, connection in _databases(endpoint, application_name) for oid in suspects.get(name, []))


def _written_since(connection: Any, oid: str, value: str) -> bool:
    table = rows(connection, NAME, (oid,))[0][0]
    # A table that is gone was dropped, and one is named by its bare oid when the catalog no longer knows it.
    return not table or table.isdigit() or rows(connection, YOUNGER.format(table), (str(int(value) % 2**32),))[0][0]


def _databases(endpoint: Endpoint, application_name: str) -> Iterator[tuple[str, Any]]:
    with transaction(endpoint, None, None, application_name) as connection:
        names = [row[0] for row in rows(connection, "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template0'")]
    for name in sorted(names):
        try:
            with transaction(endpoint, name, None, application_name) as connection:
                yield name, connection
        except MigrationError as error:
            if "kind" not in error.facts:  # it let us in
                raise
            yield name, None
