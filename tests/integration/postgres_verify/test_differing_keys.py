# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows that differ are named by their keys, as many as can be read by people, and none is fetched without need."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.bisect import differing_keys
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import connect, pin_session

from tests.integration.postgres_verify.support import endpoint_of

ROWS = 9000
TABLE = """
CREATE TABLE t (a smallint, b int, v text, PRIMARY KEY (a, b)); INSERT INTO t SELECT n % 2, n, 'x' FROM generate_series(1, {0}) n;
CREATE TABLE named (id text PRIMARY KEY, v text); INSERT INTO named SELECT 'somebody ' || n, 'x' FROM generate_series(1, {0}) n
"""
CHANGES = {
    "UPDATE t SET v = 'y' WHERE b BETWEEN 4000 AND 4008": ("t", 9, "9 rows, keys 0, 4000 to 1, 4007"),
    "DELETE FROM t WHERE b IN (2, 8999)": ("t", 2, "2 rows, keys 0, 2 to 1, 8999"),
    "UPDATE t SET v = 'y' WHERE a = 1; INSERT INTO t VALUES (0, 9999, 'x')": ("t", 1000, "at least 1000 rows, keys 0, 9999 to 1, 1997"),
    "UPDATE named SET v = 'y'": ("named", 1000, "at least 1000 rows"),
    "UPDATE named SET v = 'y' WHERE id LIKE '%77'": ("named", 90, "90 rows"),  # the name of a person is in no message
}


@pytest.fixture(scope="module", name="sides")
def fixture_sides(postgres18, other18):
    """Two connections to databases that hold the same."""
    with contextlib.ExitStack() as stack:
        connections = []
        for server in (postgres18, other18):
            server.execute("CREATE DATABASE keyed")
            server.execute(TABLE.format(ROWS), "keyed")
            stack.callback(server.execute, "DROP DATABASE keyed WITH (FORCE)")
            connections.append(stack.enter_context(contextlib.closing(connect(endpoint_of(server), "keyed"))))
            pin_session(connections[-1])
        yield connections


@pytest.mark.parametrize("change", CHANGES)
def test_a_range_of_keys_is_named_and_cut_at_a_thousand(sides, change):
    source, target = sides
    table, count, said = CHANGES[change]
    with target.cursor() as cursor:
        cursor.execute("BEGIN; SET LOCAL search_path TO public; " + change)
        cursor.execute("SET LOCAL search_path TO ''")
        try:
            found = differing_keys(source, target, f"public.{table}")
        finally:
            cursor.execute("ROLLBACK")
    assert (len(found.keys), found.describe(), found.complete) == (count, said, not said.startswith("at least"))
