# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands keep the journal's promises on a real directory."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal import commands, store

Call = Callable[..., dict[str, Any]]
DEFAULTS: dict[str, Any] = {
    "migration_id": "crm-1", "purpose": "migrate", "run": {"stacks": ["pg"]}, "identities": ["old:5432", "new:5432"], "takeover": [],
    "token": None, "stack": "pg", "verb": "backup", "status": "started", "events": [{"host": "mover"}],
    "outcome": "ok", "cause": None, "rollback": [], "state_host": "state", "dead_runs": [],
    "holder": {"operator": "amel", "host": "h1", "boot": "b1", "pid_namespace": "n1", "pid": 7, "start": 1},
}
OTHER = {"operator": "idir", "host": "h2", "boot": "b2", "pid_namespace": "n1", "pid": 8, "start": 2}


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Runs a command as the module would."""
    def run(command: str, check_mode: bool = False, **params: Any) -> dict[str, Any]:
        return commands.execute({**DEFAULTS, "state_dir": str(tmp_path / "state"), "command": command, **params}, check_mode)
    return run


def whole_run(call: Call, *verbs: str, outcome: str = "ok") -> dict[str, Any]:
    """A run that does ``verbs`` on the mover and ends; returns what begin said."""
    begun = call("begin")
    for verb in verbs:
        call("record", token=begun["token"], verb=verb)
        call("record", token=begun["token"], verb=verb, status="ok")
    call("end", token=begun["token"], outcome=outcome)
    return begun


def verbs_of(call: Call) -> list[str]:
    shown = call("show")
    assert shown["chain"]["intact"], shown["chain"]
    return [f"{event['verb']} {event['status']}" for event in shown["events"]]


def test_a_whole_run_is_in_the_journal(call: Call) -> None:
    whole_run(call, "backup")
    assert verbs_of(call) == ["begin ok", "backup started", "backup ok", "end ok"]


def test_several_records_are_written_in_their_order_and_the_decisions_are_those_of_the_verb_that_begins(call: Call) -> None:
    begun = call("begin")
    call("record", token=begun["token"])
    between = [
        {"stack": "pg", "verb": "backup", "status": "ok", "events": [{"host": "mover", "facts": {"not_applicable": "no database"}}]},
        {"stack": "migration", "verb": "frozen", "status": "ok", "events": [{"host": "state"}]},
        {"stack": "pg", "verb": "freeze", "status": "started", "events": [{"host": "mover"}, {"host": "app"}]},
    ]
    done = call("record", token=begun["token"], records=between)
    assert verbs_of(call)[2:] == ["backup not_applicable", "frozen ok", "freeze started", "freeze started"]
    assert (done["decisions"], done["past_commit_point"]) == ({"mover": "run", "app": "run"}, False)
    assert [(one["verb"], one["host"], one["status"]) for one in done["news"]][:2] == [
        ("backup", "mover", "not_applicable"), ("frozen", "state", "ok")]
    moment = {"stack": "migration", "verb": "commit_point", "status": "ok", "events": [{"host": "state"}]}
    assert call("record", token=begun["token"], records=[moment])["past_commit_point"]
    with pytest.raises(MigrationError, match="never recorded as started"):
        call("record", token=begun["token"], records=[{**between[0], "verb": "verify"}, {**between[2], "verb": "migrate"}])
    assert verbs_of(call)[-1] == "commit_point ok", "all or none"


def test_a_record_that_fails_says_whether_the_commit_point_is_behind(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = call("begin")
    call("record", token=begun["token"])
    moment = {"stack": "migration", "verb": "commit_point", "status": "ok", "events": [{"host": "state"}]}

    def told(**params: Any) -> Any:
        with pytest.raises(MigrationError) as failed:
            call("record", **{"token": begun["token"], "status": "ok", **params})
        return failed.value.facts.get("past_commit_point")

    refused = [{"host": "mover", "facts": {"summary": "x" * 400}}]
    assert told(events=refused) is False
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda *_written: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert told(records=[moment]) is False
    with monkeypatch.context() as full:  # the line is on disk, the head that names it is not
        full.setattr(store, "publish_json", lambda *_published: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert told(records=[moment]) is True
    assert [told(events=refused), told(token="another")] == [True, True]
    (tmp_path / "state" / "crm-1" / "journal.jsonl").write_text("changed\n")
    assert told(events=refused) is None, "what cannot be read says nothing"


def test_files_and_directories_are_private(call: Call, tmp_path: Path) -> None:
    os.umask(0o022)
    begun = call("begin")
    call("record", token=begun["token"])
    for path in (tmp_path / "state").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_the_token_itself_is_nowhere_on_disk(call: Call, tmp_path: Path) -> None:
    token = call("begin")["token"].encode()
    assert len(token) == 64
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and token in path.read_bytes()]


def test_a_complete_migration_run_again_writes_no_event_and_changes_nothing(call: Call) -> None:
    whole_run(call, "backup", "migrate")
    before = verbs_of(call)
    begun = call("begin")
    assert begun["complete"] and not begun["changed"]
    for verb in ("backup", "migrate"):
        started = call("record", token=begun["token"], verb=verb)
        assert started["decisions"] == {"mover": "probe"} and not started["changed"]
        assert not call("record", token=begun["token"], verb=verb, status="ok")["changed"]
    assert not call("end", token=begun["token"])["changed"]
    assert verbs_of(call) == before
    assert not call("status")["lock"]["held"]


def test_a_run_that_only_probed_but_could_not_remove_its_secrets_is_on_record(call: Call) -> None:
    whole_run(call, "migrate")
    call("end", token=call("begin")["token"], not_proved=["that they are gone"])
    (told,) = [event["facts"] for event in call("show")["events"][-1:]]
    assert told == {"outcome": "ok", "not_proved": ["that they are gone"]}


def test_drift_of_a_complete_migration_is_journaled_with_its_begin(call: Call) -> None:
    whole_run(call, "migrate")
    begun = call("begin")
    call("record", token=begun["token"], verb="migrate")
    gone = [{"host": "mover", "facts": {"error": {"message": "gone"}}}]
    call("record", token=begun["token"], verb="migrate", status="failed", events=gone)
    call("end", token=begun["token"], outcome="refused")
    assert verbs_of(call)[4:] == ["begin ok", "migrate failed", "end failed"]


def test_what_has_nothing_to_do_is_recorded_for_many_stacks_at_once_and_only_once(call: Call) -> None:
    begun = call("begin")
    idle = [{"stack": stack, "host": "mover", "facts": {"not_applicable": "why"}} for stack in ("web", "traffic")]
    for changed in (True, False):
        done = call("record", token=begun["token"], stack="migration", verb="freeze", status="not_applicable", events=idle)
        assert done["changed"] is changed
    assert verbs_of(call)[1:] == ["freeze not_applicable"] * 2
    with pytest.raises(MigrationError, match="never recorded as started"):
        call("record", token=begun["token"], verb="migrate", status="ok")


def test_one_call_records_all_hosts_and_only_changed_inputs_run_again(call: Call) -> None:
    begun = call("begin")
    both = [{"host": "app1", "inputs_sha256": "a"}, {"host": "app2", "inputs_sha256": "b"}]
    call("record", token=begun["token"], events=both)
    call("record", token=begun["token"], status="ok", events=both)
    again = call("record", token=begun["token"], events=[both[0], {"host": "app2", "inputs_sha256": "c"}])
    assert again["decisions"] == {"app1": "probe", "app2": "run"}
    assert verbs_of(call)[-1] == "backup started" and call("show")["events"][-1]["host"] == "app2"


def test_an_interrupted_run_is_closed_by_the_next_one(call: Call) -> None:
    dead = call("begin")
    call("record", token=dead["token"], verb="migrate")
    begun = call("begin", holder=OTHER, dead_runs=[dead["run_id"]])
    assert begun["resumed"] and begun["attempt"] == 1
    assert begun["interrupted_after"] == {"stack": "pg", "verb": "migrate", "host": "mover", "status": "started"}
    events = call("show")["events"]
    assert [event["verb"] for event in events] == ["begin", "migrate", "end", "takeover", "begin"]
    assert events[2]["run_id"] == dead["run_id"] and events[2]["facts"]["outcome"] == "interrupted"
    with pytest.raises(MigrationError, match="not valid"):
        call("record", token=dead["token"])


def test_a_rollback_ends_the_attempt(call: Call) -> None:
    begun = call("begin")
    call("record", token=begun["token"], verb="rollback")
    call("record", token=begun["token"], verb="rollback", status="ok")
    call("end", token=begun["token"], outcome="rolled_back", rollback=[{"stack": "pg", "host": "mover", "verdict": "ok"}])
    again = call("begin", purpose="rollback")
    assert (again["attempt"], again["changed"]) == (1, False)
    call("end", token=again["token"], outcome="rolled_back")
    following = call("begin")
    assert (following["attempt"], following["previous"]["outcome"]) == (2, "rolled_back")


@pytest.mark.parametrize("same", [{"migration_id": "crm-1", "identities": []}, {"migration_id": "other", "identities": ["x", "new:5432"]}])
def test_a_second_run_is_refused_by_migration_and_by_identity(call: Call, same: dict[str, Any]) -> None:
    first = call("begin")
    with pytest.raises(MigrationError) as caught:
        call("begin", holder=OTHER, **same)
    assert first["run_id"] in caught.value.message and "amel" in caught.value.message
    assert verbs_of(call) == ["begin ok"]
    assert call("record", token=first["token"])["decisions"] == {"mover": "run"}
    taken = call("begin", holder=OTHER, takeover=[first["run_id"]], **same)
    assert "takeover ok" in verbs_of(call) or same["migration_id"] == "other"
    call("end", token=taken["token"], migration_id=same["migration_id"])


def test_what_preflight_identifies_is_locked_until_the_end_and_by_every_later_run_of_the_attempt(call: Call) -> None:
    def look(token: str, **params: Any) -> dict[str, Any]:
        call("record", token=token, verb="preflight", **params)
        server = [{"host": "mover", "facts": {"identities": ["PostgreSQL server 7"]}}]
        return call("record", token=token, verb="preflight", status="ok", events=server, **params)

    first, second = call("begin", identities=[]), call("begin", migration_id="other", identities=[], holder=OTHER)
    look(first["token"])
    with pytest.raises(MigrationError, match=f"PostgreSQL server 7 is locked by run {first['run_id']}.*amel"):
        look(second["token"], migration_id="other")
    look(first["token"])
    call("end", token=first["token"], outcome="waiting")
    assert look(second["token"], migration_id="other")["changed"]
    with pytest.raises(MigrationError, match="PostgreSQL server 7 is locked by .*idir"):
        call("begin", identities=[], purpose="commit")
    call("end", token=second["token"], migration_id="other")
    assert call("begin", identities=[], purpose="commit")["held"]


@pytest.mark.parametrize("token", [None, "", "wrong", "check-0"])
def test_nothing_is_recorded_without_the_token(call: Call, token: str | None) -> None:
    call("begin")
    for command in ("record", "end"):
        with pytest.raises(MigrationError, match="did not begin|not valid"):
            call(command, token=token)
    assert verbs_of(call) == ["begin ok"]


def test_a_verb_that_did_not_start_cannot_be_ok(call: Call) -> None:
    begun = call("begin")
    with pytest.raises(MigrationError, match="never recorded as started"):
        call("record", token=begun["token"], status="ok")
    assert verbs_of(call) == ["begin ok"]


@pytest.mark.parametrize("wrong", [
    {"stack": "migration", "verb": "end"}, {"stack": "migration", "verb": "begin"},
    {"stack": "pg", "verb": "frozen"}, {"stack": "../x"}, {"stack": None},
    {"events": [{"host": "mover", "facts": {"stdout": "x"}}]}, {"migration_id": "../x"}, {"migration_id": "a/b"}, {"migration_id": "-a"},
    {"migration_id": "x" * 64}, {"migration_id": "a\n"}, {"state_dir": "relative"},
])
def test_malformed_records_are_refused(call: Call, wrong: dict[str, Any]) -> None:
    begun = call("begin")
    with pytest.raises(MigrationError):
        call("record", **{"token": begun["token"], **wrong})
    assert verbs_of(call) == ["begin ok"]


def test_nothing_builds_on_a_changed_journal_but_it_can_be_read(call: Call, tmp_path: Path) -> None:
    begun = call("begin")
    path = tmp_path / "state" / "crm-1" / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b"migrate", b"commit"))
    for command in ("begin", "record", "end"):
        with pytest.raises(MigrationError, match="was changed"):
            call(command, token=begun["token"])
    assert not call("show")["chain"]["intact"]
    assert not call("status")["chain"]["intact"]


@pytest.mark.parametrize("prepared", [False, True])
def test_a_torn_line_is_set_aside_and_journaled_once(call: Call, tmp_path: Path, prepared: bool) -> None:
    begun = call("begin")
    directory = tmp_path / "state" / "crm-1"
    with (directory / "journal.jsonl").open("ab") as stream:
        stream.write(b'{"attempt":1,"fac')
    assert call("show")["chain"] == {**call("show")["chain"], "intact": True, "torn": 17}
    if prepared:  # a writer died between setting aside and journaling
        from ansible_collections.dihya.migration.plugins.module_utils._journal.store import Journal
        Journal(str(tmp_path / "state"), "crm-1")._set_aside(b'{"attempt":1,"fac')
    call("record", token=begun["token"])
    call("record", token=begun["token"], status="ok")
    assert verbs_of(call) == ["begin ok", "torn_write ok", "backup started", "backup ok"]
    torn = call("show")["events"][1]["facts"]
    assert Path(torn["proofs"][0]["path"]).read_bytes() == b'{"attempt":1,"fac' and torn["counts"] == {"bytes": 17}


def test_check_mode_writes_nothing_and_says_what_would_be(call: Call, tmp_path: Path) -> None:
    begun = call("begin", check_mode=True)
    assert begun["attempt"] == 1 and not begun["complete"]
    assert call("record", check_mode=True, token=begun["token"])["decisions"] == {"mover": "run"}
    call("record", check_mode=True, token=begun["token"], status="ok")
    call("end", check_mode=True, token=begun["token"])
    assert not list(tmp_path.iterdir())
    whole_run(call, "backup")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    begun = call("begin", check_mode=True)
    assert begun["complete"]
    assert call("record", check_mode=True, token=begun["token"])["decisions"] == {"mover": "probe"}
    call("end", check_mode=True, token=begun["token"])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_check_mode_is_refused_while_another_run_works(call: Call) -> None:
    call("begin")
    with pytest.raises(MigrationError, match="is locked by"):
        call("begin", check_mode=True, holder=OTHER)


def test_the_begin_of_a_run_that_cannot_write_leaves_no_lock(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any) -> int:
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        with pytest.raises(MigrationError, match="No space left"):
            call("begin")
    assert not call("status")["lock"]["held"]
    call("begin", holder=OTHER)


def test_status_tells_who_runs_and_where(call: Call) -> None:
    begun = call("begin")
    call("record", token=begun["token"], verb="freeze")
    call("record", token=begun["token"], stack="migration", verb="frozen", status="ok", events=[{"host": "state"}])
    found = call("status")
    assert found["lock"]["held"] and found["lock"]["operator"] == "amel" and "token_sha256" not in found["lock"]
    assert found["status"]["stacks"]["pg"]["verb"] == "freeze" and found["status"]["frozen_since"]


def test_a_probe_that_failed_lets_the_unit_run_again(call: Call) -> None:
    whole_run(call, "migrate")
    begun = call("begin")
    assert call("record", token=begun["token"], verb="migrate")["decisions"] == {"mover": "probe"}
    again = call("record", token=begun["token"], verb="migrate", events=[{"host": "mover", "again": True}])
    assert again["decisions"] == {"mover": "run"}
    call("record", token=begun["token"], verb="migrate", status="ok")
    assert verbs_of(call)[4:] == ["begin ok", "migrate started", "migrate ok"]


def test_a_host_with_nothing_to_do_says_so_in_its_facts(call: Call) -> None:
    begun = call("begin")
    call("record", token=begun["token"])
    call("record", token=begun["token"], status="ok", events=[{"host": "mover", "facts": {"not_applicable": "no database"}}])
    assert verbs_of(call)[-1] == "backup not_applicable"


def test_a_complete_run_that_died_while_it_probed_leaves_no_trace(call: Call) -> None:
    whole_run(call, "migrate")
    before = verbs_of(call)
    dead = call("begin")
    begun = call("begin", holder=OTHER, dead_runs=[dead["run_id"]])
    assert begun["complete"] and not begun["changed"] and verbs_of(call) == before


def begin_at_once(state: str, number: int, start: Any, results: Any) -> None:
    """One of several processes that begin at the same moment, then record as long as they are let."""
    holder = {**OTHER, "pid": number}
    base = {**DEFAULTS, "state_dir": state, "holder": holder}
    start.wait()
    try:
        token = commands.execute({**base, "command": "begin"}, False)["token"]
        for record in range(20):
            commands.execute({**base, "command": "record", "token": token, "events": [{"host": f"h{record}"}]}, False)
        results.put("began")
    except MigrationError as error:
        results.put("refused" if "is locked by" in error.message else error.message)


def test_of_runs_that_begin_at_once_exactly_one_does(call: Call, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        start, results = context.Barrier(6), context.Queue()
        state = str(tmp_path / f"s{attempt}")
        processes = [context.Process(target=begin_at_once, args=(state, number, start, results)) for number in range(100, 106)]
        for process in processes:
            process.start()
        assert sorted(results.get(timeout=60) for _process in processes) == ["began"] + ["refused"] * 5
        for process in processes:
            process.join()
        assert [event["verb"] for event in call("show", state_dir=state)["events"]] == ["begin"] + ["backup"] * 20


def test_writers_of_one_journal_wait_for_each_other(call: Call, tmp_path: Path) -> None:
    token = call("begin")["token"]
    base = {**DEFAULTS, "state_dir": str(tmp_path / "state"), "command": "record", "token": token}

    def write(writer: int) -> None:
        for number in range(15):
            commands.execute({**base, "events": [{"host": f"h{writer}-{number}"}]}, False)
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(verbs_of(call)) == 1 + 4 * 15
