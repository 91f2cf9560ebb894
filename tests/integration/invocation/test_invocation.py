# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A migration started in the ways that users start one; what it says when it is done, runs, or no longer holds."""

from __future__ import annotations

import json
import math
import pathlib
import re
import time

import yaml

from dev.testing.turns import in_turn
from tests.support.move import Move, equal_data

# The smallest inventory of the design, with the names of the test; other endpoints take the place of its own, see below.
SMALLEST = """
all:
  hosts: {{mover: {{ansible_host: 127.0.0.1}}}}
  vars:
    migration_id: {id}
    migration_stacks: [postgresql]
    postgresql_source: {{host: 127.0.0.1, user: postgres, password: "{{{{ vault_source }}}}"}}
    postgresql_target: {{host: 127.0.0.1, user: postgres, password: "{{{{ vault_target }}}}"}}
    postgresql_databases: [{database}]
    postgresql_freeze: {{command: cp /proc/self/environ {stopped}, undo: rm {stopped}, on: app1}}
"""


def endpoints(move: Move) -> dict[str, object]:
    """What differs here from a real inventory: no TLS on loopback, chosen ports, and no directory under /var.

    Reports go where they go by default. With TLS, port and directories by default, the same inventory moves a second database in
    molecule/default.
    """
    ours = {name: value for name, value in move.variables.items()
            if name == "test_base" or name.endswith(("_dir", "_transport")) and name != "migration_report_dir"}
    return {**move.secrets, **move.mover, **ours, "postgresql_source": move.endpoint(move.sites.source, "{{ vault_source }}"),
            "postgresql_target": move.endpoint(move.sites.target, "{{ vault_target }}")}


def written(path: pathlib.Path, content: object) -> str:
    """``path`` with ``content`` in it, for an option of the command line."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"@{path}"


@in_turn(1, of=2)
def test_the_installed_collection_moves_a_database_with_the_smallest_inventory_and_refuses_a_second_run_meanwhile(move, user, sshd):
    stopped = user.directory / "stopped"
    (user.directory / "inventory.yml").write_text(SMALLEST.format(id=move.id, database=move.database, stopped=stopped), encoding="utf-8")
    extra = written(user.directory.with_name("given.json"), endpoints(move))
    user.path = sshd.alias("app1", user.directory.with_name("ssh"))
    command = ("ansible-playbook", "dihya.migration.migrate", "-i", "inventory.yml", "-e", extra)
    first = user.start(*command)
    until = time.monotonic() + 120
    while not move.events() and time.monotonic() < until:
        time.sleep(0.1)
    begun = move.events()[0]
    rc, output = user.run(*command)
    refusal = " ".join(output.split())
    assert rc != 0, output
    assert f"is locked by run {begun['run_id']}" in refusal, output[-3000:]
    assert f"operator {begun['facts']['run']['operator']}, since {begun['time'][:16]}" in refusal, output[-3000:]
    assert f"migration_takeover={begun['run_id']}" in refusal
    told = output.replace("\u00a0", " ").strip().splitlines()
    at_work = f"Le lancement {begun['run_id']} de {begun['facts']['run']['operator']} est au travail depuis "
    assert told[-7] == f"{move.id} : KO (refus avant tout changement)" and told[-5].startswith(at_work), output[-3000:]
    assert not [line for line in told if line.startswith(("Pour ", "Sans Ansible"))], "whoever waits for a run must not undo it"
    output, _none = first.communicate(timeout=290)
    assert first.returncode == 0, output[-3000:]
    assert {event["run_id"] for event in move.events()} == {begun["run_id"]}
    assert (move.outcome(), equal_data(move)) == ("ok", True)
    assert b"SSH_CONNECTION=127.0.0.1 " in stopped.read_bytes()  # the application was stopped where the inventory says
    report = user.directory / "reports" / move.id / "report.md"  # where they are when nothing says where
    assert "- Statut final : OK" in report.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert move.leftovers() == []


@in_turn(0, of=2)
def test_a_starter_project_runs_once_filled_in_and_then_tells_how_it_stands(move, user):
    project = user.directory / "crm"
    rc, output = user.run("ansible-playbook", "dihya.migration.init", "-e", f"project_dir={project}")
    assert rc == 0, output
    required = fill_in(project, move)
    assert required == ["migration_id", "postgresql_source", "postgresql_target", "postgresql_databases", "postgresql_freeze"]
    rc, output = user.run("ansible-playbook", "dihya.migration.init", "-e", f"project_dir={project}2", "-e",
                          '{"starter_stacks": ["backend", "frontend", "traffic"]}')
    assert rc == 0, output
    asked = yaml.safe_load(project.with_name("crm2").joinpath("inventory/group_vars/all/main.yml").read_text(encoding="utf-8"))
    assert {"migration_id", "backend_path", "frontend_path", "traffic_switch", "traffic_status", "traffic_probes"} <= set(asked)
    user.directory = project
    password = ("--vault-password-file", "../vault-password")
    (project / "../vault-password").write_text("the vault's own\n", encoding="utf-8")
    rc, output = user.run("ansible-vault", "encrypt", *password, "inventory/group_vars/all/vault.yml")
    assert rc == 0, output
    migrate = ("ansible-playbook", "migrate.yml", "-i", "inventory", *password)
    rc, output = user.run(*migrate)
    assert rc == 0, output[-3000:]
    assert equal_data(move)
    # Plain lines, although no setting asks for a format in which results can be read.
    assert output.splitlines()[-1] == f"Rapport\u00a0: {move.directory}/reports/{move.id}/report.md", output[-2000:]

    before = move.events()
    rc, output = user.run(*migrate)
    assert rc == 0, output[-3000:]
    assert re.search(r"mover +: ok=\d+ +changed=0 ", output), output[-1000:]

    (project / "empty.yml").write_text("- hosts: all\n  gather_facts: false\n", encoding="utf-8")
    seconds: dict[str, float] = {}
    for playbook in ("empty.yml", "dihya.migration.status") * 2:
        began = time.monotonic()
        rc, output = user.run("ansible-playbook", playbook, "-i", "inventory", *password)
        seconds[playbook] = min(seconds.get(playbook, math.inf), time.monotonic() - began)
        assert rc == 0, output[-3000:]
    assert move.id in output and "ok" in output
    # Whoever asks at night waits for little more than Ansible itself: 2 to 3 times what an empty playbook takes (docs/architecture.md).
    assert seconds["dihya.migration.status"] < 6 * seconds["empty.yml"], seconds

    (move.directory / "reports" / move.id / "report.md").unlink()
    rc, output = user.run("ansible-playbook", "dihya.migration.report", "-i", "inventory", "-e", "migration_language=en", *password)
    assert rc == 0, output[-3000:]
    assert re.search(r"^- Final status ?: OK", move.report(), re.MULTILINE), move.report()[:2000]

    assert move.events() == before
    move.sites.target.execute(f"ALTER DATABASE {move.database} RENAME TO somewhere_else")
    rc, output = user.run(*migrate)
    assert rc != 0, output[-3000:]
    assert f"database {move.database} on 127.0.0.1:{move.sites.target.port} is not the one that was restored" in " ".join(output.split())
    # What is left of the success has not the last word.
    told = output.replace("\u00a0", " ").strip().splitlines()
    told = told[told.index(f"{move.id} : KO (refus avant tout changement)"):]
    assert told[1].startswith("Pourquoi : La migration était terminée, mais elle ne tient plus : "), told
    assert "Les utilisateurs lisent et écrivent sur le nouveau site." in told, told
    assert told[-1] == f"Rapport : {move.directory}/reports/{move.id}/report.md"
    assert move.outcome() == "refused"


def fill_in(project: pathlib.Path, move: Move) -> list[str]:
    """Write values where the starter project leaves room; returns the names of the variables that wait for one."""
    path = project / "inventory" / "group_vars" / "all" / "main.yml"
    values = {**move.variables, **endpoints(move)}
    lines, waiting = path.read_text(encoding="utf-8").splitlines(), []
    for number, line in enumerate(lines):
        match = re.match(r"(# )?(\w+):", line)
        name = match[2] if match else ""
        if match and not match[1] and line == f"{name}:":
            waiting.append(name)
            assert lines[number - 1].startswith("# "), f"{name} is not explained"
        if name in values and (name in waiting or name.endswith(("_dir", "_transport"))):
            lines[number] = f"{name}: {json.dumps(values[name])}"
    path.write_text("\n".join([*lines, f"test_base: {move.directory}"]) + "\n", encoding="utf-8")
    hosts = project / "inventory" / "hosts.yml"
    inventory = yaml.safe_load(hosts.read_text(encoding="utf-8"))
    assert inventory["all"]["hosts"]["mover"]["ansible_host"]
    inventory["all"]["hosts"]["mover"] = move.mover
    hosts.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    vault = project / "inventory" / "group_vars" / "all" / "vault.yml"
    assert set(yaml.safe_load(vault.with_name("vault.yml.example").read_text(encoding="utf-8"))) == {"vault_source", "vault_target"}
    vault.write_text(yaml.safe_dump({name: move.secrets[name] for name in ("vault_source", "vault_target")}), encoding="utf-8")
    return waiting
