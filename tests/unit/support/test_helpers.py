# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helpers of the tests: what they record is what was there."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from tests.support.playbook import Outcome


def test_a_recorded_program_runs_and_shows_what_it_was_given(recorder):
    environment = {"PATH": recorder.path("env"), "PGPASSWORD": "two\nlines"}
    done = subprocess.run(["env", "printf", "%s", "a b\nc"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "a b\nc"
    (call,) = recorder.calls("env")
    assert call.argv[1:] == ["printf", "%s", "a b\nc"]
    assert call.environ["PGPASSWORD"] == "two\nlines"


def test_a_program_called_by_its_place_is_recorded_too(recorder, tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "pg_dump").symlink_to("/bin/true")
    subprocess.run([recorder.mirror(tmp_path / "tools") / "pg_dump", "--version"], check=True)
    assert [call.argv[1:] for call in recorder.calls("pg_dump")] == [["--version"]]


def test_a_program_that_is_not_there_cannot_be_recorded(recorder):
    with pytest.raises(LookupError, match="no-such-program"):
        recorder.path("no-such-program")


def test_a_recap_is_read():
    text = "PLAY RECAP ****\nmover   : ok=3    changed=1    unreachable=0    failed=0    skipped=2    rescued=0    ignored=0\n"
    assert Outcome(0, text).recap()["mover"]["changed"] == 1


def test_a_playbook_runs_with_its_variables_off_the_command_line(playbook, tmp_path):
    play = tmp_path / "play.yml"
    play.write_text("- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {msg: 'it is {{ secret }}'}\n")
    outcome = playbook.run(play, {"all": {"hosts": {"one": {"ansible_connection": "local"}}}}, {"secret": "canary-of-this-test"})
    assert outcome.rc == 0 and "it is canary-of-this-test" in outcome.output
    assert "canary-of-this-test" not in " ".join(playbook.argv(play, None, {"secret": "canary-of-this-test"}))
    assert {path.stat().st_mode & 0o77 for path in pathlib.Path(playbook.directory).glob("variables-*")} == {0}
