# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who moved the transaction number of a frozen server: its maintenance alone, or somebody who wrote?

ANALYZE and VACUUM take transaction numbers too. What they write is told from rows of others by the statistics of each
table. Those come late: a session reports at its end, and since 15 at most ten seconds after it went idle, so a count may
grow by what was written *before* the fence. Therefore a table whose counts grew is searched for row versions that are
younger than the fence; only a deletion leaves none, so a growing count of deletions is never explained.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint

# Without what ANALYZE itself writes, and without TOAST, whose rows come and go with a row of their table.
COUNTS = """
SELECT relid::text, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_all_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname <> 'pg_toast'
  AND (schemaname <> 'pg_catalog' OR relname NOT IN ('pg_statistic', 'pg_statistic_ext_data'))
"""
MAINTAINED = """
SELECT count(*) FROM pg_stat_all_tables WHERE greatest(last_analyze, last_autoanalyze, last_vacuum, last_autovacuum) >= %s::timestamptz
"""
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND left(application_name, 6) <> 'dihya/' AND pid <> pg_backend_pid()
"""
NAME = "SELECT coalesce(%s::oid::regclass::text, '')"
# An age below zero is that of a row frozen more than 2^31 transactions ago.
YOUNGER = "SELECT EXISTS (SELECT FROM ONLY {} WHERE age(xmin) BETWEEN 0 AND age(%s::xid))"
FLUSHED = 11.0  # seconds after which an idle session of 15 and later has reported what it wrote

Activity = Mapping[str, Mapping[str, list[int]]]  # database -> oid of a table -> rows inserted, updated, deleted


def read_activity(endpoint: Endpoint, application_name: str) -> dict[str, dict[str, list[int]]]:
    """Rows inserted, updated and deleted, as the statistics count them, by database and oid of the table."""
    return {name: {oid: list(counts) for oid, *counts in rows(connection, COUNTS)} for name, connection in _databases(endpoint, application_name)}


def grown(before: Activity, after: Activity) -> tuple[dict[str, list[str]], bool]:
    """Tables by database whose counts of insertions or updates differ; and whether a count of deletions does."""
    found: dict[str, list[str]] = {}
    deleted = False
    for database in sorted(before.keys() | after.keys()):
        old, new = before.get(database, {}), after.get(database, {})
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
    if "activity" not in fence or not any(
            rows(connection, MAINTAINED, (fence["at"],))[0][0] for _name, connection in _databases(endpoint, application_name)):
        return False
    with transaction(endpoint, None, None, application_name) as connection:
        others, version = rows(connection, OTHERS)[0][0], connection.server_version
    if others and version < 150000:
        return False
    if _written(endpoint, fence, application_name):  # known at once: not worth a wait
        return False
    time.sleep(FLUSHED if others else 1.0)
    return not _written(endpoint, fence, application_name)


def _written(endpoint: Endpoint, fence: Mapping[str, Any], application_name: str) -> bool:
    suspects, deleted = grown(fence["activity"], read_activity(endpoint, application_name))
    return deleted or any(_written_since(connection, oid, fence["value"])
                          for name, connection in _databases(endpoint, application_name) for oid in suspects.get(name, []))


def _written_since(connection: Any, oid: str, value: str) -> bool:
    table = rows(connection, NAME, (oid,))[0][0]
    # A table that is gone was dropped, and one is named by its bare oid when the catalog no longer knows it.
    return not table or table.isdigit() or rows(connection, YOUNGER.format(table), (str(int(value) % 2**32),))[0][0]


def _databases(endpoint: Endpoint, application_name: str) -> Iterator[tuple[str, Any]]:
    with transaction(endpoint, None, None, application_name) as connection:
        names = [row[0] for row in rows(connection, "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template0'")]
    for name in sorted(names):
        with transaction(endpoint, name, None, application_name) as connection:
            yield name, connection
