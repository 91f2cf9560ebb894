# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every host of every stack is either busy or has a reason on record: none is forgotten, none appears twice."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.filter.divide_work import divide_work

GROUPS = {"web": ["old", "new"], "source": ["old"]}
HOSTS = {
    "mover": {"migration_nothing_to_do": {"web": {"freeze": "no writes"}, "traffic": {"freeze": "later"}}},
    "old": {"migration_nothing_to_do": {"web": {"freeze": "no writes", "verify": "the mover asks"}}},
    "new": {},
}


def test_a_host_with_a_reason_is_left_out_and_the_reason_is_kept():
    work = divide_work(["pg", "web", "traffic"], "freeze", ["mover"], GROUPS, HOSTS)
    assert work["busy"] == {"pg": ["mover"], "web": ["new"]}
    assert [(one["stack"], one["host"], one["facts"]["not_applicable"]) for one in work["idle"]] == [
        ("web", "mover", "no writes"), ("web", "old", "no writes"), ("traffic", "mover", "later")]


def test_without_a_word_from_the_roles_everybody_is_busy_in_the_order_of_the_stacks():
    work = divide_work(["web", "pg"], "migrate", ["mover"], GROUPS, {name: {} for name in HOSTS})
    assert list(work["busy"].items()) == [("web", ["mover", "old", "new"]), ("pg", ["mover"])] and not work["idle"]


def test_a_mover_that_is_in_the_group_of_a_stack_works_once():
    assert divide_work(["web"], "migrate", ["old"], GROUPS, HOSTS)["busy"] == {"web": ["old", "new"]}
