# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a freeze would run and how it would be undone, from a capture alone."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres import acl, freeze_module
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze import plan
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_methods import (
    Method,
    hba_lines,
    through_bouncer,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.reopen import Remote, render

ROLE = {"superuser": False, "login": True}
TABLE = {"owner": "boss", "acl": [["app", "INSERT*,SELECT", "boss"], ["boss", "INSERT,SELECT,UPDATE", "boss"], ["rd", "INSERT", "app"]]}
TAKEN = {
    "administrator": "mover", "roles": {"mover": ROLE, "app": ROLE, "boss": dict(ROLE, login=False), "root": dict(ROLE, superuser=True)},
    "settings": [["crm", "app", ["default_transaction_read_only=off", "work_mem=8MB"]]],
    "databases": {"crm": {"owner": "boss", "acl": [["boss", "CONNECT,CREATE", "boss"], ["public", "CONNECT,TEMPORARY", "boss"]],
                          "objects": {"TABLE": {"public.t": TABLE}}}},
}


def test_dependent_grants_go_first_and_come_back_last():
    changes = plan(TAKEN, ["crm"], Method("command", keep_readers=True))["crm"]
    grants = [line for line in changes.apply if "ROLE" not in line]
    assert grants[0] == 'REVOKE INSERT ON TABLE public.t FROM "rd"'
    assert changes.apply[changes.apply.index(grants[0]) - 1] == 'SET ROLE "app"'
    assert [line for line in changes.undo if line.startswith("GRANT")][-1] == 'GRANT INSERT ON TABLE public.t TO "rd"'
    assert 'GRANT INSERT ON TABLE public.t TO "app" WITH GRANT OPTION' in changes.undo


def test_sessions_that_begin_during_the_freeze_write_again_after_it():
    changes = plan(TAKEN, ["crm"], Method("command", keep_readers=True))["crm"]
    assert not any("ALTER ROLE" in line for line in changes.apply + changes.undo)


def test_an_ordinary_login_of_ours_keeps_its_own_way_in():
    changes = plan(TAKEN, ["crm"], Method("revoke_connect"))["crm"]
    assert 'REVOKE CONNECT ON DATABASE "crm" FROM PUBLIC' in changes.apply
    assert 'GRANT CONNECT ON DATABASE "crm" TO "mover"' in changes.apply
    assert 'REVOKE CONNECT ON DATABASE "crm" FROM "mover"' in changes.undo


def test_a_privilege_that_the_source_does_not_know_is_left_alone():
    wanted = {"owner": "boss", "acl": [["boss", "SELECT", "boss"]]}
    arguments = ("TABLE", "t", wanted, [["boss", "MAINTAIN,SELECT", "boss"]], wanted["acl"])
    assert acl.lead(*arguments, acl.unknown_privileges(160004, 180001)) == []
    assert acl.lead(*arguments) != []


def test_a_grant_option_alone_is_given_and_taken():
    bare, full = [["app", "SELECT", "boss"]], [["app", "SELECT*", "boss"]]
    assert acl.lead("TABLE", "t", TABLE, full, bare) == ['REVOKE GRANT OPTION FOR SELECT ON TABLE t FROM "app"']
    assert acl.lead("TABLE", "t", TABLE, bare, full) == ['GRANT SELECT ON TABLE t TO "app" WITH GRANT OPTION']


@pytest.mark.parametrize(("options", "message"), [
    ({"command": None, "undo": None}, "nothing would stop writes"),
    ({"command": "stop", "undo": None}, "undo is missing"),
    ({"command": "stop 'it", "undo": "start"}, "not a command line"),
    ({"command": "stop", "undo": "start", "on": {"host": "a", "sudo": True}}, "unknown key sudo"),
    ({"command": "stop", "undo": "start", "on": "-oProxyCommand=evil"}, "dash"),
])
def test_what_would_not_freeze_or_could_not_be_undone_is_refused(options, message):
    with pytest.raises(MigrationError, match=message):
        freeze_module.method({"state": "frozen", "method": "command", "keep_readers": False, "on": None, **options})


def test_every_role_is_rejected_in_lines_that_no_name_can_stretch_or_escape():
    lines = hba_lines(["crm", "all"], [f"role {number}" for number in range(45)]).splitlines()
    assert len(lines) == 6 and lines[0].startswith('local "crm","all" "role 0","role 1",') and lines[1].endswith('"role 19" all reject')
    assert sum(line.count('"role ') for line in lines if line.startswith("host")) == 45
    for name in ('a"b', "a\nhost all all all trust"):
        with pytest.raises(MigrationError, match="freeze in another way"):
            hba_lines(["crm"], [name])


def test_the_password_of_the_console_is_in_no_argument_and_its_names_are_checked():
    given = {"host": "db'1", "port": 6432, "user": "console", "password": "s3cret", "passfile": None, "sslmode": "verify-full",
             "sslrootcert": None, "databases": []}
    method = through_bouncer(given, ["crm"], Endpoint("db", "boss", passfile="/run/pgpass"), "psql", None)
    assert "s3cret" not in " ".join([*method.command, *method.undo, *method.look]) and method.login.passfile == "/run/pgpass"
    assert r"host='db\'1'" in method.command[5] and method.command[-1] == "crm"
    with pytest.raises(MigrationError, match="cannot be asked"):
        through_bouncer({**given, "databases": ['a"b']}, ["crm"], Endpoint("db", "boss"), "psql", None)


@pytest.mark.parametrize("name", ["pg_hba", "pgbouncer"])
def test_a_way_that_lets_nobody_read_keeps_no_readers(name):
    with pytest.raises(MigrationError, match="lets nobody read"):
        freeze_module.method({"state": "frozen", "method": name, "keep_readers": True, "on": None, "command": None, "undo": None})


def test_a_remote_command_is_quoted_and_never_asks():
    argv = Remote("app1", "deploy", 2222, "/k", "/h").argv(["systemctl", "stop", "my app; rm"])
    assert argv[-3:] == ["--", "deploy@app1", "systemctl stop 'my app; rm'"]
    assert "BatchMode=yes" in argv and "StrictHostKeyChecking=yes" in argv


def test_the_script_is_valid_shell_whatever_names_hold(tmp_path):
    endpoint = Endpoint(host="db", user="o'hara", password="s3cret", passfile="/a b/pgpass")
    database = "a'b $(touch x)\n`"
    text = render(endpoint, {database: ['GRANT SELECT ON TABLE "t" TO "r"']}, ["echo", "it's"], None, "psql", [database])
    assert "s3cret" not in text
    checked = subprocess.run(["sh", "-n"], input=text, text=True, cwd=tmp_path, check=False, stderr=subprocess.PIPE)
    assert checked.returncode == 0, checked.stderr
