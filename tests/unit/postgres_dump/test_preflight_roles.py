# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a proof would refuse of roles that the target has already is known before anything changes, and nothing else is refused."""

from __future__ import annotations

import copy

from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_roles import everybody, existing_roles

ROLE = {"superuser": False, "bootstrap": False, "login": True, "password": "scram:1"}
SOURCE = {
    "server_version": 160000, "administrator": "postgres", "memberships": [["readers", "crm", False, True, True]],
    "settings": [["", "crm", ["search_path=app"]], ["shop", "crm", ["work_mem=1MB"]]],
    "parameters": {"work_mem": [["crm", "SET", "postgres"]]}, "databases": {"shop": {"owner": "crm", "acl": [], "objects": {}}},
    "roles": {"postgres": dict(ROLE, superuser=True, bootstrap=True), "crm": dict(ROLE), "readers": dict(ROLE), "watch": dict(ROLE)},
}
EMPTY = dict(SOURCE, memberships=[], settings=[], parameters={}, databases={},
             roles={"postgres": dict(ROLE, superuser=True, bootstrap=True, password="scram:9"), "other": dict(ROLE)})


def found(target, **logins):
    return [(one["finding"].partition(": ")[2], one["remedy"], one["blocking"]) for one in existing_roles(
        {"managed": {"roles": {"source": SOURCE, "target": target}, "logins": logins}})]


def test_roles_that_the_restore_makes_and_the_administrator_are_no_finding():
    assert found(EMPTY) == [] == found(dict(EMPTY, settings=[["", "", ["jit=off"]]]))
    assert list(existing_roles({"managed": None})) == list(existing_roles({})) == []


def test_what_the_target_gives_to_every_role_is_told_and_does_not_block():
    roles = {"source": SOURCE, "target": dict(EMPTY, settings=[["", "", ["jit=off"]]])}
    assert [(one["finding"], one["blocking"]) for one in everybody({"managed": {"roles": roles}})] == [
        ("not carried: setting jit for every role: the target has its own", False)]


def test_all_that_differs_of_a_role_is_one_finding_that_blocks():
    ((text, remedy, blocks),) = found(dict(EMPTY, roles={**EMPTY["roles"], "crm": dict(ROLE, login=False)}))
    assert text == ("role crm differs in login; membership of crm in readers is missing on the target; settings of role crm differs in "
                    "search_path; parameter work_mem differs in privileges of role crm")
    assert blocks and "drop it there: the restore makes it" in remedy


def test_the_remedy_fits_the_role():
    target = copy.deepcopy(EMPTY)
    target["roles"]["watch"] = dict(ROLE, password="scram:2")
    assert found(target)[0][1].startswith("name its password in postgresql_roles")
    assert found(target, watch=["no"])[0][1].startswith("correct its password in postgresql_roles")
    assert found(target, watch=[]) == []
    target["roles"]["watch"] = dict(ROLE, login=False)
    assert "postgresql_service_roles" in found(target)[0][1]  # nothing that moves belongs to it
