# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles and the frames of databases become the right SQL, whatever their names and values hold."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import (
    acl_statements,
    create_database,
    create_role,
    frame_statements,
    grant_membership,
    identifier,
    literal,
    set_statements,
    with_capture,
)

FRAME = {
    "name": "crm",
    "owner": "o",
    "encoding": "UTF8",
    "collate": "C",
    "ctype": "C",
    "provider": "c",
    "locale": None,
    "icu_rules": None,
    "connection_limit": 5,
    "allow_connections": True,
    "is_template": False,
    "comment": "it's",
    "has_acl": True,
}


def test_names_and_values_cannot_leave_their_quotes():
    assert identifier('a"b') == '"a""b"'
    assert literal("a'b") == "'a''b'"
    assert literal("a\\'b") == " E'a\\\\''b'"


def test_settings_with_lists_stay_lists_and_others_are_one_string():
    assert set_statements("ALTER ROLE x", ['search_path="$user", public', "app.secret=a, b", "search_path="]) == [
        'ALTER ROLE x SET "search_path" TO "$user", public',
        'ALTER ROLE x SET "app"."secret" TO \'a, b\'',
        "ALTER ROLE x SET \"search_path\" TO ''",
    ]


def test_a_role_is_made_with_its_hash_and_every_attribute():
    role = {
        "name": "crm",
        "superuser": False,
        "createrole": False,
        "createdb": True,
        "inherit": True,
        "login": True,
        "replication": False,
        "bypassrls": False,
        "connection_limit": 3,
        "valid_until": "2030-01-01",
        "password": "SCRAM$x",
        "comment": None,
    }
    assert create_role(role) == [
        'CREATE ROLE "crm" WITH NOSUPERUSER NOCREATEROLE CREATEDB INHERIT LOGIN NOREPLICATION NOBYPASSRLS '
        "CONNECTION LIMIT 3 PASSWORD 'SCRAM$x' VALID UNTIL '2030-01-01'"
    ]


@pytest.mark.parametrize(
    ("options", "version", "tail"),
    [
        ({"admin": True, "inherit": False, "set": True}, 180000, " WITH ADMIN TRUE, INHERIT FALSE, SET TRUE"),
        ({"admin": True, "inherit": None, "set": None}, 180000, " WITH ADMIN TRUE"),
        ({"admin": True, "inherit": None, "set": None}, 150000, " WITH ADMIN OPTION"),
        ({"admin": False, "inherit": None, "set": None}, 180000, ""),
    ],
)
def test_memberships_keep_their_options(options, version, tail):
    assert grant_membership(dict(options, role="r", member="m"), version) == f'GRANT "r" TO "m"{tail}'


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({}, "LOCALE_PROVIDER libc"),
        ({"provider": "i", "locale": "fr"}, "ICU_LOCALE 'fr'"),
        ({"provider": "b", "locale": "C.UTF-8"}, "BUILTIN_LOCALE 'C.UTF-8'"),
        ({"provider": "i", "locale": "fr", "icu_rules": "&a<b"}, "ICU_RULES '&a<b'"),
    ],
)
def test_a_database_gets_its_locale_and_is_closed_until_it_is_complete(change, part):
    statement = create_database(dict(FRAME, **change), "x", "o", 180000)
    assert part in statement and "CONNECTION LIMIT 0" in statement and 'OWNER "o"' in statement
    assert "LOCALE_PROVIDER" not in create_database(FRAME, "x", None, 140000)


def test_the_frame_leaves_out_roles_that_are_not_there_and_opens_last():
    source = {
        "settings": [
            {"database": "crm", "role": None, "settings": ["a=1"]},
            {"database": "crm", "role": "gone", "settings": ["a=2"]},
            {"database": "other", "role": None, "settings": ["a=3"]},
        ],
        "acl": [
            {"database": "crm", "grantee": None, "privilege": "TEMPORARY", "grantable": False, "grantor": "o"},
            {"database": "crm", "grantee": "gone", "privilege": "CONNECT", "grantable": True, "grantor": "o"},
        ],
    }
    statements = frame_statements(source, FRAME, "x", {"o"})
    assert statements[0] == "COMMENT ON DATABASE \"x\" IS 'it''s'"
    assert statements[-1] == 'ALTER DATABASE "x" CONNECTION LIMIT 5'
    assert not [statement for statement in statements if "gone" in statement or "3" in statement]
    assert "REVOKE CONNECT ON DATABASE \"x\" FROM PUBLIC" in statements
    assert "REVOKE TEMPORARY ON DATABASE \"x\" FROM PUBLIC" not in statements
    assert acl_statements([], FRAME, '"x"', set()) == [f'REVOKE {one} ON DATABASE "x" FROM PUBLIC' for one in ("CONNECT", "TEMPORARY")]


def test_privileges_on_a_database_keep_the_roles_that_granted_them():
    acl = [
        {"database": "crm", "grantee": grantee, "privilege": "CONNECT", "grantable": grantor == "o", "grantor": grantor}
        for grantee, grantor in (("b", "a"), ("a", "o"))
    ]
    statements = acl_statements(acl, FRAME, '"x"', {"a", "b"})
    assert statements[2:] == [
        'GRANT CONNECT ON DATABASE "x" TO "a" WITH GRANT OPTION', 'SET ROLE "a"', 'GRANT CONNECT ON DATABASE "x" TO "b"', "RESET ROLE"]
    assert 'SET ROLE "o"' in acl_statements(acl, FRAME, '"x"', {"a", "b"}, plain=True)


def test_what_was_captured_before_a_freeze_wins_over_what_the_dump_saw():
    role = dict.fromkeys(("superuser", "createrole", "createdb", "inherit", "login", "replication", "bypassrls"), False)
    role.update(name="app", connection_limit=0, valid_until=None, comment=None)
    source = {
        "roles": [dict(role, password="hash"), dict(role, name="later", password=None)],
        "memberships": [],
        "databases": [dict(FRAME, connection_limit=0)],
        "settings": [{"database": "crm", "role": None, "settings": ["default_transaction_read_only=on"]}],
        "acl": [],
        "passwords": True,
    }
    capture = {
        "roles": {"app": dict(role, login=True, connection_limit=-1)},
        "memberships": [["r", "app", False]],
        "settings": [["", "app", ["a=1"]]],
        "databases": {"crm": dict(FRAME, connection_limit=-1, acl=[["app", "CONNECT*,CREATE", "o"]])},
    }
    before = with_capture(source, capture)
    assert before["roles"][0] == dict(role, login=True, connection_limit=-1, password="hash") and before["roles"][1]["name"] == "later"
    assert before["databases"][0]["connection_limit"] == -1 and before["databases"][0]["has_acl"]
    assert before["settings"] == [{"database": None, "role": "app", "settings": ["a=1"]}]
    assert [(one["grantee"], one["privilege"], one["grantable"]) for one in before["acl"]] == [
        ("app", "CONNECT", True),
        ("app", "CREATE", False),
    ]
    assert before["memberships"] == [{"role": "r", "member": "app", "admin": False, "inherit": None, "set": None}]
    default = dict(capture["databases"]["crm"], acl=[["o", "CONNECT,CREATE,TEMPORARY", "o"], ["public", "CONNECT,TEMPORARY", "o"]])
    assert not with_capture(source, dict(capture, databases={"crm": default}))["databases"][0]["has_acl"]
