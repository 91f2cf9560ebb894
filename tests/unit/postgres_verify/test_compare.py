# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every difference has a rule or is a failure, and none carries a value."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import (
    compare_catalogs,
    compare_cluster,
    compare_contents,
    compare_rows,
    unread,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.normal import Normalizer

ROLE = {"superuser": False, "bootstrap": False, "login": True, "password": "scram:1", "comment": None}
SIDE = {
    "server_version": 160000, "administrator": "root", "memberships": [["rd", "app", False, True, True]],
    "settings": [["crm", "app", ["x.secret=abc"]]], "databases": {"crm": {"owner": "app", "acl": [], "objects": {}}},
    "parameters": {"work_mem": [["app", "SET", "root"], ["public", "SET", "root"], ["root", "ALTER SYSTEM,SET", "root"]]},
    "roles": {"root": dict(ROLE, superuser=True, bootstrap=True), "app": dict(ROLE), "rd": dict(ROLE), "idle": dict(ROLE)},
}


def said(found):
    return [(str(one), one.rule) for one in found]


def test_equal_sides_say_nothing():
    assert compare_cluster(SIDE, copy.deepcopy(SIDE), {}) == []


def test_a_role_that_is_used_must_be_there_and_another_need_not():
    target = copy.deepcopy(SIDE)
    del target["roles"]["app"], target["roles"]["idle"]
    rules = dict(said(compare_cluster(SIDE, target, {})))
    assert rules["role app is missing on the target"] is None
    assert rules["role idle is missing on the target"] == "role_not_used"


def test_the_administrators_differ_without_harm_but_nobody_else():
    target = copy.deepcopy(SIDE)
    target["roles"]["root"]["password"] = target["roles"]["rd"]["password"] = "scram:2"
    assert said(compare_cluster(SIDE, target, {})) == [
        ("role rd differs in password", None), ("role root differs in password", "administrator")]


def test_another_verifier_is_explained_by_a_login_and_a_password_that_only_one_side_has_is_not():
    target = copy.deepcopy(SIDE)
    target["roles"]["app"]["password"], target["roles"]["rd"]["password"] = "scram:2", "none"
    assert said(compare_cluster(SIDE, target, {}, (), ["app", "rd"])) == [
        ("role app differs in password", "login_proved"), ("role rd differs in password", None)]
    target["roles"]["app"].update(login=False)
    assert ("role app differs in login", None) in said(compare_cluster(SIDE, target, {}, (), ["app"]))


def test_a_pinned_setting_of_a_database_is_explained_and_no_other_is():
    target = copy.deepcopy(SIDE)
    target["settings"] = [*SIDE["settings"], ["crm", "", ["DateStyle=ISO, DMY"]]]
    assert said(compare_cluster(SIDE, target, {}, ["datestyle"])) == [("settings in database crm differs in DateStyle", "pinned_setting")]
    assert said(compare_cluster(SIDE, target, {}, ["TimeZone"])) == [("settings in database crm differs in DateStyle", None)]
    target["settings"] = [["crm", "app", ["x.secret=abc", "DateStyle=ISO, DMY"]]]
    assert said(compare_cluster(SIDE, target, {}, ["DateStyle"])) == [("settings of role app in database crm differs in DateStyle", None)]


def test_a_privilege_on_a_parameter_that_is_lost_or_new_is_found_whoever_granted_it():
    target = copy.deepcopy(SIDE)
    target["parameters"]["work_mem"] = [["app", "SET", "other"], ["public", "SET", "other"]]
    assert said(compare_cluster(SIDE, target, {})) == [("parameter work_mem differs in privileges of role root", "administrator")]
    target["parameters"] = {"jit": [["rd", "SET", "root"]], "work_mem": [["app", "SET*", "root"], ["root", "ALTER SYSTEM,SET", "root"]]}
    assert said(compare_cluster(SIDE, target, {})) == [
        ("parameter jit differs in privileges of role rd", None), ("parameter work_mem differs in privileges of role app", None),
        ("parameter work_mem differs in privileges of role public", None)]
    target["parameters"] = dict(SIDE["parameters"], jit=[["public", "SET", "root"]])
    assert said(compare_cluster(SIDE, target, {})) == [("parameter jit differs in privileges of role public", "not_carried")]
    target["parameters"] = {}
    del target["roles"]["app"]
    assert ("parameter work_mem differs in privileges of role app", "role_not_used") in said(compare_cluster(SIDE, target, {}))


def test_settings_follow_the_renamed_database_and_show_no_value():
    target = copy.deepcopy(SIDE)
    target["settings"] = [["shop", "app", ["x.secret=other"]]]
    found = compare_cluster(SIDE, target, {"crm": "shop"})
    assert said(found) == [("settings of role app in database shop differs in x.secret", None)]
    assert "abc" not in repr(found) and "other" not in repr(found)


def test_membership_options_count_only_where_both_servers_have_them():
    target = copy.deepcopy(SIDE)
    target["memberships"] = [["rd", "app", False, True, False]]
    assert len(compare_cluster(SIDE, target, {})) == 1
    assert compare_cluster(dict(SIDE, server_version=150000, memberships=[["rd", "app", False]]), target, {}) == []


@pytest.mark.parametrize(("provider", "there", "differs"), [("i", "fr-FR", False), ("i", "de-DE", True), ("c", "fr-FR", True)])
def test_an_icu_locale_of_a_database_is_compared_in_the_words_of_the_target(monkeypatch, provider, there, differs):
    monkeypatch.setattr(Normalizer, "_locale", lambda _self, locale: locale.replace("_", "-"))  # as 16 and later write it
    source = {"owner": "app", "acl": [], "objects": {}, "default_acls": [], "large_object_owners": {}, "changed_system_objects": {},
              "provider": provider, "locale": "fr_FR"}
    found = compare_contents("crm", source, dict(source, locale=there), (150000, 180000), (), Normalizer(None).same)
    assert said(found) == [("database crm: the database differs in locale", None)][:differs]


def test_an_expected_table_explains_what_belongs_to_it_and_nothing_else():
    source = {"column": {"s.t.a": {"of": "s.t", "not_null": True}, "s.u.a": {"of": "s.u", "not_null": True}}}
    target = {"column": {"s.t.a": {"of": "s.t", "not_null": False}, "s.u.a": {"of": "s.u", "not_null": False}}}
    assert [one.rule for one in compare_catalogs("crm", source, target, ["s.t"])] == ["schema_change", None]


def test_the_order_of_a_table_that_inherits_is_explained_where_it_is_what_a_restore_gives_and_only_there():
    def catalog(bound: str | None = None, **orders: str) -> dict[str, dict[str, dict[str, object]]]:
        return {"table": {"s.child": {"parents": ["s.one", "s.two"], "partition_bound": bound}, "s.one": {}, "s.two": {}},
                "column": {f"s.{table}.{name}": {"of": f"s.{table}", "position": number}
                           for table, names in orders.items() for number, name in enumerate(names, 1)}}

    source = {"one": "ac", "two": "az", "child": "azbcy"}  # c is of later
    target = catalog(**{**source, "child": "aczby"})
    assert {(text.rpartition(" ")[2], rule) for text, rule in said(compare_catalogs("crm", catalog(**source), target))} == {
        ("position", "inherited_column_order")}
    for other in ("aczyb", "aczbx"):
        rules = [one.rule for one in compare_catalogs("crm", catalog(**source), catalog(**{**source, "child": other}))]
        assert rules and set(rules) == {None}
    partition = compare_catalogs("crm", catalog("DEFAULT", **source), catalog("DEFAULT", **{**source, "child": "aczby"}))
    assert partition and {one.rule for one in partition} == {None}


def test_options_of_a_user_mapping_that_nobody_read_are_neither_equal_nor_a_difference():
    source = {"user mapping": {"far a": {"options": "unknown"}, "far b": {"options": "1"}, "far c": {"options": "1"}, "far d": {}}}
    target = {"user mapping": {"far a": {"options": "unknown"}, "far b": {"options": "unknown"}, "far c": {"options": "2"}}}
    assert [str(one) for one in compare_catalogs("crm", source, target)] == [
        "database crm: user mapping far c differs in options", "database crm: user mapping far d is missing on the target"]
    assert unread("user mapping", source, target) == ["far a", "far b"]


def test_versions_of_extensions_are_explained_and_a_missing_one_is_not():
    source = {"extension": {"hstore": {"version": "1.8"}, "citext": {"version": "1.6"}}}
    target = {"extension": {"hstore": {"version": "1.9"}}}
    assert [one.rule for one in compare_catalogs("crm", source, target)] == [None, "extension_version"]


def test_rows_generated_columns_and_missing_tables_are_told_apart():
    one = {"rows": 1, "digest": "5"}
    found = compare_rows("crm", {"a": one, "b": one, "c": dict(one, generated="1")},
                         {"a": dict(one, digest="6"), "d": one, "c": dict(one, generated="2")})
    assert [text for text, _rule in said(found)] == [
        "database crm: rows of a differs in values", "database crm: rows of b is missing on the target",
        "database crm: rows of c differs in stored generated columns", "database crm: rows of d is on the target only"]
