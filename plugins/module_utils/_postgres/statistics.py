# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The planner's statistics of a restored database: users wait for them, so all sessions that are allowed gather them at once."""

from __future__ import annotations

import concurrent.futures
import contextlib

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, connect
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_roles import execute

# What ANALYZE without a name takes, the largest first; a partitioned table brings its partitions with it.
TABLES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
ORDER BY CASE c.relkind
    WHEN 'p' THEN (SELECT pg_catalog.sum(pg_catalog.pg_relation_size(relid)) FROM pg_catalog.pg_partition_tree(c.oid))
    ELSE pg_catalog.pg_relation_size(c.oid) END DESC NULLS LAST
"""


def analyze(endpoint: Endpoint, database: str, subject: str, jobs: int, application_name: str) -> None:
    """Run ANALYZE for every table of ``database``, ``jobs`` at a time; raises :class:`MigrationError` naming ``subject``."""
    with contextlib.closing(connect(endpoint, database, application_name)) as connection:
        names = [name for (name,) in rows(connection, TABLES)]
    shares = [names[number::jobs] for number in range(min(jobs, len(names)))]

    def work(share: list[str]) -> None:
        with contextlib.closing(connect(endpoint, database, application_name)) as connection:
            execute(connection, [f"ANALYZE {name}" for name in share], subject)

    with concurrent.futures.ThreadPoolExecutor(max(1, len(shares))) as pool:
        for done in [pool.submit(work, share) for share in shares]:
            done.result()
