# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``haproxy_server`` on a real HAProxy in front of three servers. A whole release in turn: scenario backend."""

from __future__ import annotations

import threading

import pytest

from tests.support.proxies import Balancer, Load, Side, get

NAMES = ("app1", "app2", "app3")


@pytest.fixture(name="sides")
def fixture_sides():
    """Three applications by name."""
    started = {name: Side(name) for name in NAMES}
    yield started
    for side in started.values():
        side.stop()


@pytest.fixture(name="balancer")
def fixture_balancer(sides, tmp_path):
    """HAProxy, all three in rotation."""
    started = Balancer(tmp_path, {name: side.port for name, side in sides.items()})
    started.wait(*NAMES)
    yield started
    started.stop()


def served(balancer: Balancer) -> set[str]:
    """Who answers users."""
    return {get(balancer.port)[1].strip() for _ in range(24)}


def test_servers_leave_and_return_in_turn_without_a_failed_request(balancer, run_module):
    with Load(balancer.port, clients=4) as load:
        for name in NAMES:
            out = run_module("haproxy_server", state="drained", socket=balancer.socket, backend="api", server=name)
            assert out["changed"] and served(balancer) == {*NAMES} - {name}, out
            again = run_module("haproxy_server", state="drained", socket=balancer.socket, backend="api", server=name)
            assert not again["changed"]
            back = run_module("haproxy_server", state="ready", socket=balancer.socket, backend="api", server=name)
            assert back["changed"] and served(balancer) == {*NAMES}, back
    assert load.failed() == [] and len(load.answers) > 100


def test_a_request_under_way_is_answered_before_its_server_counts_as_drained(balancer, sides, run_module, eventually):
    for side in sides.values():
        side.gate.clear()
    answers: list = []
    asking = threading.Thread(target=lambda: answers.append(get(balancer.port, "/slow")))
    asking.start()
    assert eventually(lambda: any(side.asked.is_set() for side in sides.values()))
    seen = run_module("haproxy_server", socket=balancer.socket, backend="api")["servers"]
    (busy,) = [name for name, server in seen.items() if server["sessions"]]
    out = run_module("haproxy_server", state="drained", socket=balancer.socket, backend="api", server=busy, timeout=0.3)
    assert out["failed"] and answers == [], out
    threading.Timer(1, sides[busy].gate.set).start()
    assert run_module("haproxy_server", state="drained", socket=balancer.socket, backend="api", server=busy)["failed"] is False
    assert sides[busy].gate.is_set()
    asking.join()
    assert answers == [(200, f"{busy}\n")]


def test_what_would_keep_servers_from_being_replaced_in_turn_is_found_beforehand(balancer, run_module):
    looked = run_module("haproxy_server", socket=balancer.socket, backend="api", expected=list(NAMES))
    assert looked["findings"] == [] and not looked["changed"]
    missing = run_module("haproxy_server", socket=balancer.socket, backend="api", expected=["app1", "app9"])["findings"]
    assert len(missing) == 1 and "app9" in missing[0]["finding"] and missing[0]["remedy"], missing
    unreachable = run_module("haproxy_server", socket="/nowhere", backend="api", expected=list(NAMES))
    assert unreachable["failed"] and "level admin" in str(unreachable), unreachable
