# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report action under a real ansible-playbook: files in both places, the stop block, and nothing in check mode."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._journal import chain

from tests.unit.report import journals

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLAY = """
- name: Report
  hosts: state
  gather_facts: false
  tasks:
    - name: Make the report
      dihya.migration.report:
        state_dir: "{{ state_dir }}"
        migration_id: crm-2026
        language: "{{ language }}"
        reopen: sh /var/lib/dihya-migration/crm-2026/reopen
      register: made
    - name: Show what came back
      ansible.builtin.copy:
        content: "{{ made | to_json }}"
        dest: "{{ result }}"
        mode: "0600"
      check_mode: false
"""


def write_journal(journal: journals.Writer, state_dir: pathlib.Path) -> None:
    """The journal as the module leaves it: sealed lines and their head."""
    directory = state_dir / "crm-2026"
    directory.mkdir(parents=True, mode=0o700)
    drafts = [{key: value for key, value in event.items() if key not in ("seq", "prev_hash", "hash")} for event in journal.events]
    sealed = chain.seal(drafts, chain.EMPTY_HEAD)
    (directory / "journal.jsonl").write_bytes(chain.encode(sealed))
    (directory / "head").write_text(json.dumps({"seq": len(sealed), "hash": sealed[-1]["hash"]}))


def play(tmp_path: pathlib.Path, *arguments: str, language: str = "fr") -> tuple[dict, subprocess.CompletedProcess]:
    """Run the play in ``tmp_path``; what the task returned, and the process."""
    (tmp_path / "migrate.yml").write_text(PLAY)
    (tmp_path / "rollback.yml").write_text(PLAY)
    inventory = tmp_path / "hosts"
    inventory.write_text(f"state ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    result = tmp_path / "result.json"
    variables = {"state_dir": str(tmp_path / "state"), "language": language, "result": str(result)}
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).parent / "ansible-playbook"),
            "migrate.yml",
            "-i",
            str(inventory),
            "-e",
            json.dumps(variables),
            *arguments,
        ],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home"), "TZ": "Europe/Paris"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(result.read_text()), done


@pytest.mark.parametrize(("language", "line"), [("fr", "- Rollback effectué : Oui"), ("en", "- Rollback done: Yes")])
def test_the_report_lies_in_both_places_in_both_languages(tmp_path: pathlib.Path, language: str, line: str) -> None:
    write_journal(journals.rolled_back(), tmp_path / "state")
    made, _done = play(tmp_path, language=language)
    assert (made["changed"], made["outcome"], made["verdict"]) == (True, "rolled_back", "KO")
    here, there = tmp_path / "reports" / "crm-2026", pathlib.Path(made["directory"])
    assert there == tmp_path / "state" / "crm-2026" / "runs" / "20261128T210000Z-aaaaaa"
    assert os.readlink(there.parent.parent / "latest") == "runs/20261128T210000Z-aaaaaa"
    for name in ("report.md", "report.html", "report.json"):
        assert made["paths"][name.rpartition(".")[2]] == str(here / name)
        assert (here / name).read_bytes() == (there / name).read_bytes()
        assert (here / name).stat().st_mode & 0o777 == (there / name).stat().st_mode & 0o777 == 0o600
    for directory in (tmp_path / "reports", here, there.parent, there):
        assert directory.stat().st_mode & 0o777 == 0o700
    markdown = (here / "report.md").read_text().splitlines()
    assert markdown[0].endswith("2026-11-28 22:00")
    assert line in markdown
    body = json.loads((here / "report.json").read_text())
    assert body["language"] == language
    assert body["chain"]["intact"] is True


def test_the_same_journal_changes_nothing_the_second_time(tmp_path: pathlib.Path) -> None:
    write_journal(journals.ok(), tmp_path / "state")
    assert play(tmp_path)[0]["changed"] is True
    assert play(tmp_path)[0]["changed"] is False


def test_check_mode_writes_nothing(tmp_path: pathlib.Path) -> None:
    write_journal(journals.ok(), tmp_path / "state")
    made, _done = play(tmp_path, "--check")
    assert made["changed"] is True
    assert not (tmp_path / "reports").exists()
    assert sorted(path.name for path in (tmp_path / "state" / "crm-2026").iterdir()) == ["head", "journal.jsonl"]


def test_the_stop_block_names_the_commands_as_this_run_was_started(tmp_path: pathlib.Path) -> None:
    write_journal(journals.interrupted(), tmp_path / "state")
    made, _done = play(tmp_path, language="en")
    inventory = tmp_path / "hosts"
    assert f"To go on: ansible-playbook migrate.yml -i {inventory}" in made["stop_block"]
    assert "Without Ansible, to reopen the old site: sh /var/lib/dihya-migration/crm-2026/reopen" in made["stop_block"]
    assert [line for line in made["stop_block"] if line.startswith("To roll back: ansible-playbook ") and "rollback" in line]
    assert len(made["stop_block"]) <= 12


def test_an_empty_journal_is_no_failure_and_makes_no_file(tmp_path: pathlib.Path) -> None:
    made, _done = play(tmp_path)
    assert (made["changed"], made["outcome"], made["paths"]) == (False, "", {})
    assert not (tmp_path / "reports").exists()
