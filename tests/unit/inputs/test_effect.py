# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A variable that somebody set and that does nothing is named with what would give it effect."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.action.preflight_inputs import options_of
from ansible_collections.dihya.migration.plugins.plugin_utils import effect


def found(role: str, **given) -> list[tuple[str, str, str]]:
    return [(row["subject"], row["finding"], row["remedy"]) for row in effect.check_effect(options_of(role), given, "new")]


def test_every_variable_of_the_table_is_an_option_and_so_is_each_value_that_decides():
    for decider, values, names in effect.NEEDS:
        options = options_of(decider.partition("_")[0])
        assert {decider, *names} <= set(options) and len(set(map(type, values))) == 1
        assert isinstance(values[0], bool) or set(values) < set(options[decider]["choices"])
    assert all(set(alike) < set(options_of(name.partition("_")[0])[name]["choices"]) for name, alike in effect.AGREED.items())


@pytest.mark.parametrize(("role", "given", "finding", "remedy"), [
    ("backend", {"backend_colour": "blue"}, "backend_strategy is offline", "set backend_strategy to blue_green"),
    ("backend", {"backend_drain_timeout": 5.0}, "backend_strategy is offline", "set backend_strategy to blue_green or rolling"),
    ("backend", {"backend_balancer_pool": "api", "backend_strategy": "blue_green"}, "backend_strategy is blue_green",
     "set backend_strategy to rolling"),
    ("backend", {"backend_user": "shop"}, "backend_runtime is process", "set backend_runtime to systemd or container"),
    ("backend", {"backend_venv": "/v", "backend_runtime": "container"}, "backend_runtime is container",
     "set backend_runtime to process or systemd"),
    ("frontend", {"frontend_bucket_public": True}, "frontend_bucket is not set", "set frontend_bucket"),
    ("mobile", {"mobile_url": "https://x", "mobile_distribution": "play"}, "mobile_distribution is play",
     "set mobile_distribution to fdroid or files"),
    ("mobile", {"mobile_signing": {"alias": "key"}, "mobile_apk": "/a.apk"}, "mobile_apk is set", "leave out mobile_apk"),
])
def test_what_has_no_effect_is_named_with_what_would_give_it_one(role, given, finding, remedy):
    assert found(role, **given) == [(f"{next(iter(given))} (new)", f"has no effect while {finding}", f"remove it, or {remedy}")]


@pytest.mark.parametrize(("role", "given"), [
    ("backend", {"backend_strategy": "blue_green", "backend_colour": "blue", "backend_drain_timeout": 5.0}),
    ("backend", {"backend_proxy_name": "public_side", "backend_proxy_probes": [], "backend_colour": ""}),
    ("backend", {"backend_strategy": "Zq9", "backend_colour": "blue"}),  # found already, and its value is not shown
    ("frontend", {"frontend_bucket": {"remote": "s3:b", "config": "/c"}, "frontend_bucket_public": True}),
    ("mobile", {"mobile_project": "/p", "mobile_signing": {"alias": "key"}}),
])
def test_what_counts_or_was_left_as_it_is_is_no_finding(role, given):
    assert found(role, **given) == []


@pytest.mark.parametrize(("told", "subjects"), [
    ({"mover": {}, "new": {"backend_strategy": "rolling"}}, ["backend_strategy (mover, new)"]),
    ({"mover": {"backend_runtime": "container"}, "new": {"backend_runtime": "systemd"}}, ["backend_runtime (mover, new)"]),
    ({"mover": {}, "new": {"backend_runtime": "systemd", "backend_strategy": "offline"}}, []),
])
def test_mover_and_target_hosts_are_told_the_same_strategy_and_the_same_kind_of_runtime(told, subjects):
    assert [row["subject"] for row in effect.check_agreement(options_of("backend"), told)] == subjects
