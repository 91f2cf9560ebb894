# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a server of HAProxy may be drained, from what HAProxy says of its servers."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._proxy.runtime import Server, plan, read_servers

STAT = """# pxname,svname,qcur,qmax,scur,smax,status,type
public,FRONTEND,,,3,4,OPEN,0
api,app1,1,0,2,3,UP,2
api,app2,0,0,0,3,DRAIN,2
api,app3,0,0,0,0,no check,2
api,BACKEND,0,0,2,3,UP,1
other,app1,0,0,9,9,UP,2
"""


def test_servers_are_read_with_what_waits_for_them():
    servers = read_servers(STAT, "api")
    assert servers == [Server("app1", "UP", 3), Server("app2", "DRAIN", 0), Server("app3", "no check", 0)]
    assert [server.serves for server in servers] == [True, False, True] and read_servers(STAT, "none") == []


@pytest.mark.parametrize(("state", "name", "action"), [
    ("drained", "app1", "drain"), ("drained", "app2", "drain"),
    ("ready", "app1", "none"), ("ready", "app2", "ready"), ("ready", "app3", "none"),
])
def test_what_leads_to_a_state(state, name, action):
    assert plan(state, name, read_servers(STAT, "api"))[0] == action


def test_a_server_that_is_out_already_is_left_so():
    assert plan("drained", "a", [Server("a", "MAINT", 0), Server("b", "UP 1/2", 0)])[0] == "none"
    assert plan("drained", "a", [Server("a", "MAINT", 1), Server("b", "UP", 0)])[0] == "drain"


@pytest.mark.parametrize("others", [[], [Server("b", "DOWN", 0)], [Server("b", "MAINT (via x/y)", 0)], [Server("b", "DRAIN", 5)]])
def test_the_last_server_that_takes_sessions_is_never_taken_out(others):
    with pytest.raises(MigrationError, match="users would have nobody"):
        plan("drained", "a", [Server("a", "UP", 0), *others])


def test_an_unknown_server_is_refused():
    with pytest.raises(MigrationError, match="no server x"):
        plan("ready", "x", read_servers(STAT, "api"))
