# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Malformed variables are named with host and remedy, and their values are never shown."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.action.preflight_inputs import options_of
from ansible_collections.dihya.migration.plugins.plugin_utils import inputs

ENDPOINT = {"type": "dict", "required": True, "options": {
    "host": {"type": "str", "required": True}, "port": {"type": "int", "default": 5432}, "password": {"type": "str"}}}

BAD = [
    ("migration_id", {"type": "str"}, "crm/2026", "malformed"),
    ("migration_id", {"type": "str"}, "-crm", "malformed"),
    ("migration_id", {"type": "str"}, "CRM", "malformed"),
    ("migration_id", {"type": "str"}, "a" * 64, "malformed"),
    ("migration_id", {"type": "str"}, "crm\n", "malformed"),
    ("postgresql_source", ENDPOINT, None, "required"),
    ("postgresql_source", ENDPOINT, {"port": 1}, "required"),
    ("postgresql_databases", {"type": "raw", "required": True}, [], "required and empty"),
    ("postgresql_source", ENDPOINT, {"host": "a", "port": "Zq9secret"}, "not a valid int"),
    ("postgresql_source", ENDPOINT, {"host": "a", "port": 0}, "no port"),
    ("postgresql_source", ENDPOINT, {"host": "a", "port": 70000}, "no port"),
    ("postgresql_source", ENDPOINT, {"host": "a", "pasword": "Zq9secret"}, "not an option"),
    ("postgresql_source", ENDPOINT, ["Zq9secret"], "not a valid dict"),
    ("migration_backup_dir", {"type": "path"}, "/backup/../etc", "climbs"),
    ("migration_backup_dir", {"type": "path"}, "backup", "no absolute path"),
    ("migration_strategy", {"type": "str", "choices": ["offline"]}, "Zq9secret", "none of its choices"),
    ("migration_stacks", {"type": "list", "elements": "str", "choices": ["a"]}, ["b"], "none of its choices"),
    ("migration_window", {"type": "dict", "options": {"end": {"type": "str"}}}, {"end": "tomorrow"}, "no moment"),
    ("migration_window", {"type": "dict", "options": {"end": {"type": "str"}}}, {"end": "2026-11-28T22:00:00"}, "no moment"),
]


@pytest.mark.parametrize(("name", "spec", "value", "expected"), BAD)
def test_a_malformed_value_is_named_with_its_host_and_never_shown(name, spec, value, expected):
    found = inputs.check_option(name, spec, value, "mover")
    assert len(found) == 1
    assert expected in found[0]["finding"]
    assert "mover" in found[0]["subject"]
    assert found[0]["remedy"]
    assert "Zq9secret" not in str(found)


@pytest.mark.parametrize(("name", "spec", "value"), [
    ("migration_id", {"type": "str"}, "crm-2026-11-28"),
    ("postgresql_source", ENDPOINT, {"host": "a", "port": "5433"}),
    ("migration_backup_dir", {"type": "path"}, "/backup"),
    ("migration_window", {"type": "dict", "options": {"end": {"type": "str"}}}, {"end": "2026-11-28T22:00:00Z"}),
    ("migration_ticket", {"type": "str"}, None),
])
def test_a_well_formed_value_is_no_finding(name, spec, value):
    assert inputs.check_option(name, spec, value, "mover") == []


@pytest.mark.parametrize(("place", "wrong"), [
    ({"path": "/second"}, False), ({"remote": "s3:b/x", "config": "/etc/rclone.conf"}, False),
    ({}, True), ({"remote": "s3:b"}, True), ({"path": "/second", "remote": "s3:b", "config": "/c"}, True),
])
def test_a_second_place_for_backups_is_a_directory_or_a_bucket_and_never_half_of_one(place, wrong):
    spec = {"type": "list", "elements": "dict", "options": {"path": {"type": "path"}, "remote": {}, "config": {"type": "path"}}}
    found = inputs.check_option("migration_backup_copies", spec, [place], "mover")
    assert [row["finding"] for row in found] == ["is no place"] * wrong


@pytest.mark.parametrize("name", ["migration_attestations", "migration_waivers", "migration_window"])
def test_what_people_may_state_is_what_the_checklist_reads(name):
    assert set(options_of("migration")[name]["options"]) == set(options_of("checklist")[name]["options"])


def test_unknown_migration_variables_and_near_misses_are_found_and_others_left_alone():
    found = inputs.check_names(["migration_stack", "migration_zzz", "postgresql_sourc", "my_own"],
                               ["migration_stacks", "postgresql_source"], "migration_", "mover")
    assert [row["subject"].split()[0] for row in found] == ["migration_stack", "migration_zzz", "postgresql_sourc"]
    assert "migration_stacks" in found[0]["remedy"]


def test_a_host_on_both_sides_and_a_missing_mover_are_found_together():
    found = inputs.check_groups({"source": ["a"], "target": ["a"]}, [], ["a"])
    assert [row["subject"] for row in found] == ["inventory", "a"]


def test_the_same_finding_on_many_hosts_is_told_once_with_all_of_them():
    rows = [inputs.finding(f"migration_zzz ({host})", "is unknown", "remove it") for host in ("b", "a")]
    assert [row["subject"] for row in inputs.unique(rows)] == ["migration_zzz (a, b)"]
