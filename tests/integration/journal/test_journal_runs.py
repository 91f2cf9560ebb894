# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal under real ansible-playbook: who may run, what is written, what a rerun does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.playbook import kill_with_forks

from .conftest import Site, shown, wait_for

TOKEN = "{{ begun.token }}"


def journal(command: str, register: str | None = None, **options: Any) -> dict[str, Any]:
    return {"name": command, "dihya.migration.journal": {"command": command, **options}, **({"register": register} if register else {})}


def begin(**options: Any) -> dict[str, Any]:
    run = {"stacks": ["postgresql"], "window": {}, "description": ""}
    return journal("begin", "begun", purpose="migrate", run=run, **{"takeover": "", **options})


def verb(name: str) -> list[dict[str, Any]]:
    """A verb as the transaction does it, with a result whose variable is named like an input."""
    unit = {"token": TOKEN, "stack": "postgresql", "verb": name}
    facts = {"summary": "done", "changed": "{{ started.changed }}", "counts": {"rows": "{{ 3 * 4 }}"}}
    return [
        journal("record", "started", status="started", events=[{"host": "mover"}, {"host": "app"}], **unit),
        {"name": "Work", "ansible.builtin.set_fact": {"postgresql_result": "{{ lookup('pipe', 'date +%N') }}"}},
        {"name": "Decisions", "ansible.builtin.debug": {"var": "started.decisions"}},
        journal("record", status="ok", events=[{"host": "mover", "facts": facts}, {"host": "app"}], **unit),
    ]


WHOLE = [begin(), *verb("backup"), *verb("migrate"), journal("end", token=TOKEN, outcome="ok")]
DONE = ["begin ok", *(f"{name} {status}" for name in ("backup", "migrate") for status in ("started", "started", "ok", "ok")), "end ok"]


def test_a_complete_migration_run_again_changes_nothing_and_other_inputs_do(site: Site) -> None:
    playbook = site.playbook("migrate.yml", WHOLE)
    status, output = site.run(playbook)
    assert status == 0, output
    assert site.events() == DONE and shown(output, "started.decisions") == {"mover": "run", "app": "run"}
    status, output = site.run(playbook)
    assert status == 0 and "changed=0" in output, output
    assert site.events() == DONE and shown(output, "started.decisions") == {"mover": "probe", "app": "probe"}
    site.write_inventory(postgresql_source={"host": "old", "password": "canary-2"})
    assert "changed=0" in site.run(playbook)[1], "a new password is no new input"
    status, output = site.run(playbook, "-e", "postgresql_databases=all")
    assert shown(output, "started.decisions") == {"mover": "run", "app": "run"}
    assert site.events() == DONE + DONE
    assert not [path for path in site.root.rglob("*") if path.is_file() and path != site.inventory and b"canary" in path.read_bytes()]


@pytest.mark.parametrize(("option", "name"), [
    (("--limit", "mover"), "--limit"), (("--tags", "all,never"), "--tags"), (("--skip-tags", "always"), "--skip-tags"),
    (("--start-at-task", "begin"), "--start-at-task"), (("--check", "--limit", "mover"), "--limit"),
])
def test_a_partial_run_is_refused_before_anything_is_written(site: Site, option: tuple[str, ...], name: str) -> None:
    status, output = site.run(site.playbook("migrate.yml", WHOLE), *option)
    assert status == 2 and f"{name}: a migration runs as a whole" in output, output
    assert not site.state.exists()


@pytest.mark.parametrize("option", [("--start-at-task", "record"), ("--tags", "verb")])
def test_a_run_that_jumps_over_begin_is_refused(site: Site, option: tuple[str, ...]) -> None:
    tasks = [begin(), *({**task, "tags": "verb"} for task in verb("backup"))]
    for task in tasks:
        if "dihya.migration.journal" in task and "token" in task["dihya.migration.journal"]:
            task["dihya.migration.journal"] = dict(task["dihya.migration.journal"], token="{{ begun.token | default('') }}")
    status, output = site.run(site.playbook("migrate.yml", tasks), *option)
    assert status == 2 and "this run did not begin" in output, output
    assert not list(site.root.glob("state/crm-1/journal.jsonl"))


def test_check_mode_writes_nothing(site: Site) -> None:
    status, output = site.run(site.playbook("migrate.yml", WHOLE), "--check", "--diff")
    assert status == 0 and shown(output, "started.decisions") == {"mover": "run", "app": "run"}, output
    assert not site.state.exists()


def test_a_second_run_is_refused_while_the_first_lives_and_goes_on_when_it_is_dead(site: Site) -> None:
    held = site.root / "held"
    waiting = {"name": "Wait", "ansible.builtin.shell": f"touch {held}; sleep 60"}
    first = site.start(site.playbook("first.yml", [begin(identities=["old:5432"]), *verb("backup"), waiting]))
    try:
        wait_for(held.exists, "the first run")
        second = site.playbook("second.yml", WHOLE)
        status, output = site.run(second)
        assert status == 2 and "is locked by run" in output and f"pid {first.pid}" in output, output
        assert "-e migration_takeover=" in output
        other = site.playbook("other.yml", [begin(identities=["old:5432"], migration_id="crm-2")])
        status, output = site.run(other)
        assert status == 2 and "old:5432 is locked by run" in output and "migration crm-1" in output, output
        told = site.run(site.playbook("status.yml", [journal("status", "found"), {"ansible.builtin.debug": {"var": "found.lines"}}]))[1]
        assert "its process is alive" in str(shown(told, "found.lines")), told
    finally:
        kill_with_forks(first)
    told = site.run(site.root / "status.yml")[1]
    assert "dead, the next run goes on" in str(shown(told, "found.lines")), told
    status, output = site.run(second)
    assert status == 0, output
    expected = ["begin ok", "backup started", "backup started", "backup ok", "backup ok", "end failed", "takeover ok", "begin ok"]
    assert site.events()[:8] == expected
    assert site.events()[8:] == ["migrate started", "migrate started", "migrate ok", "migrate ok", "end ok"]


def test_a_holder_on_another_machine_is_only_taken_over_when_asked(site: Site) -> None:
    from ansible_collections.dihya.migration.plugins.module_utils._journal.store import Locks
    (site.state / ".locks").mkdir(parents=True)
    far = {"operator": "amel", "host": "far", "machine_id": "m", "boot": "b", "pid": 1, "start": 1}
    holder = {"run_id": "r-far", "migration_id": "crm-1", **far}
    Locks(str(site.state)).write(["migration-crm-1.json"], holder)
    playbook = site.playbook("migrate.yml", WHOLE)
    status, output = site.run(playbook)
    assert status == 2 and "r-far" in output and "amel" in output, output
    asked = [begin(takeover="{{ migration_takeover }}"), *WHOLE[1:]]
    status, output = site.run(site.playbook("migrate.yml", asked), "-e", "migration_takeover=r-far")
    assert status == 0 and site.events()[:2] == ["takeover ok", "begin ok"], output


@pytest.mark.parametrize("variables", [{"awx_job_id": 12}, {"semaphore_vars": {"task_details": {"id": 3}}}])
def test_a_state_directory_that_the_job_throws_away_is_refused(site: Site, variables: dict[str, Any]) -> None:
    site.write_inventory(**variables)
    status, output = site.run(site.playbook("migrate.yml", [begin()]))
    assert status == 2 and "throws away" in output, output
    assert not site.state.exists()


def test_facts_outside_of_the_schema_fail_without_being_shown(site: Site) -> None:
    wrong = [{"host": "mover", "facts": {"stdout": "canary-3"}}]
    record = journal("record", token=TOKEN, stack="postgresql", verb="backup", status="started", events=wrong)
    status, output = site.run(site.playbook("migrate.yml", [begin(), record]))
    assert status == 2 and "unknown keys: stdout" in output and "canary" not in output, output
    assert site.events() == ["begin ok"]
