# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of failure modes of PostgreSQL names tests that exist, and says where there is none."""

from __future__ import annotations

import pathlib
import re

TESTS = pathlib.Path(__file__).parents[2]
TABLE = (TESTS.parent / "docs" / "postgresql.md").read_text(encoding="utf-8").partition("## How moves fail")[2]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if re.match(r"\| (\d+|§\d) ", line)]
OF_MONGODB = {15, 16, 17, 18, 19}
WITHOUT = ("not applicable: ", "none yet: ")


def test_every_failure_mode_is_there_once():
    numbers = [int(row[0]) for row in ROWS if row[0].isdigit()]
    assert numbers == [number for number in range(1, 28) if number not in OF_MONGODB]
    assert all(len(row) == 4 for row in ROWS)


def test_each_has_tests_that_exist_or_says_why_there_is_none():
    for number, _mode, here, tests in ROWS:
        assert bool(tests) != here.startswith(WITHOUT), f"row {number} needs a test, or a reason for none"
        for reference in filter(None, tests.split(", ")):
            path, _colons, name = reference.partition("::")
            text = (TESTS / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", text, re.M), f"row {number}: there is no {reference}"


def test_each_of_the_tests_made_for_it_is_in_the_table():
    made = (TESTS / "integration" / "postgres_dump" / "test_failure_modes.py").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"^def (test_\w+)", made, re.M) if name not in TABLE] == []
