# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role and its module under a real ansible-playbook: alone it stops, in a transaction it reports."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLAY = """
- name: Weigh
  hosts: all
  gather_facts: false
  tasks:
    - name: Checklist
      ansible.builtin.include_role:
        name: dihya.migration.checklist
    - name: Keep the result
      ansible.builtin.copy:
        content: "{{ checklist_result | to_json }}"
        dest: "{{ result }}"
        mode: "0600"
      delegate_to: localhost
      run_once: true
"""
EVIDENCE = [
    {"item": "backup", "observed": "copy of backend", "verdict": "proved", "sha256": "ab" * 32, "stack": "backend"},
    {"item": "backup", "observed": "its second copy", "verdict": "proved", "sha256": "cd" * 32, "stack": "backend", "elsewhere": True},
    {"item": "access", "observed": "login works", "verdict": "proved"},
]


def play(tmp_path: pathlib.Path, **variables: object) -> tuple[int, str, dict]:
    """Run the role on two hosts of which one is dead; exit status, output, result."""
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts").write_text("one ansible_connection=local\ntwo ansible_host=127.0.0.1 ansible_port=1\n")
    result = tmp_path / "result.json"
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).parent / "ansible-playbook"),
            "play.yml",
            "-i",
            "hosts",
            "-e",
            json.dumps({**variables, "result": str(result)}),
        ],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home")},
    )
    return done.returncode, done.stdout + done.stderr, json.loads(result.read_text()) if result.exists() else {}


@pytest.fixture(name="complete")
def fixture_complete(tmp_path: pathlib.Path) -> dict:
    document, rehearsal = tmp_path / "README.md", tmp_path / "rehearsal.json"
    document.write_text("up to date")
    rehearsal.write_text('{"outcome": "ok"}')
    sha256 = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (document, rehearsal)}
    return {
        "migration_profile": "audited",
        "checklist_phase": "before_freeze",
        "checklist_evidence": EVIDENCE,
        "checklist_stacks": ["backend"],
        "checklist_seconds": 60,
        "checklist_facts": {"rollback_plan": [{"verdict": "proved", "observed": "restore drill"}]},
        "migration_backup_copies": [{"path": "/mnt/second"}],
        "migration_window": {"start": "2020-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"},
        "migration_evidence": [
            {"item": "rehearsal", "path": "rehearsal.json", "sha256": sha256["rehearsal.json"], "query": "outcome", "equals": "ok"},
        ],
        "migration_attestations": [
            {"item": item, "who": "Lila", "when": "2026-11-20", "document": "README.md", "sha256": sha256["README.md"]}
            for item in ("documentation", "notification", "compliance")
        ],
    }


def test_an_audited_migration_passes_with_all_eight_items_shown(tmp_path: pathlib.Path, complete: dict) -> None:
    status, output, result = play(tmp_path, **complete)
    assert status == 0, output
    assert [entry["verdict"] for entry in result["items"]] == [
        "proved",
        "proved",
        "attested",
        "proved",
        "proved",
        "attested",
        "proved",
        "attested",
    ]
    assert result["items"][0]["evidence"]["sha256"] == f"{'ab' * 32}, {'cd' * 32}"
    assert (result["findings"], result["blocked"]) == ([], False)


def test_alone_it_fails_and_names_everything(tmp_path: pathlib.Path, complete: dict) -> None:
    (tmp_path / "README.md").write_text("changed since")
    status, output, _result = play(tmp_path, **{**complete, "migration_window": {}, "checklist_evidence": EVIDENCE[:2]})
    assert status != 0
    for expected in (
        "checklist: access",
        "checklist: window",
        "migration_attestations[0]",
        "migration_attestations[2]",
        "the document changed since",
    ):
        assert expected in output


def test_in_a_transaction_it_leaves_the_stop_to_the_gate(tmp_path: pathlib.Path, complete: dict) -> None:
    status, output, result = play(tmp_path, **{**complete, "migration_window": {}, "migration_findings": []})
    assert status == 0, output
    assert result["blocked"] is True
    assert {"subject", "finding", "remedy", "blocking"} == set(result["findings"][0])
