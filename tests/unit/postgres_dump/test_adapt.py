# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stays behind of a backup on its way to a service where nobody is superuser, and who takes whose place."""

from __future__ import annotations

import contextlib
import copy

import psycopg2
import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import lead
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import (
    SERVICE_ROLES,
    Adaptation,
    Limits,
    adapt_acl,
    adapt_capture,
    adapt_globals,
    adaptation,
    assumed,
    not_carried,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import check_leave_out, extensions_in, without
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_rights import lacking
from ansible_collections.dihya.migration.plugins.module_utils._postgres.managed_facts import closed_extensions
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_managed import managed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_roles import passwords_in, without_password
from ansible_collections.dihya.migration.plugins.module_utils._postgres.settle import default_statements, owner_statements, schema_of

ROLE = {"superuser": False, "createrole": False, "createdb": False, "replication": False, "bypassrls": False, "login": True,
        "bootstrap": False}
TAKEN = {
    "roles": {
        "postgres": dict(ROLE, superuser=True, bootstrap=True),
        "rds_superuser": dict(ROLE, login=False),
        "crm": dict(ROLE),
        "clerk": dict(ROLE),
    },
    "memberships": [["crm", "clerk", False], ["pg_monitor", "clerk", False], ["rds_superuser", "crm", False]],
    "settings": [["", "", ["work_mem=1MB"]], ["", "clerk", ["log_statement=all", "search_path=app"]], ["crm", "", ["app.mode=x"]],
                 ["", "rds_superuser", ["work_mem=2MB"]]],
    "parameters": {"log_statement": [["clerk", "SET*", "postgres"], ["postgres", "ALTER SYSTEM,SET", "postgres"],
                                     ["public", "SET", "postgres"]]},
    "databases": {
        "crm": {
            "owner": "crm",
            "acl": [["crm", "CONNECT", "crm"], ["rds_superuser", "CONNECT", "crm"], ["clerk", "CONNECT", "rds_superuser"]],
            "objects": {
                "SCHEMA": {"app": {"owner": "crm", "acl": []}},
                "LARGE OBJECT": {"1": {"owner": "postgres", "acl": []}, "2": {"owner": "clerk", "acl": []}},
                "TABLE": {"app.t": {"owner": "postgres", "acl": [["postgres", "SELECT", "postgres"], ["clerk", "SELECT*", "postgres"]]}},
            },
            "large_object_owners": {"postgres": 2, "crm": 1},
            "default_acls": [["crm", "app", "r", [["rds_superuser", "SELECT", "crm"], ["clerk", "SELECT", "crm"]]],
                             ["rds_superuser", "", "r", []]],
            "changed_system_objects": {"ROUTINE": {"pg_catalog.f()": {"granted": [["clerk", "EXECUTE", "postgres"]], "revoked": []}}},
        }
    },
}
LIMITS = Limits(True, "migrator", frozenset({"log_statement", "app.mode"}), frozenset({"pg_monitor", "postgres"}))


def to_service(limits=LIMITS, owners=(("postgres", "crm"),), leave_out=()):
    return adaptation(TAKEN["roles"], limits, owners=dict(owners), service_roles=SERVICE_ROLES, leave_out=leave_out)


def test_a_superuser_with_no_service_on_either_side_adapts_nothing():
    change = adaptation({"postgres": ROLE}, Limits(), owners={}, service_roles=SERVICE_ROLES, leave_out=())
    assert not change.needed
    assert adapt_capture(TAKEN, change) == TAKEN


def test_roles_of_the_service_and_the_bootstrap_role_stay_behind():
    assert to_service(owners=()).left == {"postgres", "rds_superuser"}
    assert to_service().left == {"rds_superuser"}  # another takes the place of postgres
    assert to_service(Limits(), ()).left == {"rds_superuser"}


def test_a_capture_is_adapted_as_a_whole():
    adapted = adapt_capture(TAKEN, to_service())
    assert sorted(adapted["roles"]) == ["clerk", "crm"]
    assert adapted["memberships"] == [["crm", "clerk", False]]
    assert adapted["settings"] == [["", "clerk", ["search_path=app"]]]
    assert adapted["parameters"] == {}
    crm = adapted["databases"]["crm"]
    assert crm["acl"] == [["clerk", "CONNECT", "crm"], ["crm", "CONNECT", "crm"]]  # what the service granted, the owner grants
    assert crm["objects"]["TABLE"]["app.t"] == {"owner": "crm", "acl": [["clerk", "SELECT*", "crm"], ["crm", "SELECT", "crm"]]}
    assert crm["large_object_owners"] == {"crm": 3}
    assert sorted(crm["objects"]["LARGE OBJECT"]) == ["2"]  # the other is now the database owner's, as all that are not named
    assert crm["default_acls"] == [["crm", "app", "r", [["clerk", "SELECT", "crm"]]]]
    assert crm["changed_system_objects"] == {}


def test_two_grants_that_become_one_keep_the_grant_option():
    change = Adaptation(owners={"old": "new"})
    assert adapt_acl([["old", "SELECT*", "crm"], ["new", "SELECT", "crm"]], "crm", change) == [["new", "SELECT*", "crm"]]


def test_an_owner_that_stays_behind_is_still_named_as_one():
    adapted = adapt_capture(TAKEN, to_service(owners=()))
    assert adapted["databases"]["crm"]["objects"]["TABLE"]["app.t"]["owner"] == "postgres"
    assert assumed(adapted, ["crm"]) == {"crm": {"clerk", "crm", "postgres"}}


def test_everything_that_stays_behind_is_named_and_no_value_of_a_setting_is():
    told = [subject for _kind, subject in not_carried(TAKEN, to_service(leave_out=["extension x"]))]
    assert told == [
        "role postgres: crm takes its place",
        "role rds_superuser, which belongs to the service",
        "membership of clerk in pg_monitor, which migrator may not grant",
        "setting work_mem for every role, which migrator may not set",
        "setting log_statement of role clerk, which migrator may not set",
        "setting app.mode in database crm, which migrator may not set",
        "privileges on parameter log_statement of role clerk, which migrator may not grant",
        "privileges on parameter log_statement for every role, which migrator may not grant",
        "changed privileges on 1 routine objects of the system in database crm",
        "extension x, left out by choice",
    ]


def test_what_the_service_gave_on_the_target_all_the_same_is_compared():
    after = {"settings": [["new", "", ["app.mode=y"]]], "memberships": [["pg_monitor", "clerk", False]]}
    change = to_service().beside(after, {"crm": "new"})
    adapted = adapt_capture(TAKEN, change)
    assert ["crm", "", ["app.mode=x"]] in adapted["settings"] and ["pg_monitor", "clerk", False] in adapted["memberships"]
    assert "setting app.mode" not in str(list(not_carried(TAKEN, change)))


def test_globals_are_adapted_like_the_capture():
    source = {
        "roles": [{"name": name} for name in TAKEN["roles"]],
        "memberships": [{"role": "pg_monitor", "member": "clerk"}, {"role": "crm", "member": "clerk"}],
        "settings": [{"database": None, "role": "clerk", "settings": ["log_statement=all"]}],
        "acl": [{"database": "crm", "grantee": "rds_superuser"}, {"database": "crm", "grantee": "postgres"},
                {"database": "crm", "grantee": None}],
        "databases": [{"name": "crm", "owner": "postgres"}],
    }
    adapted = adapt_globals(source, to_service())
    assert [role["name"] for role in adapted["roles"]] == ["crm", "clerk"]
    assert adapted["memberships"] == [{"role": "crm", "member": "clerk"}] and adapted["settings"] == []
    assert [one["grantee"] for one in adapted["acl"]] == ["crm", None]
    assert adapted["databases"] == [{"name": "crm", "owner": "crm"}]


LISTING = "".join(line + "\n" for line in (
    ";",
    "; Archive created",
    "2; 3079 16385 EXTENSION - vector ",
    "3; 3079 16386 EXTENSION - vector_more ",
    "4001; 0 0 COMMENT - EXTENSION vector ",
    "4002; 0 0 COMMENT - EXTENSION vector_more ",
    "17; 1259 16400 TABLE app vector shop",
    "18; 6104 16401 PUBLICATION - every thing shop",
    "19; 6106 16402 PUBLICATION TABLE app every thing t shop",
    "20; 3466 16403 EVENT TRIGGER - watch postgres",
))


def test_entries_are_left_out_by_their_whole_name():
    kept = without(LISTING, ["extension vector", "publication every thing", "event trigger watch"])
    assert [line.split(";")[0] for line in kept.splitlines() if line[0] != ";"] == ["3", "4002", "17"]
    assert without(LISTING, []) == LISTING
    assert extensions_in(LISTING) == {"vector", "vector_more"}


def test_an_extension_that_is_left_out_takes_rows_and_privileges_of_its_members_along_and_no_others():
    listing = "\n".join((
        "10; 0 1 TABLE DATA cron job postgres", "11; 0 2 SEQUENCE SET cron jobid_seq postgres", "12; 0 0 ACL - SCHEMA cron postgres",
        "13; 0 0 ACL cron TABLE job postgres", "14; 0 0 ACL cron COLUMN job.active postgres",
        "15; 0 0 ACL cron FUNCTION unschedule(job_id bigint) postgres", "16; 0 3 TABLE DATA Odd Na\"me postgres",
        "20; 0 4 TABLE DATA cron job2 postgres", "21; 0 0 ACL - SCHEMA crontab postgres",
        "22; 0 0 ACL cron FUNCTION unscheduled() postgres",
        "23; 0 5 TABLE DATA public job postgres", "24; 0 0 ACL cron COLUMN job2.active postgres")) + "\n"
    members = {"TABLE": ["cron.job", '"Odd"."Na""me"'], "SEQUENCE": ["cron.jobid_seq"], "SCHEMA": ["cron"],
               "ROUTINE": ["cron.unschedule(bigint)", 'cron."ti.me"("char", numeric)']}
    kept = without(listing, ["extension pg_cron"], members)
    assert [line.split(";")[0] for line in kept.splitlines()] == ["20", "21", "22", "23", "24"]


@pytest.mark.parametrize("item", ["table app.t", "extension", "extension ", "vector"])
def test_nothing_that_holds_data_can_be_left_out(item):
    with pytest.raises(MigrationError, match="leave_out"):
        check_leave_out(["extension vector", item])


def test_objects_go_to_their_owners_who_may_create_in_the_schema_meanwhile():
    actual = {"objects": {"TABLE": {'"a.""b".t': {"owner": "crm"}, "app.u": {"owner": "crm"}}}}
    wanted = {"objects": {"TABLE": {'"a.""b".t': {"owner": "clerk"}, "app.u": {"owner": "crm"}, "app.gone": {"owner": "clerk"}}}}
    assert owner_statements(actual, wanted, ("TABLE",)) == ['GRANT CREATE ON SCHEMA "a.""b" TO "clerk"',
                                                            'ALTER TABLE "a.""b".t OWNER TO "clerk"']
    assert schema_of("app.u") == "app"


def test_default_privileges_are_given_again():
    wanted = [["crm", "app", "r", [["clerk", "SELECT*", "crm"]]], ["crm", "", "f", [["crm", "EXECUTE", "crm"]]]]
    assert default_statements(wanted[:1], wanted) == [
        'ALTER DEFAULT PRIVILEGES FOR ROLE "crm" REVOKE ALL ON ROUTINES FROM PUBLIC',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "crm" REVOKE ALL ON ROUTINES FROM "crm"',
        'ALTER DEFAULT PRIVILEGES FOR ROLE "crm" GRANT EXECUTE ON ROUTINES TO "crm"',
    ]
    assert default_statements([], wanted[:1]) == [
        'ALTER DEFAULT PRIVILEGES FOR ROLE "crm" IN SCHEMA app GRANT SELECT ON TABLES TO "clerk" WITH GRANT OPTION']


def test_passwords_are_taken_from_lines_that_name_their_role(tmp_path):
    path = tmp_path / "pass"
    path.write_text("*:*:*:*:canary-any\n*:*:*:cl\\:erk:canary\\\\one\n\nhost:5432:db:cl\\:erk:canary-two\n")
    assert passwords_in(str(path)) == {"cl:erk": "canary\\one"}
    assert passwords_in(None) == passwords_in(str(tmp_path / "no")) == {}


def test_a_role_without_any_password_is_named(tmp_path):
    path = tmp_path / "pass"
    path.write_text("*:*:*:clerk:canary\n")
    roles = [{"name": name, "login": name != "group", "password": "SCRAM" if name == "hashed" else None}
             for name in ("clerk", "crm", "group", "hashed")]
    target = type("Target", (), {"passfile": str(path)})
    assert without_password(roles, target) == ["crm"]


def facts(**known):
    managed_ = dict({"taken": copy.deepcopy(TAKEN), "change": to_service(), "assumable": set(), "createrole": True, "createdb": True,
                     "servant": set(), "superuser_objects": {}, "mappings": {}}, **known)
    return {"managed": managed_, "logins": [], "source": {"globals": {"passwords": True}},
            "target": {"globals": {"roles": [{"name": "pg_monitor"}, {"name": "postgres"}]}}}


def blocking(given):
    return [one["finding"] for one in managed(given) if one["blocking"]]


def test_an_owner_that_may_not_be_assumed_blocks_until_another_takes_its_place():
    assert blocking(facts()) == []
    assert blocking(facts(change=to_service(owners=()))) == ["user migrator cannot make objects of database crm belong to postgres"]
    assert blocking(facts(change=to_service(owners=()), assumable={"postgres"})) == []


def test_a_substitute_has_to_be_on_the_target_or_come():
    assert blocking(facts(change=to_service(owners=[("postgres", "nobody")])))[0] == (
        "role nobody, which is to take the place of postgres, is not on the target and does not come")
    assert "the source has no role gone" in blocking(facts(change=to_service(owners=[("postgres", "crm"), ("gone", "crm")])))


def test_a_role_whose_attributes_may_not_be_given_blocks():
    given = facts()
    given["managed"]["taken"]["roles"]["clerk"].update(replication=True)
    given["managed"]["taken"]["roles"]["crm"].update(createdb=True)
    assert blocking(given) == ["only a superuser can create: clerk"]
    given["managed"]["createdb"] = False
    assert blocking(given) == ["only a superuser can create: clerk, crm"]


def test_an_object_that_only_a_superuser_can_make_blocks_until_it_is_left_out():
    objects = {"crm": [{"kind": "event trigger", "name": "watch"}, {"kind": "operator class", "name": "app.o"}]}
    assert len(blocking(facts(superuser_objects=objects))) == 2
    assert blocking(facts(superuser_objects=objects, change=to_service(leave_out=["event trigger watch"]))) == [
        "only a superuser can create on the target: operator class app.o of database crm"]
    assert blocking(facts(superuser_objects=objects, change=to_service(Limits(), ()))) == []


def test_a_login_that_may_not_revoke_reduce_or_end_is_told_each_of_them():
    taken = dict(TAKEN, administrator="migrator")
    told = list(lacking(taken, {"rds_superuser"}, {"TABLE": {"SELECT"}}, True, False))
    assert [text.partition(":")[0] for text in told] == [
        "user migrator may not revoke the right to connect to database crm, which crm granted",
        "user migrator may not reduce what postgres granted in database crm",
        "user migrator may not end the sessions of clerk, crm"]
    assert list(lacking(taken, {"rds_superuser", "crm", "postgres"}, {"TABLE": {"SELECT"}}, True, True)) == []
    assert list(lacking(taken, set(), {}, False, True)) == []  # a command stops the application
    assert [line.partition(":")[0] for line in lacking(taken, set(), {}, False, False)] == [told[-1].partition(":")[0]]  # pg_hba


def test_a_plain_login_grants_and_revokes_as_the_owner():
    entry = {"owner": "crm"}
    assert lead("TABLE", "t", entry, [], [["clerk", "SELECT", "crm"]], (), True) == [
        'SET ROLE "crm"', 'GRANT SELECT ON TABLE t TO "clerk"', "RESET ROLE"]


def test_each_role_whose_password_must_be_set_anew_is_named():
    given = facts()
    given["source"]["globals"]["passwords"] = False
    assert "passwords cannot be read: they must be set anew for clerk, crm" in [one["finding"] for one in managed(given)]
    given["logins"] = ["crm"]
    given["target"]["globals"]["roles"].append({"name": "clerk"})
    assert "passwords" not in str(list(managed(given)))


class Service:
    """A login of a managed service: it may create ``given``, as the service's own extension of the server has it."""

    def __init__(self, given: str) -> None:
        self.given, self.said = given, []

    def cursor(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext(self)

    def execute(self, sql: str) -> None:
        self.said.append(sql)
        if "EXTENSION" in sql and self.given not in sql:
            raise psycopg2.errors.InsufficientPrivilege


def test_an_extension_that_a_service_lets_its_login_create_is_not_closed_and_trying_it_leaves_nothing():
    contents = {"crm": {"extensions": [{"name": name} for name in ("hstore", "postgis", "plperlu", "pg_cron")]}}
    target = {"superuser_only": ["postgis", "plperlu", "pg_cron", "adminpack"], "server": {"login": {"superuser": False}}}
    service = Service("postgis")
    assert closed_extensions(contents, target, service, ["extension pg_cron"]) == ["plperlu"]
    assert service.said[0] == "BEGIN" and service.said[-1] == "ROLLBACK" and service.said.count("ROLLBACK") == 2
    target["server"]["login"]["superuser"] = True
    assert closed_extensions(contents, target, service, []) == ["pg_cron", "plperlu", "postgis"]
