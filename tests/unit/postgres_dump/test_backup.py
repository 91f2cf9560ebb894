# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups: which databases, how many workers, which name, what may be thrown away, and what the tools said."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id, start_time
from ansible_collections.dihya.migration.plugins.module_utils._postgres import backup_dir, dump, endpoint, tools
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import choose_databases
from ansible_collections.dihya.migration.plugins.module_utils._postgres.created import Record
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_plain import END, check_complete
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import SMALL, plan_workers
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import resolve_databases
from ansible_collections.dihya.migration.plugins.module_utils._postgres.verify import VerifyRequest, read_known

FRAMES = [
    {"name": name, "allow_connections": name != "closed", "is_template": name == "model"}
    for name in ("b", "a", "closed", "model", "postgres")
]


def test_all_means_every_database_of_users():
    assert resolve_databases(FRAMES, ["all"], ["postgres"]) == ["a", "b"]
    assert resolve_databases(FRAMES, ["all"], []) == ["a", "b", "postgres"]
    assert resolve_databases(FRAMES, ["b", "model"], []) == ["b", "model"]


@pytest.mark.parametrize(
    ("wanted", "message"), [(["x", "a", "y"], "no such database on the source: x, y"), (["closed"], "allows no connection to: closed"),
                           ([], "no database is named")]
)
def test_a_database_that_is_not_there_is_named(wanted, message):
    with pytest.raises(MigrationError, match=message):
        resolve_databases(FRAMES, wanted, [])


def test_neither_a_freeze_nor_a_proof_of_no_database_passes():
    nowhere = endpoint.Endpoint("localhost", "nobody")
    for look in (lambda: choose_databases(nowhere, []), lambda: read_known(VerifyRequest(nowhere, databases=[], manifest="/nowhere"))):
        with pytest.raises(MigrationError, match="no database is named"):
            look()


def test_the_largest_database_goes_first_and_small_ones_share_the_workers():
    assert plan_workers({"small": 5, "large": SMALL, "smaller": 4}, 4) == [("large", 4), ("small", 1), ("smaller", 1)]
    assert plan_workers({"only": 1}, 3) == [("only", 3)]


@pytest.mark.parametrize(("version", "built_with", "chosen"), [
    ("18.1", ("zstd", "lz4"), "zstd:1"), ("18.1", ("lz4",), "lz4:1"), ("18.1", (), "gzip:1"), ("15.3", ("zstd",), "1"),
])
def test_a_pg_dump_compresses_by_the_fastest_method_it_was_built_with(tmp_path, version, built_with, chosen):
    """The program is a stand-in that says what PostgreSQL's says without a method, and without a server."""
    program = tmp_path / "pg_dump"
    program.write_text(f"""#!/bin/sh
case "$*" in --version) echo 'pg_dump (PostgreSQL) {version}'; exit;; esac
for method in {' '.join(built_with)}; do case "$*" in *--compress=$method*)
echo 'pg_dump: error: connection to server on socket "/nonexistent/.s.PGSQL.5432" failed' >&2; exit 1;; esac; done
echo 'pg_dump: error: this build does not support compression with zstd' >&2
exit 1
""")
    program.chmod(0o755)
    assert tools.compression_of(str(tmp_path)) == chosen
    old = version.startswith("15")
    assert tools.compression_of(str(tmp_path), "none") == ("0" if old else "none")
    assert tools.compression_of(str(tmp_path), "gzip:3") == ("3" if old else "gzip:3")


def test_two_backups_in_one_minute_get_two_names():
    moment = time.struct_time((2026, 11, 28, 22, 1, 0, 0, 0, 0))
    first = backup_dir.final_name("postgresql", moment, set())
    assert first == "postgresql_2026-11-28_2201"
    assert backup_dir.final_name("postgresql", moment, {first, first + "-2"}) == first + "-3"


@pytest.mark.parametrize(("kept", "now", "used"), [("7", "7", True), ("7", "8", False), (None, None, False), ("7", None, False)])
def test_a_backup_is_used_again_only_where_it_shows_to_be_of_this_server(monkeypatch, kept, now, used):
    manifest = {"server": {"system_identifier": kept}, "databases": {"crm": {}}, "archive": "directory", "files": []}
    monkeypatch.setattr(dump, "read_manifest", lambda *_: manifest)
    monkeypatch.setattr(dump, "damaged_files", lambda *_: [])
    request: Any = SimpleNamespace(reuse="/backups/crm", archive="directory", seal=None, digests=False)
    assert bool(dump.find_reusable(request, {"server": {"system_identifier": now}, "databases": ["crm"]})) is used


def test_only_staging_directories_of_dead_owners_are_removed(tmp_path):
    alive = {"pid": os.getpid(), "start": start_time(os.getpid()), "boot": boot_id()}
    for name, owner in (("dead", dict(alive, start=1)), ("alive", alive), ("foreign", None)):
        (tmp_path / f".partial-{name}").mkdir()
        if owner:
            (tmp_path / f".partial-{name}.owner").write_text(json.dumps(owner))
    assert backup_dir.remove_stale(str(tmp_path)) == [".partial-dead"]
    assert sorted(os.listdir(tmp_path)) == [".partial-alive", ".partial-alive.owner", ".partial-foreign"]


@pytest.mark.parametrize(
    ("tail", "whole"),
    [
        (END + "\n--\n\n", True),
        (END + "\n--\n\n\\unrestrict " + "a" * 63 + "\n\n", True),
        ("--\n-- PostgreSQL database dump complete\n--\n", False),
        (END + "\n--\nCREATE TABLE x\n", False),
        ("", False),
    ],
)
def test_a_plain_dump_without_its_end_is_found(tmp_path, tail, whole):
    (tmp_path / "backup.sql").write_text("x" * 5000 + "\n" + tail)
    if whole:
        check_complete(str(tmp_path / "backup.sql"))
    else:
        with pytest.raises(MigrationError, match="cut short"):
            check_complete(str(tmp_path / "backup.sql"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL:  password authentication failed for user "x"', "password"),
        ("fe_sendauth: no password supplied", "password"),
        ("FATAL:  authentification par mot de passe échouée pour l'utilisateur « x »", "password"),
        ('no pg_hba.conf entry for host "10.0.0.1", user "x", database "d", SSL off', "hba"),
        ("server does not support SSL, but SSL was required", "tls"),
        ("SSL error: certificate verify failed", "tls"),
        ('FATAL:  database "x" does not exist', "database"),
        ('FATAL:  role "x" is not permitted to log in', "login"),
        ("FATAL:  sorry, too many clients already", "busy"),
        ("could not translate host name", "unreachable"),
        ("Connection refused", "unreachable"),
    ],
)
def test_reasons_of_a_refused_connection_are_told_apart(text, kind):
    assert endpoint.connection_failure(text) == kind


def test_a_password_never_enters_the_environment_of_a_tool():
    one = endpoint.Endpoint(host="h", user="u", password="canary", passfile="/p")
    assert "canary" not in str(endpoint.libpq_environment(one)) + repr(one) + str(one)
    with pytest.raises(MigrationError, match="passfile"):
        endpoint.libpq_environment(endpoint.Endpoint(host="h", user="u", password="canary"))


def test_a_database_named_like_a_connection_string_stays_a_name():
    assert endpoint.database_argument("a=b 'c\\") == "dbname='a=b \\'c\\\\'"


def test_what_a_tool_said_is_reduced_to_the_object():
    text = "pg_restore: from TOC entry 3400; 0 16390 TABLE DATA customer shop\npg_restore: error: COPY failed: row secret\n"
    assert tools.failed_entry(text) == "TABLE DATA customer shop"
    assert tools.failed_entry("row secret") is None


@pytest.mark.parametrize(
    ("text", "major"), [("pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", 15), ("psql (PostgreSQL) 19beta1", 19)]
)
def test_versions_of_tools_are_read(text, major):
    assert tools.major_of(tools.parse_version(text)) == major


def test_the_first_failure_ends_the_other_programs(tmp_path):
    works = [tools.Work(["sh", "-c", script], {}, str(tmp_path / name), name) for name, script in (("bad", "exit 3"), ("long", "sleep 60"))]
    started = time.monotonic()
    with pytest.raises(MigrationError, match="sh of bad failed with exit status 3"):
        tools.run_all(works, 2)
    assert time.monotonic() - started < 30


def test_no_more_workers_than_slots_are_busy(tmp_path):
    count = f"cd {tmp_path} && mktemp busy.XXXX && ls busy.* | wc -l >> seen && sleep 0.2 && rm busy.*"
    tools.run_all([tools.Work(["sh", "-c", count], {}, str(tmp_path / f"log{n}"), str(n), 2) for n in range(3)], 2)
    assert (tmp_path / "seen").read_text().split() == ["1", "1", "1"]


def test_a_record_survives_and_a_torn_one_is_refused(tmp_path):
    path = str(tmp_path / "created.json")
    record = Record(path)
    assert record.state is None and record.objects == []
    record.open("1", "db:5432", "seal")
    record.add({"kind": "database", "name": "crm", "identity": None})
    record.update(record.objects[0], identity=7)
    assert Record(path).objects == [{"kind": "database", "name": "crm", "identity": 7}] and not Record(path).state["complete"]
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert record.is_of("1", "elsewhere:5432") and not record.is_of("2", "db:5432") and not record.is_of(None, "db:5432")
    with open(path, "w") as stream:
        stream.write("{")
    with pytest.raises(MigrationError, match="cannot be read"):
        Record(path)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("exit 3", "cat", "sh of x failed with exit status 3"),
        ("echo a; exit 3", "cat; exit 4", "exit status"),
        ("yes", "head -c 10; exit 4", "exit status"),
    ],
)
def test_the_failure_of_either_program_of_a_pipe_is_seen(tmp_path, first, second, message):
    work = tools.Work(["sh", "-c", first], {}, str(tmp_path / "log"), "x", then=["sh", "-c", second], output=str(tmp_path / "out"))
    with pytest.raises(MigrationError, match=message):
        tools.run_all([work], 1)


def test_a_pipe_writes_its_output_for_its_owner_only(tmp_path):
    work = tools.Work(["echo", "a"], {}, str(tmp_path / "log"), "x", then=["cat"], output=str(tmp_path / "out"))
    tools.run_all([work, work], 1)
    assert (tmp_path / "out").read_text() == "a\na\n" and os.stat(tmp_path / "out").st_mode & 0o777 == 0o600


def test_a_log_that_may_hold_no_row_keeps_only_what_is_harmless(tmp_path):
    said = (
        "pg_restore: processing data for table \"public.t\"",
        "pg_restore: error: COPY failed: canary",
        "pg_restore: detail: canary",
        'pg_dump: error: Dumping the contents of table "t" failed: canary',
        "CONTEXT:  COPY t, line 1: canary",
        "age: error: no identity matched any of the recipients",
    )
    script = "cat >&2 <<'END'\n" + "\n".join(said) + "\nEND\n"
    work = tools.Work(["sh", "-c", script], {}, str(tmp_path / "log"), "x", harmless=True)
    tools.run_all([work], 1)
    assert (tmp_path / "log").read_text().splitlines() == [
        said[0],
        "(withheld)",
        "(withheld)",
        'pg_dump: error: Dumping the contents of table "t" failed',
        "(withheld)",
        said[5],
    ]
