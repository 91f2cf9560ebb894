# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``proxy_switch`` on real nginx, HAProxy and Caddy, under load."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from tests.support.needs import require_root
from tests.support.proxies import Load, Proxy, Side

ALL = ("nginx", "haproxy", "caddy")


@pytest.fixture(scope="module")
def sides():
    """The two applications."""
    blue, green = Side("blue"), Side("green")
    yield blue, green
    blue.stop()
    green.stop()


@pytest.fixture(params=ALL)
def proxy(request, tmp_path, sides):
    """Each of the three, blue public."""
    started = Proxy(request.param, tmp_path / "proxy", *(side.port for side in sides))
    yield started
    started.stop()


def probes(proxy: Proxy, text: str) -> list[dict]:
    return [{"url": f"{proxy.url}/", "contains": text}]


def test_a_switch_and_its_way_back_lose_no_request_and_are_in_force_when_the_module_returns(proxy, run_module):
    with Load(proxy.port, clients=4) as load:
        for side in ("green", "blue", "green"):
            result = run_module("proxy_switch", side=side, probes=probes(proxy, side), **proxy.options)
            assert result["changed"] and result["side"] == side and result["drained"], result
            assert [proxy.get()[1] for _ in range(8)] == [f"{side}\n"] * 8
            assert result["switch_duration"] > 0
    assert load.failed() == [] and len(load.answers) > 100
    assert {body for _when, _status, body in load.answers} == {"blue\n", "green\n"}
    again = run_module("proxy_switch", side="green", probes=probes(proxy, "green"), **proxy.options)
    assert not again["changed"] and again["msg"] == "green is public already", again


@pytest.fixture
def under_way(proxy, sides):
    """A request that the blue side has and does not answer before its gate is open."""
    answers: list = []
    sides[0].gate.clear()
    sides[0].asked.clear()
    asking = threading.Thread(target=lambda: answers.append(proxy.get("/slow")))
    asking.start()
    assert sides[0].asked.wait(20)
    yield sides[0].gate, asking, answers
    sides[0].gate.set()
    asking.join()


def test_a_request_under_way_is_answered_by_the_side_that_has_it_before_the_module_returns(proxy, run_module, under_way):
    gate, asking, answers = under_way
    threading.Timer(4, gate.set).start()
    result = run_module("proxy_switch", side="green", probes=probes(proxy, "green"), **proxy.options)
    assert gate.is_set() and result["drained"]
    asking.join()
    assert answers == [(200, "blue\n")]


def test_a_request_that_outlasts_the_wait_is_said_and_not_cut_off(proxy, run_module, under_way):
    gate, asking, answers = under_way
    result = run_module("proxy_switch", side="green", probes=probes(proxy, "green"), drain_timeout=0.3, **proxy.options)
    assert not result["drained"] and result["left"] == 1 and "still under way" in result["msg"]
    gate.set()
    asking.join()
    assert answers == [(200, "blue\n")]


def test_a_side_that_answers_wrongly_is_left_at_once(proxy, run_module):
    with Load(proxy.port, clients=4) as load:
        result = run_module("proxy_switch", side="green", probes=probes(proxy, "what it never says"), timeout=0.3, **proxy.options)
    assert result["failed"] and result["switched_back"] and result["side"] == "blue" and "blue is public again" in result["msg"]
    assert load.failed() == [] and [proxy.get()[1] for _ in range(8)] == ["blue\n"] * 8
    kept = run_module("proxy_switch", side="green", probes=probes(proxy, "never"), timeout=0.3, switch_back=False, **proxy.options)
    assert kept["failed"] and "switched_back" not in kept and proxy.get()[1] == "green\n"


def test_the_file_stays_the_proxys_own(proxy, run_module):
    require_root()
    os.chown(proxy.options["file"], 65534, 1)
    os.chmod(proxy.options["file"], 0o640)
    for side in ("green", "blue"):
        run_module("proxy_switch", side=side, probes=probes(proxy, side), **proxy.options)
        status = os.stat(proxy.options["file"])
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 1, 0o640)


def test_a_proxy_that_never_read_the_file_reads_it_when_the_switch_runs_again(proxy, run_module):
    proxy.side.write_text(proxy.side.read_text().replace("blue", "green"))  # killed between file and reload
    result = run_module("proxy_switch", side="green", probes=probes(proxy, "green"), **proxy.options)
    assert not result["failed"] and proxy.get()[1] == "green\n"
    assert result["changed"] == (proxy.kind != "caddy")


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"], indirect=True)
def test_a_configuration_that_is_refused_moves_no_traffic(proxy, run_module):
    proxy.config.write_text(proxy.config.read_text() + "\nnonsense\n")
    before = proxy.side.read_text()
    result = run_module("proxy_switch", side="green", probes=probes(proxy, "green"), **proxy.options)
    assert result["failed"] and "refuses its configuration" in result["msg"] and proxy.side.read_text() == before
    assert proxy.get()[1] == "blue\n"


def test_check_mode_and_observing_write_nothing(proxy, run_module):
    before = proxy.side.read_text(), proxy.side.stat().st_ino
    planned = run_module("proxy_switch", True, side="green", **proxy.options)
    observed = run_module("proxy_switch", state="observed", **proxy.options)
    assert planned["changed"] and "green is public instead of blue" in planned["msg"]
    assert not observed["changed"] and observed["side"] == "blue" and observed["findings"] == []
    assert before == (proxy.side.read_text(), proxy.side.stat().st_ino)


def test_everything_that_would_keep_it_from_switching_is_found_at_once(proxy, run_module, tmp_path):
    other = {**proxy.options, "file": str(tmp_path / "nowhere"), "pid_file": "/nowhere.pid", "subjects": {"file": "backend_proxy_file"}}
    if proxy.kind == "caddy":
        other["addresses"] = {"blue": ["127.0.0.1:1"], "green": ["127.0.0.1:2"]}
    found = run_module("proxy_switch", state="observed", **other)["findings"]
    wanted = ["backend_proxy_file", "addresses"] if proxy.kind == "caddy" else ["backend_proxy_file", "backend_proxy_file", "pid_file"]
    assert [row["subject"] for row in found] == wanted
    assert all(row["remedy"] and row["blocking"] for row in found)
    assert "says of neither side" in found[0]["finding"] and "write one line into it" in found[0]["remedy"]
    result = run_module("proxy_switch", side="green", **other)
    assert result["failed"] and proxy.get()[1] == "blue\n"
