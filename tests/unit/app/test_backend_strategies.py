# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role backend refuses of a strategy before anything changes, and how the files of two colours are told apart."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._proxy import table

from tests.support.backend_role import ask, role

BLUE_GREEN = {
    "backend_strategy": "blue_green", "backend_colour": "green", "backend_port": 8002, "backend_live_port": 8001, "backend_proxy": "nginx",
    "backend_proxy_file": "/etc/nginx/side", "backend_proxy_probes": [{"url": "https://shop/", "contains": "2.0"}],
    "migration_stacks": ["backend"],
}


def refused(**given) -> set[str]:
    rows = ask(role(**given), "__backend_unready")
    assert all(row["blocking"] and row["remedy"] and row["finding"] for row in rows)
    return {row["subject"] for row in rows}


def test_a_complete_blue_green_is_accepted():
    assert refused(**BLUE_GREEN) == set()


@pytest.mark.parametrize(("wrong", "subject"), [
    ({"migration_stacks": ["postgresql", "backend"]}, "backend_strategy"),
    ({"backend_colour": ""}, "backend_colour"),
    ({"backend_live_colour": "green"}, "backend_live_colour"),
    ({"backend_live_port": 0}, "backend_live_port"),
    ({"backend_live_port": 8002}, "backend_live_port"),
    ({"backend_proxy": ""}, "backend_proxy"),
    ({"backend_proxy_file": ""}, "backend_proxy_file"),
    ({"backend_proxy_probes": []}, "backend_proxy_probes"),
])
def test_each_thing_that_blue_green_lacks_is_named(wrong, subject):
    assert refused(**{**BLUE_GREEN, **wrong}) == {subject}


def test_all_that_is_wrong_is_said_at_once():
    assert refused(backend_strategy="blue_green", migration_stacks=["postgresql", "backend"], backend_live_colour="plain") == {
        "backend_strategy", "backend_colour", "backend_live_port", "backend_proxy", "backend_proxy_file", "backend_proxy_probes"}


def test_the_colours_share_no_process_unit_or_secret():
    names = ("__backend_record_file", "__backend_env_file", "__backend_unit")
    green, blue = ([ask(role(**{**BLUE_GREEN, "backend_colour": colour}), name) for name in names] for colour in ("green", "blue"))
    plain = [ask(role(), name) for name in names]
    assert len({*green, *blue, *plain}) == 9
    templar = role(**BLUE_GREEN)
    assert ask(templar, "__backend_live_record_file") == blue[0] and ask(templar, "__backend_live_health_url") == "http://127.0.0.1:8001/health"
    assert ask(role(**BLUE_GREEN, backend_live_colour="plain"), "__backend_live_record_file") == plain[0]


def test_the_way_back_asks_only_that_users_are_answered():
    probes = [{"url": "https://shop/", "contains": "2.0", "header": "X: y"}, {"url": "https://shop/api", "status": [200, 204]}]
    # 404 too: the release of before may not have what only the new one answers.
    assert ask(role(**{**BLUE_GREEN, "backend_proxy_probes": probes}), "__backend_live_probes") == [
        {"url": url, "status": list(range(200, 500))} for url in ("https://shop/", "https://shop/api")]


@pytest.mark.parametrize("proxy", sorted(table.PROXIES))
def test_what_the_file_says_is_read_back_and_nothing_else_is_taken_for_it(proxy):
    sides = ["blue", "green"]
    for side in sides:
        written = table.content(proxy, "public_side", side)
        assert side.encode() in written and table.side_of(proxy, "public_side", sides, written) == side
    for other in (None, b"", table.content(proxy, "public_side", "red"), table.content(proxy, "public_side", "blue") + b"x"):
        assert table.side_of(proxy, "public_side", sides, other) == ""


@pytest.mark.parametrize("wrong", [
    {"sides": ["blue"]}, {"sides": ["blue", "blue"]}, {"sides": ["blue", "green; evil"]}, {"name": "a b"}, {"side": "red"},
    {"proxy": "caddy", "addresses": {"blue": ["127.0.0.1:1"]}},
])
def test_a_request_that_cannot_be_meant_is_refused(wrong):
    right = {"proxy": "nginx", "sides": ["blue", "green"], "side": "green", "name": "public_side", "addresses": {}}
    table.check_request(right)
    with pytest.raises(MigrationError):
        table.check_request({**right, **wrong})


ROLLING = {
    "backend_strategy": "rolling", "migration_site": "mover", "inventory_hostname": "m", "migration_stacks": ["backend"],
    "backend_balancer_pool": "api", "groups": {"backend": ["a", "b"], "target": ["a", "b"], "source": ["old"], "mover": ["m"]},
}


def test_a_complete_rolling_is_accepted_and_the_mover_takes_part_in_it():
    assert refused(**ROLLING) == set()
    assert "migrate" not in ask(role(**ROLLING, migration_transport="local"), "__backend_idle")
    assert "migrate" in ask(role(**{**ROLLING, "backend_strategy": "offline"}, migration_transport="local"), "__backend_idle")


@pytest.mark.parametrize(("wrong", "subject"), [
    ({"migration_stacks": ["mongodb", "backend"]}, "backend_strategy"),
    ({"groups": {"backend": ["a"], "target": ["a"], "source": [], "mover": ["m"]}}, "backend"),
    ({"backend_balancer": "old"}, "backend_balancer"),
    ({"backend_balancer_pool": ""}, "backend_balancer_pool"),
])
def test_each_thing_that_rolling_lacks_is_named(wrong, subject):
    assert refused(**{**ROLLING, **wrong}) == {subject}
