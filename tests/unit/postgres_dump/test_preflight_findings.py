# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each fact that stands against a migration gives its finding; sound facts give none."""

from __future__ import annotations

import copy
from typing import Any, Callable

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight import (
    amount,
    findings,
    not_proved,
    plain,
    plan,
    version_key,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_space import drill_needs, room

SETTINGS = {
    "max_locks_per_transaction": "64",
    "max_connections": "100",
    "max_prepared_transactions": "0",
    "TimeZone": "UTC",
    "lc_monetary": "C",
    "lc_messages": "C",
    "lc_time": "fr_FR.UTF-8",
    "wal_level": "logical",
    "work_mem": "8000",
}
LOGIN = {"name": "postgres", "superuser": True, "createdb": True, "createrole": True}
ROLE = {"name": "crm", "superuser": False, "replication": False, "bypassrls": False, "login": True, "password": "SCRAM-SHA-256$x"}
FRAME = {
    "name": "crm",
    "owner": "crm",
    "encoding": "UTF8",
    "collate": "fr_FR.UTF-8",
    "ctype": "fr_FR.UTF-8",
    "provider": "c",
    "allow_connections": True,
    "is_template": False,
}
SORTED = {"name": "public.sorted", "collname": "sorted", "system": False, "provider": "c", "collate": "xx_XX", "ctype": "xx_XX"}
TABLE = {"schema": "app", "name": "t", "kind": "r", "persistence": "p", "bytes": 600, "index_bytes": 400}


def sound() -> dict[str, Any]:
    side = {
        "reachable": True,
        "user": "postgres",
        "dbname": "postgres",
        "standby": False,
        "clients": [],
        "pending": [],
        "tablespaces": {"pg_default": True, "shut": False},
        "xml": True,
        "icu": False,
        "superuser_only": ["vector"],
        "hba": ["scram-sha-256"],
        "maps": [],
        "local_data": {"free": 10**6, "device": 2},
        "available": {"plpgsql": ["1.0"], "vector": ["0.8.0", "0.10.0"]},
        "collations": [{"provider": "c", "collate": "fr_FR.utf8", "ctype": "fr_FR.utf8"}],
        "named": [["fr_FR.utf8", "UTF8"], ["und-x-icu", ""]],
        "refused_locales": [["xx_XX", "xx_XX"]],
    }
    source = dict(
        side,
        name="old:5432",
        contents={
            "crm": {
                "relations": [TABLE],
                "objects": 3,
                "extensions": [{"name": "vector", "version": "0.9.1"}],
                "types": {},
                "callers": [],
                "dictionaries": [],
                "icu_columns": 0,
                "collations": [dict(SORTED, collate="fr_FR.utf8", ctype="fr_FR.utf8"), dict(SORTED, system=True, collname="fr_FR.utf8")],
                "unreadable": [],
                "hidden": [],
                "subscriptions": [],
            }
        },
        server={"version": "16.4", "version_num": 160004, "system_identifier": "1", "settings": dict(SETTINGS), "own": [],
                "login": dict(LOGIN)},
        globals={"passwords": True, "roles": [dict(ROLE)], "databases": [dict(FRAME)], "settings": []},
    )
    target = dict(
        side,
        name="new:5432",
        create_role=True,
        objects={},
        server={"version": "18.1", "version_num": 180001, "system_identifier": "2", "settings": dict(SETTINGS), "own": [],
                "login": dict(LOGIN)},
        globals={"passwords": True, "roles": [], "databases": [], "settings": []},
    )
    return copy.deepcopy(
        {
            "source": source,
            "target": target,
            "wanted": ["crm"],
            "jobs": 2,
            "cores": 2,
            "known_clients": [],
            "same_server": False,
            "tools": {name: {"version": "18.1"} for name in ("pg_dump", "pg_restore", "pg_dumpall", "psql")},
            "backup": {"path": "/b", "error": None, "free": 10**6, "device": 1},
            "dumps": 1,
            "copies": [],
            "drill": {"path": "/d", "error": None, "free": 10**6, "device": 1},
            "sealing": [],
            "logins": [],
            "leave_out": [],
            "tablespaces": {},
            "pins": [],
            "accepted": [],
        }
    )


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of the facts at ``path``."""

    def change(facts: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        at: Any = facts
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        at[int(last) if isinstance(at, list) else last] = value

    return change


def test_sound_facts_give_no_finding():
    assert findings(sound()) == []


CASES = [
    (put("source/reachable", False), "postgresql_source", None),
    (put("tools/psql", {"error": "the program psql was not found in PATH"}), "psql was not found", True),
    (put("tools/pg_dump", {"version": "15.3"}), "older than the source's 16", True),
    (put("tools/pg_restore", {"version": "16.3"}), "older than the target's 18", True),
    (put("target/server/version_num", 170001), "may not restore on the target's 17", True),
    (put("target/server/version_num", 150001), "older than the source", True),
    (put("source/server/version_num", 120022), "the source is of version", True),
    (put("target/refused_options", ["pg_attver"]), "writes the column option pg_attver", True),
    (put("backup/error", "Permission denied"), "/b cannot be written", True),
    (put("backup/free", 599), "the backup may take 600 B", True),
    (put("sealing", [("postgresql_backup_identity", "/i can be read by others", "chmod 600 /i")]), "can be read by others", True),
    (put("wanted", ["crm", "gone"]), "no database gone", True),
    (put("wanted", []), "no database is named", True),
    (put("pins", ["timezone", "time_zone"]), "time_zone is no setting that can be pinned", True),
    (put("target/refused_pins", {"DateStyle": "SQLSTATE 42501"}), "cannot pin DateStyle on the target: SQLSTATE 42501", True),
    (put("tablespaces", {"pg_default": "fast"}), "the target has no tablespace fast", True),
    (put("tablespaces", {"gone": "pg_default"}), "the source has no tablespace gone", True),
    (put("tablespaces", {"pg_default": "shut"}), "may not create anything in tablespace shut", True),
    (put("source/contents/crm", {"error": "SQLSTATE 42501"}), "SQLSTATE 42501", True),
    (put("source/contents/crm/unreadable", ["app.secret"]), "may not read in database crm: app.secret", True),
    (put("source/contents/crm/hidden", ["app.rows"]), "row security may hide rows", True),
    (put("source/contents/crm/long_rows", [{"relation": "app.t", "rows": 2, "bytes": 1_200_000_000}]),
     "table app.t in database crm has rows that pg_dump cannot read (2): up to 1.2 GB as text", True),
    (put("source/contents/crm/long_rows", [{"relation": "app.t", "rows": None, "bytes": None}]), "longer than the limit of 1.1 GB", True),
    (put("source/contents/crm/relations", [TABLE] * 7000), "7000 tables, the lock table of the source", False),
    (put("source/contents/crm/relations", [dict(TABLE, bytes=0)] * 10000), "10000 tables, the lock table of the source", True),
    (put("source/pending", [{"kind": "prepared transaction", "name": "p"}]), "prepared transaction: p", False),
    (put("source/contents/crm/relations", [dict(TABLE, kind="f")]), "foreign table: crm: app.t", False),
    (put("source/contents/crm/extensions", [{"name": "pg_cron", "version": "1.4"}]), "pg_cron works in database crm", True),
    (put("source/contents/crm/schedulers", [{"name": "pg_cron launcher"}]), "pg_cron works in database crm", True),
    (put("source/contents/crm/subscriptions", [{"kind": "subscription", "name": "s", "enabled": False}]), "subscription: s", False),
    (put("source/contents/crm/subscriptions", [{"kind": "subscription", "name": "s", "enabled": True}]),
     "subscription s is enabled in database crm", True),
    (
        put("source/clients", [{"user": "crm", "application_name": "", "client_addr": "10.0.0.1"}]),
        "an unnamed application from 10.0.0.1",
        False,
    ),
    (put("target/standby", True), "is a standby", True),
    (put("target/create_role", False), "may not create roles", True),
    (put("target/server/login", dict(LOGIN, superuser=False, createdb=False)), "may not create databases", True),
    (put("same_server", True), "are the same server", True),
    (put("target/server/system_identifier", "1"), "a physical copy", False),
    (put("source/contents/crm/extensions", [{"name": "postgis", "version": "3.4"}]), "postgis 3.4 is not available", True),
    (put("source/contents/crm/extensions", [{"name": "vector", "version": "0.11"}]), "has only 0.10.0", True),
    (put("source/globals/databases/0/collate", "ber_MA.UTF-8"), "locale ber_MA.UTF-8", True),
    (put("source/globals/databases/0/provider", "i"), "needs ICU", True),
    (put("source/globals/databases/0/encoding", "SQL_ASCII"), "SQL_ASCII", False),
    (put("source/contents/crm/icu_columns", 2), "columns in database crm need ICU", True),
    (put("source/contents/crm/collations", [SORTED]), "locale xx_XX of collations in database crm is not known on the target", True),
    (put("source/contents/crm/collations", [dict(SORTED, provider="i")]), "collations of database crm need ICU", True),
    (put("source/contents/crm/collations", [dict(SORTED, system=True, collname="sv_SE", name='"sv_SE"')]),
     'a new database of the target lacks collations that database crm uses: "sv_SE"', True),
    (put("target/named", [["fr_FR.utf8", "LATIN1"]]), "a new database of the target lacks collations that database crm uses", True),
    (put("source/globals/roles/0/password", "md5abc"), "the passwords of crm are md5 hashes", False),
    (put("target/server/settings/TimeZone", "Europe/Paris"), "TimeZone is UTC on the source", True),
    (put("target/server/settings/lc_messages", "fr_FR.UTF-8"), "lc_messages is C on the source", False),
    (put("source/server/own", ["TimeZone", "lc_messages"]), "user postgres has a TimeZone of its own on the source", True),
    (put("accepted", ["time_zone"]), "time_zone is no setting that is compared", True),
    (put("target/server/settings/max_connections", "50"), "max_connections is lower on the target (50) than on the source (100)", False),
    (put("target/server/settings/wal_level", "replica"), "wal_level is lower on the target (replica)", False),
    (put("target/server/settings/work_mem", "4096"), "work_mem is lower on the target (4.2 MB) than on the source (8.2 MB)", False),
    (put("target/server/settings/max_locks_per_transaction", "0"), "the lock table of the target is made for 0", True),
    (put("source/hba", ["md5", "reject", "ldap"]), "clients log in to the source by ldap, and no rule", False),
    (put("source/maps", ["staff"]), "rules of the source use the user name maps staff", False),
    (put("target/local_data", None), "cannot be asked for from here, the restore may take 1.2 kB", False),
    (put("target/local_data", {"free": 1199, "device": 2}), "the target has 1.2 kB free, the restore may take 1.2 kB", True),
    (put("target/local_data", {"free": 1799, "device": 1}), "backups (600 B) and restore (1.2 kB) may take 1.8 kB", True),
    (put("source/contents/crm/types", {"xid": 3}), "columns of type xid", False),
    (put("source/contents/crm/callers", ["index app.i"]), "calls functions of its own for index app.i", False),
]


def found_after(change: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """The findings of sound facts with one change."""
    facts = sound()
    facts["source"].update(error="nothing answers there", kind="password")
    change(facts)
    return findings(facts)


@pytest.mark.parametrize(("change", "text", "blocking"), CASES)
def test_a_fact_that_stands_against_it_is_found(change, text, blocking):
    found = [one for one in found_after(change) if text in one["subject"] + " " + one["finding"]]
    assert found and all(one["remedy"] for one in found)
    assert blocking is None or [one["blocking"] for one in found] == [blocking]


def test_a_setting_that_changes_meaning_stops_unless_it_comes_along_or_is_accepted():
    def told(change: Callable[[dict[str, Any]], None], zone: str = "Africa/Algiers") -> list[tuple[str, bool]]:
        facts = sound()
        facts["target"]["server"]["settings"].update(TimeZone=zone, lc_time="fr_FR.utf8")  # the latter is another spelling only
        change(facts)
        said = [one[len("that a statement means the same: "):-len(", as accepted")] for one in not_proved(facts)]
        return [(one["finding"], one["blocking"]) for one in findings(facts)] + [(one, "not proved") for one in said]

    zone = "TimeZone is UTC on the source and Africa/Algiers on the target"
    own, theirs = ({"database": name, "role": None, "settings": ["TimeZone=UTC"]} for name in ("crm", None))
    assert told(put("jobs", 2)) == [(zone, True)]
    assert told(put("jobs", 2), "Etc/UTC") == []
    assert told(put("accepted", ["timezone"])) == [(zone, False), (zone, "not proved")]
    assert told(put("accepted", ["timezone"]), "UTC") == []
    hidden = "user postgres has a TimeZone of its own on the target: what others get there is not seen"
    assert told(put("target/server/own", ["TimeZone"])) == [(hidden, True)]  # the value is compared with nothing

    def pinned(facts: dict[str, Any]) -> None:
        facts["source"]["server"]["own"], facts["target"]["server"]["own"], facts["pins"] = ["TimeZone"], ["TimeZone"], ["TimeZone"]
    assert told(pinned) == [(hidden.replace("target", "source"), True)]  # the value of the login would be pinned

    def accepted(facts: dict[str, Any]) -> None:
        facts["target"]["server"]["own"], facts["accepted"] = ["TimeZone"], ["TimeZone"]
    assert told(accepted) == [(hidden, "not proved")]
    for comes in (put("pins", ["timezone"]), put("source/globals/settings", [own]), put("source/globals/settings", [theirs])):
        assert told(comes) == []
    assert told(put("source/globals/settings", [dict(own, role="crm"), dict(own, database="other")])) == [(zone, True)]

    def plain(facts: dict[str, Any]) -> None:
        put("source/globals/settings", [theirs])(facts)
        put("target/server/login/superuser", False)(facts)
    assert (zone, True) in told(plain)  # such a login brings nothing that is for every role
    facts = sound()
    facts["target"]["server"]["settings"]["TimeZone"] = "Africa/Algiers"
    for side, settings in (("source", "TimeZone=UTC"), ("target", "TimeZone=Africa/Algiers")):
        facts[side]["globals"]["settings"] = [dict(theirs, settings=[settings])]
    assert [one["finding"] for one in findings(facts)] == [zone]  # the target keeps what it has for every role


@pytest.mark.parametrize(("name", "before", "after", "same"), [
    ("lc_monetary", "C", "POSIX", True), ("lc_numeric", "C", "C.UTF-8", True), ("lc_time", "fr_FR.UTF-8", "fr_FR", True),
    ("lc_time", "fr_FR", "fr_FR@euro", False), ("lc_numeric", "C", "fr_FR.UTF-8", False),
    ("search_path", '"$user", public', '"$user",public', True), ("search_path", "public", "app, public", False),
    ("default_text_search_config", "pg_catalog.english", "english", True), ("xmloption", "content", "document", False)])
def test_settings_that_only_are_spelt_otherwise_are_no_difference(name, before, after, same):
    facts = sound()
    for side, value in (("source", before), ("target", after)):
        facts[side]["server"]["settings"] = {**facts[side]["server"]["settings"], name: value}
    assert bool([one for one in findings(facts) if one["blocking"]]) is not same


def test_an_existing_target_database_is_named_with_its_owner():
    facts = sound()
    facts["target"]["globals"]["databases"] = [dict(FRAME, owner="someone")]
    for objects, text in ((3, "is not empty (3 objects)"), (None, "cannot be looked into")):
        facts["target"]["objects"] = {"crm": objects}
        assert [one["finding"] for one in findings(facts)] == [f"database crm of someone exists on the target and {text}"]
    facts["target"]["objects"] = {"crm": 0}
    assert findings(facts) == []


def test_all_that_comes_to_one_file_system_has_to_fit_there():
    facts = sound()
    facts.update(dumps=2, copies=[{"path": "/c", "error": None, "free": 1799, "device": 1}])
    facts["backup"]["free"] = 1799
    told = "1.8 kB free, 3 dumps and copies of 600 B each may take 1.8 kB"
    assert [(one["subject"], one["finding"]) for one in findings(facts)] == [("migration_backup_dir", f"/b has {told}")]
    facts["target"]["local_data"] = {"free": 2999, "device": 1}
    assert "backups (1.8 kB) and restore (1.2 kB) may take 3.0 kB" in str(findings(facts))
    facts["target"]["local_data"]["device"] = 2
    facts["copies"][0].update(device=3, free=599)
    assert [one["subject"] for one in findings(facts)] == ["migration_backup_copies"]
    assert drill_needs(facts) == {"databases": 1200, "backup": 600}
    facts["drill"]["device"] = 3
    assert drill_needs(facts) == {"databases": 1200, "backup": 0}
    told = [(row["seen"]["filesystem"], row["seen"]["free_bytes"], row["bytes"]) for row in room(facts, "boot")]
    assert told == [("boot 1", 1799, 1200), ("boot 3", 599, 600), ("boot 2", 2999, 1200)]


def test_values_that_another_build_cannot_read_block():
    facts = sound()
    facts["source"]["contents"]["crm"]["types"] = {"xml": 1, "money": 1}
    facts["target"].update(xml=False)
    facts["target"]["server"]["settings"]["lc_monetary"] = "fr_FR.UTF-8"
    blocking = [one["finding"] for one in findings(facts) if one["blocking"]]
    assert any("xml columns" in text for text in blocking) and any("money columns" in text for text in blocking)


def test_an_extension_that_only_a_superuser_can_make_blocks_an_ordinary_login_unless_it_is_left_out():
    facts = sound()
    facts["target"]["server"]["login"]["superuser"] = False
    assert [one["finding"] for one in findings(facts)] == ["only a superuser can create extension vector on the target"]
    facts["leave_out"] = ["extension vector"]
    assert findings(facts) == []


def test_what_cannot_be_looked_at_or_kept_from_happening_is_told():
    facts = sound()
    facts["target"]["local_data"] = None
    assert not_proved(facts) == ["free disk space of the target server"]
    facts["target"]["hba"] = None
    facts["source"]["contents"]["crm"]["dictionaries"] = ["app.ours"]
    assert not_proved(facts)[1:] == ["rules of pg_hba.conf on the target: user postgres may not read them",
                                     "that the target has the files of text search dictionary app.ours of database crm"]
    facts = sound()
    facts["target"].update(user="migrator", local_data={"free": 10**6, "device": 2})
    facts["target"]["server"]["login"]["superuser"] = False
    (point,) = not_proved(facts)
    assert "the target's server log" in point and "user migrator" in point


def test_both_sides_are_told_when_neither_answers():
    facts = sound()
    for side in ("source", "target"):
        facts[side] = {"reachable": False, "error": f"{side} is down", "kind": "unreachable", "name": side}
    assert [one["finding"] for one in findings(facts)] == ["source is down", "target is down"]
    assert plan(facts) == [] and not_proved(facts) == ["free disk space of the target server"]


def test_the_plan_says_what_moves_where_and_how_much():
    (one,) = plan(sound())
    assert (one["from"], one["to"], one["amount"], one["seconds"]) == ("old:5432", "new:5432", "1 tables, 1.0 kB", 1.0)


def test_the_predicted_time_is_that_of_the_benchmark_with_the_proof_of_every_row():
    facts = sound()
    facts["source"]["contents"]["crm"]["relations"] = [dict(TABLE, bytes=804_000_000, index_bytes=200_000_000)]
    assert 35 <= plan(facts)[0]["seconds"] <= 42.6  # docs/benchmarks.md: 38.6 s (35.0 – 42.6)
    facts["cores"] = 1
    assert 70 <= plan(facts)[0]["seconds"] <= 85.2


def test_names_and_numbers_are_compared_as_people_mean_them():
    assert plain("fr_FR.UTF-8") == plain("fr_fr.utf8") and plain("fr_FR.ISO-8859-1@euro") == "fr_fr.iso88591@euro"
    assert version_key("0.10.0") > version_key("0.9.1")
    assert [amount(count) for count in (5, 1500, 2_500_000, 3 * 10**12)] == ["5 B", "1.5 kB", "2.5 MB", "3.0 TB"]
