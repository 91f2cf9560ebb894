# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore drill decides before it touches anything."""

from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres import drill, drill_plan, throwaway

NOW = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.timezone.utc)
MANIFEST = {
    "server": {"version_num": 150018, "system_identifier": "71",
               "settings": {"max_locks_per_transaction": "1000", "max_connections": "100"}},
    "tools": {"pg_dump": "18.6"}, "tables": {"crm": {"public.a": {"bytes": 1000, "index_bytes": 500}}},
    "databases": {"crm": {"collate": "fr_FR.UTF-8", "ctype": "C", "provider": "c", "encoding": "UTF8"}},
}
PLAN = drill_plan.make_plan(MANIFEST, ["crm"], 18, "18.6")
GOOD = {"kind": "restore_drill", "format": 1, "passed": True, "created": "2026-11-27T12:00:00.000000Z", "plan": PLAN,
        "bytes": 1000, **dict.fromkeys(drill_plan.KEPT, 0)}


def test_evidence_of_the_same_plan_counts():
    assert drill_plan.evidence_problems(GOOD, PLAN, 1500, NOW) == []
    assert drill_plan.evidence_problems(GOOD, PLAN, None, NOW) == []  # nobody knows yet what these have


@pytest.mark.parametrize(("change", "said"), [
    ({"created": "2026-11-21T11:00:00.000000Z"}, "more than 7 days old"),
    ({"created": "2026-11-29T12:00:00.000000Z"}, "a time to come"),
    ({"created": "yesterday"}, "does not say when"),
    ({"plan": {**PLAN, "target_major": 17}}, "its target major is 17, not 18"),
    ({"plan": {**PLAN, "source_major": 16}}, "its source major is 16, not 15"),
    ({"plan": {**PLAN, "databases": ["crm", "hr"]}}, "its databases are crm, hr, not crm"),
    ({"plan": {**PLAN, "tools": {"pg_dump": "18.5", "pg_restore": "18.6"}}}, "its tools are pg_dump 18.5"),
    ({"plan": {**PLAN, "system_identifier": "72"}}, "its system identifier is 72, not 71"),
    ({"plan": {**PLAN, "leave_out": ["extension vector"]}}, "its choice of what is left out is extension vector, not none"),
    ({"plan": {**PLAN, "owners": {"crm": "hr"}}}, "its owners are crm hr, not none"),
    ({"plan": {key: value for key, value in PLAN.items() if key != "leave_out"}}, "its choice of what is left out is not known, not none"),
    ({"plan": None}, "its databases are not known"),
    ({"bytes": 700}, "it is of databases of 700 B, and these have 1.5 kB"),
    ({"bytes": 3001}, "it is of databases of 3.0 kB"),
    ({"bytes": None}, "does not say how much"),
    ({"passed": "yes"}, "not the evidence of a drill that passed"),
    ({"kind": "other"}, "not the evidence of a drill that passed"),
])
def test_other_evidence_does_not_count_and_says_why(change, said):
    assert any(said in problem for problem in drill_plan.evidence_problems({**GOOD, **change}, PLAN, 1500, NOW))


def test_evidence_of_which_nobody_knows_the_cluster_counts_and_that_is_told():
    hidden = drill_plan.make_plan({**MANIFEST, "server": {**MANIFEST["server"], "system_identifier": None}}, ["crm"], 18, "18.6")
    for evidence, plan in ((GOOD, hidden), ({**GOOD, "plan": hidden}, PLAN), ({**GOOD, "plan": hidden}, hidden)):
        assert drill_plan.evidence_problems(evidence, plan, 1500, NOW) == []
        assert drill_plan.evidence_limits(evidence, plan) == [drill_plan.OF_ANOTHER]
    assert drill_plan.evidence_limits(GOOD, PLAN) == []


def test_a_drill_that_left_something_out_is_noted_as_one_of_a_part(monkeypatch, tmp_path):
    manifest = {**MANIFEST, "restorable_on": []}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    shown = dict.fromkeys(("version", "tables", "rows", "not_proved", "explained", "counts", "digests"), 0)
    monkeypatch.setattr(drill, "_manifest", lambda *_args: json.loads((tmp_path / "manifest.json").read_text()))
    for name, value in (("tool_version", "18.6"), ("_major", 18), ("choose", drill.Choice("scratch", ""))):
        monkeypatch.setattr(drill, name, lambda *_args, value=value: value)
    monkeypatch.setattr(drill, "_drill", lambda _request, choice, *_more: (
        choice, {**shown, "server": "scratch", "limits": [], "seconds": {"restore": 1.0, "compare": 1.0}, "not_proved": []}))
    said = []
    for number, left in enumerate((["extension vector"], []), 1):
        result = drill.drill(drill.DrillRequest(str(tmp_path / str(number)), backup=str(tmp_path), leave_out=left))
        now = json.loads((tmp_path / "manifest.json").read_text())
        said.append((now["restorable_on"], now.get("partly_restorable_on"), result["limits"]))
    assert said == [([], [18], ["restore drill: left out by choice: extension vector"]), ([18], [18], [])]


def test_evidence_of_another_cluster_is_found_before_there_is_a_backup():
    plan = drill_plan.make_plan(None, ["crm"], 18, "18.6", "72")
    assert drill_plan.evidence_problems(GOOD, plan, None, NOW) == ["its system identifier is 71, not 72"]


def test_everything_against_evidence_is_said_at_once():
    changed = {**GOOD, "created": "2026-11-01T12:00:00.000000Z", "plan": {**PLAN, "target_major": 17, "source_major": 16}}
    assert len(drill_plan.evidence_problems(changed, PLAN, 1500, NOW)) == 3


def test_long_names_of_databases_stay_apart_and_fit():
    renamed = drill_plan.scratch_names(["é" * 31 + "a", "é" * 31 + "b"])
    assert len(set(renamed.values())) == 2
    assert all(len(name.encode()) <= 63 for name in renamed.values())


def test_what_a_throw_away_server_lacks_is_named():
    server = {"extensions": {"plpgsql", "vector"}, "locales": {"en_US.utf8"}, "icu": False, "named": [["sv_SE", "LATIN1"]],
              "refused_locales": [["de_DE", "de_DE"]]}
    own = {"name": "app.own", "collname": "own", "system": False, "provider": "c", "collate": "de_DE", "ctype": "de_DE"}
    system = dict(own, system=True, name="sv_SE", collname="sv_SE")
    frames = {"crm": dict(MANIFEST["databases"]["crm"], needs={"collations": [own, system]}),
              "hr": {"collate": "C", "ctype": "en_US.UTF-8", "provider": "i", "encoding": "UTF8"}}
    found = drill_plan.lacking(frames, ["vector", "postgis", "pg_cron"], server)
    assert [sum(word in text for text in found) for word in ("postgis", "pg_cron", "fr_FR.UTF-8", "ICU", "de_DE", "sv_SE", "vector",
                                                             "en_US")] == [1, 1, 1, 1, 1, 1, 0, 0]
    assert drill_plan.lacking({}, ["vector"], server) == []


def test_the_server_is_closed_and_can_lock_as_many_tables_as_the_source():
    text = drill_plan.server_settings(MANIFEST, 2, "C")
    for line in ("listen_addresses = ''", "archive_mode = 'off'", "shared_preload_libraries = ''", "max_logical_replication_workers = '0'",
                 "max_connections = '28'", "max_locks_per_transaction = '3572'"):
        assert line + "\n" in text


def test_auto_falls_back_on_the_target_and_only_there(monkeypatch, tmp_path):
    monkeypatch.setattr(throwaway, "USUAL", ())
    request = drill.DrillRequest(str(tmp_path), target=drill.Endpoint("h", "u"))
    chosen = drill.choose(request, 18, 0)
    assert chosen.server == "scratch" and "no server programs" in chosen.reason
    strict = drill.DrillRequest(str(tmp_path), target=request.target, server="throwaway")
    for other in (drill.DrillRequest(str(tmp_path), version=18), strict):
        with pytest.raises(throwaway.Unfit, match="install the server's package"):
            drill.choose(other, 18, 1 << 60)


def test_what_only_shows_in_the_running_server_falls_back_too(monkeypatch, tmp_path):
    def unfit(*_args: object) -> None:
        raise throwaway.Unfit("extension postgis is not installed")
    monkeypatch.setattr(drill, "_on_throwaway", unfit)
    monkeypatch.setattr(drill, "_on_scratch", lambda *_args: {"server": "scratch"})
    request = drill.DrillRequest(str(tmp_path), target=drill.Endpoint("h", "u"))
    choice, done = drill._drill(request, drill.Choice("throwaway", ""), {}, [])
    assert (choice.server, done["server"]) == ("scratch", "scratch") and "postgis" in choice.reason
