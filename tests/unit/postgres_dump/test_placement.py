# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where relations lie on the target follows from where they lay, and from nothing else."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import (
    moves,
    nothing_placed,
    place,
    placed_catalog,
    without_counterpart,
)

PLACES = {"fast": "quick", "slow": "vast"}


@pytest.mark.parametrize(("name", "own", "there"), [
    (None, "pg_default", None),  # where the database is
    (None, "slow", None),
    ("fast", "pg_default", "quick"),
    ("fast", "slow", "quick"),
    ("slow", "slow", None),
    ("gone", "pg_default", None),
    ("gone", "slow", "pg_default"),
    ("pg_default", "slow", "pg_default"),
    ("pg_default", "gone", None),  # the database itself is in the default one
])
def test_what_has_no_counterpart_lies_in_the_default_one(name, own, there):
    assert place(name, own, PLACES) == there


def test_two_may_become_one():
    assert place("fast", "slow", {"fast": "one", "slow": "one"}) is None


def test_tables_move_before_indexes_and_nothing_moves_without_need():
    placed = {"own": "pg_default", "relations": [["TABLE", 'app."T"', "fast"], ["INDEX", "app.i", "fast"], ["TABLE", "app.g", "gone"]]}
    assert moves(placed, {"fast": 'a"b'}) == (['ALTER TABLE IF EXISTS app."T" SET TABLESPACE "a""b"'],
                                              ['ALTER INDEX IF EXISTS app.i SET TABLESPACE "a""b"'])
    assert without_counterpart(placed, PLACES) == ["gone"]
    assert moves(nothing_placed(), PLACES) == ([], []) and without_counterpart(nothing_placed(), PLACES) == []


def test_the_catalog_of_the_source_is_compared_as_it_is_to_be():
    catalog = {"table": {"a": {"tablespace": "fast", "kind": "r"}, "b": {"tablespace": None}}, "view": {"v": {"of": "v"}}}
    assert placed_catalog(catalog, "pg_default", PLACES) == {
        "table": {"a": {"tablespace": "quick", "kind": "r"}, "b": {"tablespace": None}}, "view": {"v": {"of": "v"}}}
