# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A role has to log in to the databases into which the source let it, and into no others."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.login import admitting

NAMES = ("app", "clerk", "owner", "boss", "readers", "inner")
BEFORE_16 = [["readers", "clerk", False], ["inner", "readers", False], ["owner", "app", False]]


def taken(acl, memberships=BEFORE_16, **inherit):
    roles = {name: {"superuser": name == "boss", "inherit": inherit.get(name, True)} for name in NAMES}
    return {"roles": roles, "memberships": memberships, "databases": {"crm": {"owner": "owner", "acl": acl}}}


@pytest.mark.parametrize(("acl", "role", "found"), [
    ([["public", "CONNECT,TEMPORARY", "owner"]], "clerk", True),
    ([["public", "TEMPORARY", "owner"], ["owner", "CONNECT,CREATE", "owner"]], "clerk", False),
    ([["clerk", "CONNECT*", "owner"]], "clerk", True),
    ([["clerk", "CREATE", "owner"]], "clerk", False),
    ([["readers", "CONNECT", "owner"]], "clerk", True),
    ([["inner", "CONNECT", "owner"]], "clerk", True),
    ([["clerk", "CONNECT", "owner"]], "readers", False),
    ([["pg_database_owner", "CONNECT", "owner"]], "app", True),
    ([["pg_database_owner", "CONNECT", "owner"]], "clerk", False),
    ([], "owner", False),
    ([], "boss", True),
    ([], "nobody of the source", True),
])
def test_privileges_memberships_and_superusers_decide(acl, role, found):
    assert admitting(taken(acl), role, ["crm"], {}) == (["crm"] if found else [])
    assert admitting(taken(acl), role, ["never captured"], {}) == ["never captured"]


def test_a_membership_that_inherits_nothing_gives_nothing():
    acl = [["inner", "CONNECT", "owner"]]
    assert admitting(taken(acl, clerk=False), "clerk", ["crm"], {}) == admitting(taken(acl, readers=False), "clerk", ["crm"], {}) == []
    since = [["readers", "clerk", False, True, True], ["inner", "readers", False, False, True]]
    assert admitting(taken(acl, since), "clerk", ["crm"], {}) == []
    since[1][3] = True
    assert admitting(taken(acl, since, readers=False), "clerk", ["crm"], {}) == ["crm"]


def test_a_role_in_the_place_of_another_has_the_rights_of_both():
    assert admitting(taken([["inner", "CONNECT", "owner"]]), "shop", ["crm"], {"inner": "shop"}) == ["crm"]
    assert admitting(taken([["inner", "CONNECT", "owner"]]), "app", ["crm"], {"clerk": "app"}) == ["crm"]
