# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statistics gathered by several sessions are those that one ANALYZE gathers."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.statistics import analyze

OBJECTS = """
CREATE SCHEMA "o'dd n% s";
CREATE TABLE "o'dd n% s".t AS SELECT n, n % 7 AS m FROM generate_series(1, 5000) n;
CREATE STATISTICS both_columns ON n, m FROM "o'dd n% s".t;
CREATE TABLE empty (a int);
CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); INSERT INTO child SELECT generate_series(1, 300);
CREATE TABLE parted (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000) PARTITION BY LIST (v);
CREATE TABLE parted_1_a PARTITION OF parted_1 FOR VALUES IN ('a');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1000) TO (2000);
INSERT INTO parted SELECT n, 'a' FROM generate_series(0, 1999) n;
CREATE MATERIALIZED VIEW seen AS SELECT * FROM parted;
"""
GATHERED = """
SELECT n.nspname || '.' || c.relname || ' ' || s.attname || ' ' || s.inherited FROM pg_stats s
JOIN pg_namespace n ON n.nspname = s.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') UNION ALL
SELECT statistics_name || ' ' || (n_distinct IS NOT NULL) FROM pg_stats_ext UNION ALL
SELECT relname || ' ' || (reltuples >= 0) FROM pg_class WHERE relkind IN ('r', 'm', 'p')
"""


@pytest.mark.parametrize("jobs", [1, 3, 20])
def test_every_table_partition_and_view_has_the_statistics_of_one_analyze(new, database, jobs):
    ours, bare = database(new), database(new)
    for name in (ours, bare):
        for statement in filter(str.strip, OBJECTS.split(";")):
            new.execute(statement, name)
    before = new.execute(GATHERED, ours)
    analyze(Endpoint.from_options(new.endpoint), ours, "statistics", jobs, "dihya/test")
    new.execute("ANALYZE", bare)
    gathered = sorted(new.execute(GATHERED, ours))
    assert gathered == sorted(new.execute(GATHERED, bare)) and gathered != sorted(before) and len(gathered) > 20


def test_a_database_that_cannot_be_reached_is_an_error(new):
    with pytest.raises(MigrationError, match="no_such_database"):
        analyze(Endpoint.from_options(new.endpoint), "no_such_database", "statistics", 2, "dihya/test")
