# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run log holds names only, one line a write, and the events are those that the journal took."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import build
from ansible_collections.dihya.migration.plugins.plugin_utils.report.runlog import RunLog, Seen, name_or_nothing


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


def test_the_events_are_those_that_the_journal_took() -> None:
    seen = Seen("crm")
    unit = {"stack": "backend", "verb": "migrate"}
    seen.journal({"command": "record", **unit, "status": "started", "events": [{"host": "new1"}]}, {"changed": True}, "mover")
    assert seen.events == [], "nothing counts before the run began"
    seen.journal({"command": "begin", "purpose": "migrate", "run": {"operator": "@lead"}}, {"run_id": "r-1", "attempt": 3}, "mover")
    started = {"command": "record", **unit, "status": "started", "token": "never", "events": [{"host": "new1"}, {"host": "new2"}]}
    seen.journal(started, {"changed": True, "decisions": {"new1": "run", "new2": "done"}}, "mover")
    seen.journal({**started, "status": "ok", "events": [{"host": "new1", "facts": {"counts": {"files": 3}}}]}, {"changed": True}, "mover")
    seen.journal({**started, "status": "ok"}, {"changed": False}, "mover")
    assert [(event["verb"], event["host"], event["status"]) for event in seen.events] == [
        ("begin", "mover", "ok"),
        ("migrate", "new1", "started"),
        ("migrate", "new1", "ok"),
    ]
    assert "never" not in json.dumps(seen.events)
    data = build(seen.events, {})
    assert (data.attempt, data.outcome, data.run["operator"], data.steps[0].facts["counts"]) == (3, "interrupted", "@lead", {"files": 3})
