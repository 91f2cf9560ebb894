# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run log holds names only, one line a write, and the events are those that the journal took."""

from __future__ import annotations

import hashlib
import json
import pathlib

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.plugin_utils.report import lastwords, runlog
from ansible_collections.dihya.migration.plugins.plugin_utils.report.history import build
from ansible_collections.dihya.migration.plugins.plugin_utils.report.runlog import RunLog, Seen, name_or_nothing

from tests.unit.report import journals


def test_lines_are_whole_private_and_named_after_the_run(tmp_path: pathlib.Path) -> None:
    log = RunLog(str(tmp_path / "reports" / "crm" / "runs"))
    log.write("play", play="/p.yml:1")
    log.write("task", host="new1", status="ok", changed=False, duration=0.5)
    log.close()
    path = pathlib.Path(log.path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["event"], line["run"]) for line in lines] == [("play", path.stem), ("task", path.stem)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "reports").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("key", ["args", "stdout", "msg", "item", "diff", "name", "invocation", "result"])
def test_a_key_that_is_not_on_the_list_is_refused(tmp_path: pathlib.Path, key: str) -> None:
    log = RunLog(str(tmp_path))
    with pytest.raises(ValueError, match="not allowed"):
        log.write("task", **{key: "x"})
    assert pathlib.Path(log.path).read_text() == ""


@pytest.mark.parametrize("text", ["{{ secret }}", "two words", "a\nb", "", None, 7, "x" * 201, "password=hunter2"])
def test_what_is_not_a_plain_name_becomes_nothing(text: object) -> None:
    assert name_or_nothing(text) == ""


UNIT = {"stack": "backend", "verb": "migrate"}
STARTED = {"command": "record", **UNIT, "status": "started", "token": "never", "events": [{"host": "new1"}, {"host": "new2"}]}
BEGIN = {"command": "begin", "purpose": "migrate", "run": {"operator": "@lead"}}


def took(status: str, *hosts: str) -> dict:
    """The result of a record task that wrote an event of each of ``hosts``."""
    return {"changed": bool(hosts), "news": [{**UNIT, "host": host, "status": status} for host in hosts]}


def test_the_events_are_those_that_the_journal_took() -> None:
    seen = Seen("crm", {"controller": "ops-1"})
    before = seen.journal({**STARTED, "events": [{"host": "new1"}]}, took("started", "new1"), "mover")
    assert before == [], "nothing counts before the run began"
    events = seen.journal(BEGIN, {"run_id": "r-1", "attempt": 3}, "mover")
    events += seen.journal(STARTED, took("started", "new1"), "mover")
    done = {**STARTED, "status": "ok", "events": [{"host": "new1", "facts": {"counts": {"files": 3}}}]}
    probed = {"stack": "backend", "verb": "verify", "status": "started", "events": [{"host": "new2"}]}
    several = {"command": "record", "records": [done, probed]}
    events += seen.journal(several, took("ok", "new1"), "mover")
    events += seen.journal({**STARTED, "status": "ok"}, took("ok"), "mover")
    assert [(event["verb"], event["host"], event["status"]) for event in events] == [
        ("begin", "mover", "ok"),
        ("migrate", "new1", "started"),
        ("migrate", "new1", "ok"),
    ]
    assert "never" not in json.dumps(events)
    data = build(events, {})
    assert (data.attempt, data.outcome, data.run["operator"], data.run["controller"]) == (3, "interrupted", "@lead", "ops-1")
    assert data.steps[0].facts["counts"] == {"files": 3}


def test_a_fact_that_the_journal_would_refuse_is_no_event() -> None:
    seen = Seen("crm")
    seen.journal(BEGIN, {"run_id": "r-1", "attempt": 1}, "mover")
    leak = {**STARTED, "status": "ok", "events": [{"host": "new1", "facts": {"stdout": "secret"}}]}
    with pytest.raises(MigrationError, match="unknown keys: stdout"):
        seen.journal(leak, took("ok", "new1"), "mover")


def test_a_run_that_only_looks_at_what_is_complete_has_no_event_until_it_changes_something() -> None:
    seen = Seen("crm")
    assert seen.journal(BEGIN, {"run_id": "r-2", "attempt": 1, "complete": True, "changed": False}, "mover") == []
    assert seen.journal(STARTED, {"changed": False}, "mover") == []
    assert seen.journal({"command": "end", "outcome": "ok"}, {"changed": False}, "mover") == []
    later = seen.journal(STARTED, took("started", "new1", "new2"), "mover")
    assert [event["verb"] for event in later] == ["begin", "migrate", "migrate"]


def log_of(directory: pathlib.Path, name: str, journal: journals.Writer, *tasks: dict) -> pathlib.Path:
    """A run log with the events of ``journal``, then ``tasks``."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.jsonl"
    kept = ("time", "host", "status", *runlog.JOURNALED)
    lines = [{"event": "journal", "run": name, **{key: event[key] for key in kept}} for event in journal.events]
    path.write_bytes(b"".join(runlog.encode(line) for line in [{"event": "play", "run": name}, *lines, *tasks]))
    return path


def write(log: pathlib.Path, reason: str = "killed") -> list[str]:
    """What a dying run is reported with."""
    return lastwords.write(str(log), str(log.parents[1]), "en", reason, {"resume": "ansible-playbook go.yml", "rollback": "undo"})


REPORTED = {"event": "task", "action": "dihya.migration.report", "status": "ok"}


def test_a_run_that_died_is_reported_from_its_log_alone(tmp_path: pathlib.Path) -> None:
    log = log_of(tmp_path / "runs", "one", journals.interrupted())
    with log.open("ab") as stream:
        stream.write(b'{"event": "task", "cut off in the mid')
    block = write(log)
    body = json.loads((tmp_path / "report.json").read_text())
    assert (body["outcome"], body["verdict"], body["writes"]) == ("interrupted", "KO", "nowhere")
    assert [notice["kind"] for notice in body["notices"]] == ["controller_only", "stopped_killed"]
    assert body["hints"]["resume"] == "ansible-playbook go.yml"
    text = (tmp_path / "report.md").read_text()
    assert "made from the run log of the controller" in text
    assert "To go on: ansible-playbook go.yml" in block
    assert len(block) <= 12


def test_a_run_that_was_reported_or_never_began_is_left_alone(tmp_path: pathlib.Path) -> None:
    assert write(log_of(tmp_path / "runs", "one", journals.interrupted(), REPORTED)) == []
    assert write(log_of(tmp_path / "runs", "two", journals.Writer())) == []
    assert not (tmp_path / "report.json").exists()


def test_what_an_earlier_run_of_the_attempt_did_is_not_forgotten(tmp_path: pathlib.Path) -> None:
    """The first run froze the source and was killed; the second one resumes and is killed too."""
    first = journals.interrupted()
    log_of(tmp_path / "runs", "1", first)
    second = journals.Writer()
    second.now, second.run = first.now, "20261128T220000Z-bbbbbb"
    second.begin(resumed=True)
    second.add("postgresql", "migrate", "started")
    write(log_of(tmp_path / "runs", "2", second))
    body = json.loads((tmp_path / "report.json").read_text())
    assert (body["writes"], len(body["runs"])) == ("nowhere", 2)
    assert "resumed_blind" not in [notice["kind"] for notice in body["notices"]]


def test_where_users_are_is_not_guessed_when_the_earlier_run_is_not_known(tmp_path: pathlib.Path) -> None:
    journal = journals.Writer()
    journal.begin(resumed=True)
    journal.add("postgresql", "migrate", "started")
    block = write(log_of(tmp_path / "runs", "1", journal))
    assert "What users can do is not known here: the playbook status reads it from the journal." in block
    assert not [line for line in block if line.startswith(("Source:", "Rows lost"))]


def test_the_digest_of_a_log_ends_with_the_run_and_not_with_its_report(tmp_path: pathlib.Path) -> None:
    log = log_of(tmp_path / "runs", "one", journals.ok())
    run_id = journals.ok().run
    before = runlog.digests(str(log.parent), [run_id])
    assert before == [
        {
            "run_id": run_id,
            "path": "runs/one.jsonl",
            "lines": len(log.read_text().splitlines()),
            "sha256": hashlib.sha256(log.read_bytes()).hexdigest(),
        }
    ]
    with log.open("ab") as stream:
        stream.write(runlog.encode(REPORTED))
    assert runlog.digests(str(log.parent), [run_id]) == before
    assert runlog.digests(str(log.parent), ["another"]) == []
