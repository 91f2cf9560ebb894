# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SQL of the row digest, as the algorithm dihya-row-digest-2 fixes it: a change here needs a new name."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres import digest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import Column


@pytest.mark.parametrize(("form", "expected"), [
    ("int", 'coalesce(hashint4extended("v",3),13)'),
    ("text", 'coalesce(hashtextextended("v" COLLATE "C",3),13)'),
    ("cast", 'coalesce(hashtextextended("v"::text COLLATE "C",3),13)'),
    ("output", 'coalesce(hashtextextended(textin(bpcharout("v")) COLLATE "C",3),13)'),
    ("record", 'coalesce(hashtextextended(ROW("v")::text COLLATE "C",3),13)'),
])
def test_each_form_of_column_has_its_expression(form, expected):
    assert digest.column_hash(Column("v", form, output="bpcharout"), 3) == expected


def test_columns_count_in_the_order_of_their_names():
    sql = digest.table_sql('ONLY public."T"', [Column("b", "text"), Column("B", "int"), Column("a", "int")])
    assert sql == ('SELECT count(*), coalesce(sum(hashtextextended((coalesce(hashint4extended("B",1),11)'
                   ' # coalesce(hashint4extended("a",2),12) # coalesce(hashtextextended("b" COLLATE "C",3),13))::text'
                   ' COLLATE "C",99)),0)::text, NULL FROM ONLY public."T"')


def test_a_table_without_columns_still_counts_its_rows():
    assert "count(*)" in digest.table_sql("ONLY public.e", []) and "(0)::text" in digest.table_sql("ONLY public.e", [])


def test_generated_columns_are_read_once_and_kept_apart():
    sql = digest.table_sql("ONLY public.t", [Column("v", "int"), Column("g", "int", generated=True)])
    assert sql.count('"g"') == 1 and "(p)::text" in sql and "(p # g)::text" in sql and "OFFSET 0" in sql


def test_integers_need_no_conversion_between_encodings_but_texts_do():
    assert digest.column_hash(Column("v", "int"), 1, True) == digest.column_hash(Column("v", "int"), 1)
    assert f"encode(convert_to(\"v\",{digest.BYTES_OF}),'hex')" in digest.column_hash(Column("v", "text"), 1, True)


def test_names_are_quoted():
    assert digest.quote('a"b') == '"a""b"'


def test_ranges_are_disjoint_and_open_at_the_end():
    assert digest.ranges(10, 16) == [""]
    assert digest.ranges(0, 16) == [""]
    assert digest.ranges(33, 16) == ["WHERE ctid >= '(0,0)' AND ctid < '(16,0)'", "WHERE ctid >= '(16,0)' AND ctid < '(32,0)'",
                                     "WHERE ctid >= '(32,0)'"]


def test_the_name_of_the_algorithm_is_fixed():
    assert digest.ALGORITHM == "dihya-row-digest-2"
