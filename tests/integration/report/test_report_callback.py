# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The callback under real runs: enabled without a setting, once, silent, free of secrets, and there when a run dies."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import ansible_runner
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
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # whoever runs the tests may have it ignored
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(project / "home"),
            "HOME": str(project),
            **environment,
        },
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


def test_a_play_that_is_to_migrate_nothing_may_run_no_task(project: pathlib.Path) -> None:
    (project / "other.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks: [{name: Look, ansible.builtin.debug: {}}]\n")
    process = start(project, "other.yml", "--skip-tags", "all")
    output, _none = process.communicate(timeout=120)
    assert (process.returncode, "KO" in output) == (0, False), output


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
    assert "sans sa tâche de rapport" in markdown
    assert "tentative 1\u00a0: KO (interruption)" in output.rpartition("PLAY RECAP")[2], "what to do is not the last on the screen"
    written = [path for path in (project / "reports").rglob("*") if path.is_file()]
    assert len(written) == 4
    assert [path for path in written if CANARY in path.read_text()] == []
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


def begun(project: pathlib.Path) -> subprocess.Popen:
    """A run that is in the middle of its migration."""
    (project / "slow.yml").write_text(SLOW)
    process = start(project, "slow.yml")
    deadline = time.monotonic() + 60
    while len([line for each in logs(project) for line in each if line["event"] == "journal"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    return process


def report(project: pathlib.Path, patience: float = 0.0) -> str:
    """The Markdown report with ordinary blanks, waiting ``patience`` seconds for it."""
    directory, until = project / "reports" / "crm-2026", time.monotonic() + patience
    while not (directory / "report.json").exists() and time.monotonic() < until:  # the last one to be written
        time.sleep(0.05)
    return (directory / "report.md").read_text().replace("\u00a0", " ").replace("\u202f", " ")


def told(text: str, how: str) -> None:
    """The report is that of an interrupted run, names where users are and what to type, and where it comes from."""
    assert "- Statut final : KO (interruption)" in text
    assert "interruption pendant l’étape « migration » (backend sur mover)".capitalize() in text
    assert "Les utilisateurs lisent et écrivent sur l’ancien site" in text
    assert "tiré du journal de lancement du poste de commande" in text
    assert how in text
    assert "| Pour continuer | `ansible-playbook slow.yml -i " in text
    assert "| Pour revenir en arrière | `ansible-playbook dihya.migration.rollback -i " in text


@pytest.mark.parametrize(
    ("number", "status", "how"),
    [
        (signal.SIGINT, (99, -signal.SIGINT), "Quelqu’un a interrompu le lancement (Ctrl-C)."),
        (signal.SIGTERM, (-signal.SIGTERM,), "Le lancement a reçu l’ordre de s’arrêter (SIGTERM)."),
        (signal.SIGHUP, (-signal.SIGHUP,), "Le lancement a perdu son terminal (SIGHUP)."),
    ],
)
def test_a_run_that_is_told_to_stop_leaves_a_report_before_it_ends(project: pathlib.Path, number: int, status: tuple, how: str) -> None:
    process = begun(project)
    sent = time.monotonic()
    # Ctrl-C goes to the whole group, other signals to the process alone: its workers live on and hold its pipes.
    os.killpg(process.pid, number) if number == signal.SIGINT else os.kill(process.pid, number)
    assert process.wait(timeout=60) in status, "the exit status is not Ansible's own"
    assert time.monotonic() - sent < 40  # its worker would take 60
    told(report(project), how)
    assert [line["status"] for line in logs(project)[0] if line["event"] == "end"] == [signal.Signals(number).name]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    screen = process.stdout.read().splitlines()
    assert "crm-2026, tentative 1\u00a0: KO (interruption)" in screen
    assert screen[-1] == f"Rapport\u00a0: {project}/reports/crm-2026/report.md"


def test_a_run_that_is_killed_is_reported_once_it_is_gone(project: pathlib.Path) -> None:
    process = begun(project)
    assert len(attendants(project)) == 1
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    told(report(project, patience=10), "Le lancement a été tué : il n’a plus rien pu dire.")
    body = json.loads((project / "reports" / "crm-2026" / "report.json").read_text())
    (log,) = (project / "reports").glob("crm-2026/runs/*.jsonl")
    assert (body["outcome"], body["run_logs"][0]["sha256"]) == ("interrupted", hashlib.sha256(log.read_bytes()).hexdigest())
    until = time.monotonic() + 10
    while attendants(project) and time.monotonic() < until:
        time.sleep(0.1)
    assert attendants(project) == [], "the process that waited for the run outlives its report"


def attendants(project: pathlib.Path) -> list[str]:
    """The processes that wait for runs of ``project``: those of that name whose home it is."""
    found = subprocess.run(["pgrep", "-f", "dihya-migration-report"], text=True, capture_output=True, check=False).stdout.split()
    alive = []
    for pid in found:
        with contextlib.suppress(OSError):
            alive += [pid] if f"HOME={project}\0" in pathlib.Path(f"/proc/{pid}/environ").read_text() else []
    return alive


def test_a_cancel_of_ansible_runner_leaves_a_report(project: pathlib.Path) -> None:
    (project / "slow.yml").write_text(SLOW)
    variables = {"migration_id": "crm-2026", "state_dir": str(project / "state"), "migration_report_dir": str(project / "reports")}
    (project / "runner").mkdir()
    runner = ansible_runner.interface.init_runner(
        private_data_dir=str(project / "runner"),
        project_dir=str(project),
        playbook="slow.yml",
        inventory=str(project / "hosts"),
        extravars=variables,
        envvars={
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(project / "home"),
            "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        quiet=True,
        cancel_callback=lambda: any(line["event"] == "journal" for each in logs(project) for line in each[3:]),
    )
    runner.run()
    assert (runner.status, runner.rc) == ("canceled", 254)
    assert "KO (interruption)" in report(project, patience=10)
    assert "Le lancement a été tué" in report(project)


def test_the_journal_makes_the_report_of_that_run_again_and_quotes_its_log(project: pathlib.Path) -> None:
    process = begun(project)
    os.kill(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    report(project, patience=10)
    quoted = json.loads((project / "reports" / "crm-2026" / "report.json").read_text())["run_logs"]
    for _time in range(2):
        again = start(project, "playbooks/report.yml", cwd=ROOT)
        output, _none = again.communicate(timeout=120)
        assert again.returncode == 0, output
    assert "changed=0" in output, "the same journal made another report"
    text = report(project)
    assert "- Statut final : KO (interruption)" in text
    assert "journal de lancement du poste de commande" not in text
    assert "**intacte**" in text
    assert json.loads((project / "reports" / "crm-2026" / "report.json").read_text())["run_logs"] == quoted
    assert len(quoted) == 1


def test_a_run_that_reports_itself_leaves_no_process_and_no_other_report(project: pathlib.Path) -> None:
    end = """
    - name: End
      dihya.migration.journal: {command: end, state_dir: "{{ state_dir }}", migration_id: "{{ migration_id }}", token: "{{ begun.token }}",
                                outcome: ok}
    - name: Report
      dihya.migration.report: {state_dir: "{{ state_dir }}", migration_id: "{{ migration_id }}", report_dir: "{{ migration_report_dir }}"}
    - name: Fail afterwards
      ansible.builtin.fail:
"""
    (project / "whole.yml").write_text(SLOW.partition("    - name: Wait")[0] + end)
    process = start(project, "whole.yml")
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert output.count("tentative 1") == 1 and "crm-2026, tentative 1\u00a0: OK" in output.rpartition("PLAY RECAP")[2], output
    assert "- Statut final : OK" in report(project)
    lines = logs(project)[0]
    assert [line["verb"] for line in lines if line["event"] == "journal"] == ["begin", "migrate", "end"]
    quoted = json.loads((project / "reports" / "crm-2026" / "report.json").read_text())["run_logs"]
    until_end = next(place for place, line in enumerate(lines, 1) if line.get("verb") == "end")
    assert [log["lines"] for log in quoted] == [until_end]
    assert attendants(project) == []


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
