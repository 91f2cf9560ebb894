# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore makes what is missing, refuses what would overwrite, and names what it leaves."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.remove import locate
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_check import old_tools
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_plan import plan_restore

MANIFEST = {
    "server": {"login": {"name": "reader"}},
    "capture": {
        "databases": {"crm": {"owner": "crm", "acl": [["crm", "CONNECT", "crm"]], "objects": {"TABLE": {"app.t": {"owner": "crm"}}}}}
    },
    "databases": {name: {"directory": f"databases/{name}", "entries": 4} for name in ("crm", "shop")},
    "tables": {"crm": {"app.t": {"bytes": 5}}, "shop": {}},
}
SOURCE = {
    "roles": [{"name": "crm"}, {"name": "readers"}],
    "databases": [],
    "settings": [{"database": None, "role": None, "settings": ["work_mem=1MB"]}],
    "memberships": [{"role": "readers", "member": "crm"}, {"role": "crm", "member": "postgres"}],
}
EMPTY = {"roles": [{"name": "postgres"}], "databases": []}


def plan(target=None, objects=None, **options):
    return plan_restore(
        MANIFEST, SOURCE, target or EMPTY, objects or {}, **dict({"wanted": None, "rename": {}, "roles": "restore"}, **options)
    )


def test_everything_is_made_on_an_empty_target():
    made = plan()
    assert [(one.source, one.name, one.bytes, one.aside) for one in made.databases] == [
        ("crm", "crm", 5, False),
        ("shop", "shop", 0, False),
    ]
    assert [role["name"] for role in made.roles] == ["crm", "readers"]
    assert made.memberships == [SOURCE["memberships"][0]]
    assert made.left == ["membership of postgres in crm"]
    assert made.text().count("\n") == 4


def test_every_role_gets_what_the_target_has_nothing_of_and_the_target_keeps_its_own():
    source = {"settings": [["", "", ["work_mem=1MB", "jit=off", "session_preload_libraries=x"]], ["", "crm", ["jit=on"]]],
              "parameters": {"log_statement": [["public", "SET", "a"], ["crm", "ALTER SYSTEM", "a"]]}}
    target = {"settings": [["", "", ["jit=on"]]], "parameters": {"work_mem": [["public", "SET", "b"]]}}
    made = plan().beside(source, target, "restore")
    assert (made.everybody.settings, made.everybody.privileges) == (("work_mem=1MB",), (("log_statement", "SET"),))
    assert made.left[1:] == ["setting jit for every role: the target has its own",
                             "setting session_preload_libraries for every role: each server has its own libraries",
                             "privileges on parameter work_mem for every role: the target has its own"]
    assert "set work_mem for every role\ngrant SET on parameter log_statement to every role\n" in made.text()
    left = plan(roles="skip").beside(source, target, "skip")
    assert not left.everybody.settings and "setting work_mem for every role" in left.left
    assert "privileges on parameter log_statement for every role" in left.left


def test_all_objections_come_together():
    target = {"roles": [], "databases": [{"name": "crm"}, {"name": "shop"}]}
    with pytest.raises(MigrationError) as caught:
        plan(target, {"crm": 3}, wanted=["crm", "shop", "gone"], roles="require")
    assert len(caught.value.facts["findings"]) == 5
    for part in (
        "holds no database gone",
        "crm exists on the target and holds 3",
        "shop exists on the target and cannot",
        "role readers does not exist",
    ):
        assert part in caught.value.message


def test_an_empty_namesake_steps_aside():
    made = plan({"roles": [], "databases": [{"name": "crm"}]}, {"crm": 0}, wanted=["crm"])
    assert [one.aside for one in made.databases] == [True]


def test_new_names_must_differ():
    with pytest.raises(MigrationError, match="two databases would be named shop"):
        plan(rename={"crm": "shop"})
    with pytest.raises(MigrationError, match="holds no database typo"):
        plan(rename={"typo": "x"})


def test_existing_roles_are_named_and_left():
    made = plan({"roles": [{"name": "crm"}], "databases": []})
    assert made.existing_roles == ["crm"] and [role["name"] for role in made.roles] == ["readers"]
    assert made.memberships == []
    assert plan(roles="skip").roles == []


def test_the_login_of_the_move_stays_behind_unless_something_is_its_own():
    source = dict(SOURCE, roles=[*SOURCE["roles"], {"name": "reader"}])
    options = {"wanted": None, "rename": {}, "roles": "restore"}
    made = plan_restore(MANIFEST, source, EMPTY, {}, **options)
    assert "reader" not in [role["name"] for role in made.roles]
    assert "role reader, with which the source was read" in made.left
    for own in ({"objects": {"TABLE": {"app.t": {"owner": "reader"}}}}, {"acl": [["reader", "CONNECT", "crm"]]}):
        owning = {"databases": {"crm": {"owner": "crm", **own}}}
        made = plan_restore(dict(MANIFEST, capture=owning), source, EMPTY, {}, **options)
        assert "reader" in [role["name"] for role in made.roles]


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"identity": 7, "name": "crm", "working_name": "dihya-1"}, "crm"),
        ({"identity": 8, "name": "crm", "working_name": "dihya-1"}, None),  # somebody else's database of the same name
        ({"identity": None, "name": "crm", "working_name": "dihya-1"}, None),
        ({"identity": None, "name": "crm", "working_name": "dihya-2"}, "dihya-2"),
    ],
)
def test_only_what_we_made_is_found_for_removal(entry, found):
    assert locate(entry, {"crm": 7, "dihya-2": 9}) == found


@pytest.mark.parametrize(("pg_restore", "pg_dump", "against"), [
    ("18.1", "17.9", 0), ("17.0", "17.9", 0), ("16.9", "17.0", 1), ("15.2", "15.2", 1)])
def test_tools_older_than_those_of_the_backup_or_than_its_server_are_refused(pg_restore, pg_dump, against):
    made = {"tools": {"pg_dump": pg_dump}, "server": {"version_num": 160004}}
    assert len(old_tools(made, pg_restore)) == against
