# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The callback under real runs: enabled without a setting, once, silent, free of secrets, and there when a run dies."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.dihya.migration.plugins.plugin_utils.report.runlog import KEYS

from tests.integration.report.test_report_action import ROOT, write_journal
from tests.unit.report import journals

ANSIBLE_PLAYBOOK = os.environ.get("DIHYA_TEST_ANSIBLE_PLAYBOOK", str(pathlib.Path(sys.executable).parent / "ansible-playbook"))
CANARY = "s3cret-canary-Zx81"
BEGIN = """
    - name: Begin
      dihya.migration.journal:
        command: begin
        state_dir: "{{ state_dir }}"
        migration_id: "{{ migration_id }}"
        purpose: migrate
        run: {stacks: [backend], description: Déménagement}
      register: begun
    - name: Start
      dihya.migration.journal:
        {command: record, state_dir: "{{ state_dir }}", migration_id: "{{ migration_id }}", token: "{{ begun.token }}",
         stack: backend, verb: migrate, status: started, events: [{host: mover}]}
"""
LEAKY = f"""
- name: "Play {{{{ secret }}}}"
  hosts: all
  gather_facts: false
  vars:
    secret: {CANARY}
  tasks:{BEGIN}
    - name: "Say {{{{ secret }}}}"
      ansible.builtin.debug: {{msg: "{{{{ secret }}}}"}}
    - name: Hidden
      ansible.builtin.command: echo {{{{ secret }}}}
      no_log: true
      changed_when: true
    - name: Loop
      ansible.builtin.command: echo {{{{ item }}}}
      loop: ["{{{{ secret }}}}"]
      changed_when: true
    - name: Ignored
      ansible.builtin.fail: {{msg: "{{{{ secret }}}}"}}
      ignore_errors: true
    - name: Die
      ansible.builtin.fail: {{msg: "{{{{ secret }}}}"}}
"""
SLOW = f"""
- name: Slow
  hosts: all
  gather_facts: false
  tasks:{BEGIN}
    - name: Wait
      ansible.builtin.command: sleep 60
      changed_when: false
"""


@pytest.fixture(name="project")
def fixture_project(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project whose playbooks stand beside the shim, as the collection's do."""
    (tmp_path / "hosts").write_text(f"mover ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    (tmp_path / "callback_plugins").symlink_to(ROOT / "playbooks" / "callback_plugins")
    return tmp_path


def start(project: pathlib.Path, playbook: str, *arguments: str, cwd: pathlib.Path | None = None, **environment: str) -> subprocess.Popen:
    variables = {
        "migration_id": "crm-2026",
        "state_dir": str(project / "state"),
        "migration_state_dir": str(project / "state"),
        "migration_report_dir": str(project / "reports"),
    }
    return subprocess.Popen(
        [ANSIBLE_PLAYBOOK, playbook, "-i", str(project / "hosts"), "-e", json.dumps(variables), *arguments],
        cwd=cwd or project,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(project / "home"), **environment},
    )


def logs(project: pathlib.Path) -> list[list[dict]]:
    return [
        [json.loads(line) for line in path.read_text().splitlines()] for path in sorted((project / "reports").glob("crm-2026/runs/*.jsonl"))
    ]


@pytest.mark.parametrize("playbook", ["playbooks/report.yml", "dihya.migration.report"])
def test_it_is_enabled_by_path_and_by_name_without_any_setting(project: pathlib.Path, playbook: str) -> None:
    write_journal(journals.ok(), project / "state")
    process = start(project, playbook, cwd=ROOT)
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 0, output
    (lines,) = logs(project)
    assert [line["event"] for line in lines][0] == "play"
    assert lines[-1]["event"] == "end"
    done = [line for line in lines if line.get("action") == "dihya.migration.report"]
    assert (done[0]["host"], done[0]["status"], done[0]["changed"], done[0]["role"]) == ("mover", "ok", True, "dihya.migration.migration")
    assert done[0]["duration"] > 0
    assert "64 bits" in (project / "reports" / "crm-2026" / "report.md").read_text(), "the report is the journal's, not the callback's"


def test_a_users_own_setting_does_not_make_two_logs(project: pathlib.Path) -> None:
    write_journal(journals.ok(), project / "state")
    process = start(project, "playbooks/report.yml", cwd=ROOT, ANSIBLE_CALLBACKS_ENABLED="dihya.migration.migration_report,profile_tasks")
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 0, output
    (lines,) = logs(project)
    assert len([line for line in lines if line.get("action") == "dihya.migration.report"]) == 1


def test_a_run_that_dies_leaves_a_report_and_no_secret(project: pathlib.Path) -> None:
    (project / "leaky.yml").write_text(LEAKY)
    process = start(project, "leaky.yml", "-vvv")
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 2
    assert CANARY in output, "the canary was not in use"
    (lines,) = logs(project)
    assert {"ok", "failed", "ignored"} <= {line.get("status") for line in lines}
    assert {key for line in lines for key in line} <= set(KEYS)
    markdown = (project / "reports" / "crm-2026" / "report.md").read_text()
    assert "- Statut final : KO (interruption)" in markdown
    assert "- Description : Déménagement" in markdown
    assert (
        "interruption pendant l’étape « migration » (backend sur mover)".replace("« ", "«\u00a0").replace(" »", "\u00a0»")[1:] in markdown
    )
    assert "que ce que le poste de commande a vu" in markdown
    written = [path for path in (project / "reports").rglob("*") if path.is_file()]
    assert len(written) == 4
    assert [path for path in written if CANARY in path.read_text()] == []
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


def test_ctrl_c_leaves_a_report_too(project: pathlib.Path) -> None:
    (project / "slow.yml").write_text(SLOW)
    process = start(project, "slow.yml")
    deadline = time.monotonic() + 60
    while len([line for each in logs(project) for line in each if line["event"] == "task"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert "KO (interruption)" in (project / "reports" / "crm-2026" / "report.md").read_text()
    assert logs(project)[0][-1]["event"] == "end"


def test_check_mode_writes_nothing(project: pathlib.Path) -> None:
    write_journal(journals.ok(), project / "state")
    process = start(project, "playbooks/report.yml", "--check", cwd=ROOT)
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert not (project / "reports").exists()


def test_a_play_of_no_migration_is_left_alone(project: pathlib.Path) -> None:
    (project / "other.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n")
    process = start(project, "other.yml", "-e", '{"migration_id": "not/an id"}')
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert not (project / "reports").exists()


def test_a_directory_that_cannot_be_written_does_not_fail_the_run(project: pathlib.Path) -> None:
    (project / "reports").write_text("a file where the directory should be")
    (project / "ping.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n")
    process = start(project, "ping.yml")
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Traceback" not in output
