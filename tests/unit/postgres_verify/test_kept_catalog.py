# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sequence that was used while its backup was made may have any value on its way, and no other."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.kept_catalog import comparable, settle, whole


def kept(increment, before, used):
    entry = {"increment": increment, "last_value": before[0], "is_called": before[1]}
    return {"objects": {"sequence": {"s": entry, "still": entry}, "table": {}}, "own": "pg_default", "used": used}


@pytest.mark.parametrize(("increment", "before", "later", "value", "settled"), [
    (1, (1, False), [1, True], (1, False), True),
    (1, (1, False), [1, True], (1, True), True),
    (1, (5, True), [9, True], (7, True), True),
    (1, (5, True), [9, True], (4, True), False),
    (1, (5, True), [9, True], (10, True), False),
    (1, (5, True), [9, True], (5, False), False),
    (-2, (5, True), [1, True], (3, True), True),
    (-2, (5, True), [1, True], (7, True), False),
    (1, (90, True), [3, True], (99, True), True),  # it began again, or was set back: nothing bounds it
    (1, (5, True), None, (1, True), True),
])
def test_a_sequence_in_use_takes_the_value_of_the_target_only_where_it_may_have_had_it(increment, before, later, value, settled):
    one = kept(increment, before, {"s": later})
    found = {"last_value": value[0], "is_called": value[1]}
    known, used = settle(one, {"sequence": {"s": found, "still": found}})
    assert used == (["s"] if settled else [])
    assert known["sequence"]["s"] == dict(one["objects"]["sequence"]["s"], **(found if settled else {}))
    assert known["sequence"]["still"] == one["objects"]["sequence"]["still"]
    assert settle(one, {"sequence": {}})[1] == []


def test_catalogs_of_another_reader_are_not_compared():
    content = whole({"crm": kept(1, (1, True), {})})
    assert list(comparable(content)) == ["crm"]
    assert comparable(dict(content, format=0)) == {}
