# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tables the statistics make suspect of a write."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.activity import grown

BEFORE = {"crm": {"1": [5, 0, 0], "2": [1, 1, 1]}}


@pytest.mark.parametrize(("after", "tables", "deleted"), [
    (BEFORE, {}, False),
    ({"crm": {"1": [6, 0, 0], "2": [1, 1, 1]}}, {"crm": ["1"]}, False),
    ({"crm": {"1": [5, 0, 0], "2": [1, 1, 2]}}, {"crm": ["2"]}, True),
    ({"crm": {"2": [1, 1, 1]}}, {"crm": ["1"]}, False),
    ({**BEFORE, "closed": None}, {}, False),
    ({**BEFORE, "other": {"9": [0, 1, 0]}}, {"other": ["9"]}, False),
])
def test_a_table_whose_counts_differ_is_suspect_and_a_deletion_is_told(after, tables, deleted):
    assert grown(BEFORE, after) == (tables, deleted)
