# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of a transaction: nothing of a verb before its start is recorded, results at once, and no client before the commit point."""

from __future__ import annotations

from typing import Any

from ansible_collections.dihya.migration.plugins.filter.transaction_steps import transaction_steps

GROUPS = {"web": ["new"]}
ALL = ["preflight", "backup", "freeze", "migrate", "verify", "commit"]


def told(phases: list[str], stacks: list[str], hostvars: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """The steps as words, each record of one call behind the other."""
    steps = transaction_steps(phases, stacks, movers=["mover"], groups=GROUPS, state_host="mover",
                              hostvars={"mover": {}, "new": {}, **(hostvars or {})}, **options)
    return [f"record {', '.join(' '.join((one['stack'], one['verb'], one['status'])) for one in step['records'])}" if step["do"] == "record"
            else " ".join(filter(None, (step["do"], step["phase"], step.get("stack")))) for step in steps]


def test_what_lies_between_two_verbs_is_one_record():
    assert told(["freeze", "migrate"], ["pg", "web"]) == [
        "record migration frozen ok, pg freeze started", "name_unit freeze pg", "unit freeze pg",
        "record pg freeze ok, web freeze started", "name_unit freeze web", "unit freeze web",
        "record web freeze ok, pg migrate started", "name_unit migrate pg", "unit migrate pg",
        "record pg migrate ok, web migrate started", "name_unit migrate web", "unit migrate web",
        "record web migrate ok"]


def test_the_source_is_frozen_only_once_the_gate_was_passed():
    steps = told(["backup", "freeze"], ["pg"])
    assert steps.index("gate backup") == steps.index("record migration frozen ok, pg freeze started") - 1


def test_traffic_moves_behind_the_commit_point_and_nothing_else_does():
    steps = told(["commit"], ["pg", "traffic"], behind=["traffic", "jobs"])
    assert steps == [
        "record pg commit started", "name_unit commit pg", "unit commit pg",
        "record pg commit ok, migration commit_point ok, traffic commit started", "name_unit commit traffic", "unit commit traffic",
        "record traffic commit ok"]
    assert "unit migrate traffic" in told(["migrate"], ["traffic"], behind=["traffic"])


def test_jobs_which_stop_first_start_last_behind_the_traffic():
    steps = told(["freeze", "commit"], ["jobs", "pg", "traffic"], behind=["traffic", "jobs"])
    assert [step for step in steps if step.startswith("unit")] == [
        "unit freeze jobs", "unit freeze pg", "unit freeze traffic", "unit commit pg", "unit commit traffic", "unit commit jobs"]


def test_what_was_done_is_probed_in_a_resumed_run_only():
    assert [step for step in told(ALL, ["pg"], resumed=True) if step.startswith("again")] == [f"again {phase} pg" for phase in ALL]
    assert not [step for step in told(ALL, ["pg"]) if step.startswith("again")]


def test_the_window_is_looked_at_from_the_freeze_on_before_anything_is_recorded():
    steps = told(ALL, ["pg"], watched=True)
    assert [step for step in steps if step.startswith("overrun")] == ["overrun migrate", "overrun verify", "overrun commit"]
    assert steps[steps.index("overrun migrate") + 1] == "record pg migrate started"


def test_a_verb_without_work_is_on_record_with_its_reason_and_not_run_and_what_nobody_freezes_is_not_frozen():
    idle = {"mover": {"migration_nothing_to_do": {"pg": {"freeze": "nothing writes"}}}}
    (step,) = transaction_steps(["freeze"], ["pg"], movers=["mover"], groups={}, hostvars=idle, state_host="state")
    assert [(one["verb"], one["status"]) for one in step["records"]] == [("freeze", "not_applicable")]
    assert step["records"][0]["events"] == [{"stack": "pg", "host": "mover", "facts": {"not_applicable": "nothing writes"}}]
    # One host with something to freeze is enough, before it begins.
    assert told(["freeze"], ["pg", "web"], {"mover": {"migration_nothing_to_do": {name: {"freeze": "no"} for name in ("pg", "web")}}}) == [
        "record migration freeze not_applicable, migration frozen ok, web freeze started", "name_unit freeze web", "unit freeze web",
        "record web freeze ok"]


def test_second_places_are_looked_at_before_the_gate_of_preflight_where_there_are_any():
    assert told(["preflight"], ["pg"], places=True)[-2:] == ["places preflight", "gate preflight"]
    assert "places backup" not in told(["backup"], ["pg"], places=True)


def test_a_timer_of_the_freeze_waits_for_other_hosts_than_the_mover_from_the_freeze_on_and_not_behind_the_commit_point():
    groups = {"web": ["new"], "traffic": ["new"]}
    steps = transaction_steps(ALL, ["pg", "web", "traffic"], movers=["mover"], groups=groups, state_host="mover", behind=["traffic"],
                              hostvars={"mover": {}, "new": {}}, timed=True)
    quiet = [number for number, step in enumerate(steps) if step["do"] == "quiet" and step["begins"]]
    assert [(steps[number]["phase"], steps[number]["stack"]) for number in quiet] == [
        ("freeze", "web"), ("freeze", "traffic"), ("migrate", "web"), ("migrate", "traffic"), ("verify", "web"), ("verify", "traffic"),
        ("commit", "web")]
    for number in quiet:
        unit = steps[number:number + 4]
        assert [step["do"] for step in unit] == ["quiet", "name_unit", "unit", "quiet"] and not unit[-1]["begins"]
        assert len({step["stack"] for step in unit}) == 1
    assert not [step for step in told(ALL, ["pg", "web"]) if step.startswith("quiet")]
