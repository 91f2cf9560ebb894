# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which steps lead a job from one state to another, and back."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app.job_kinds import Crontab, Unit, declared
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

UNIT = Unit("worker.service", "system", 5)


def found(active=False, enabled="", begun=(), dying=False, file="disabled"):
    return {"active": active, "enabled": enabled, "begun": list(begun), "dying": dying, "file": enabled or file, "load": "loaded"}


@pytest.mark.parametrize(("before", "on", "steps"), [
    (found(active=True, enabled="enabled"), False, ["disable", "stop"]),
    (found(active=True, enabled="enabled-runtime"), False, ["disable --runtime", "stop"]),
    (found(active=True, file="static"), False, ["stop"]),
    (found(begun=["report.service"]), False, ["wait"]),
    (found(), False, []),
    (found(), True, ["enable", "start"]),
    (found(file="static"), True, ["start"]),
    (found(enabled="enabled"), True, ["start"]),
    (found(active=True, enabled="enabled", dying=True), True, ["start"]),
    (found(active=True, enabled="enabled"), True, []),
])
def test_only_what_differs_is_done_to_a_unit(before, on, steps):
    assert UNIT.steps(before, UNIT.wanted(on, before)) == steps


def test_what_a_timer_began_is_named_although_it_ends_while_that_is_said(monkeypatch):
    looks = iter([found(begun=["report.service"]), found()])
    monkeypatch.setattr(Unit, "found", lambda _unit: next(looks))
    with pytest.raises(MigrationError, match="report.service, which report.timer began, still works"):
        Unit("report.timer", "system", -1).bring(found(begun=["report.service"]), {"active": False, "enabled": ""})


@pytest.mark.parametrize("before", [
    found(active=True, enabled="enabled"), found(active=True, enabled="enabled-runtime"), found(active=True, file="static"), found(),
    found(enabled="enabled"), found(active=True, enabled="enabled", dying=True)])
def test_a_unit_that_was_stopped_or_started_is_led_back_to_what_it_was(before):
    for on in (True, False):
        now = {**before, **UNIT.wanted(on, before), "dying": False}
        back = UNIT.steps(now, before)
        assert bool(back) == any(now[key] != before[key] for key in ("active", "enabled"))
        assert UNIT.steps({**now, **before}, before) == []


def test_a_crontab_gets_its_last_line_end_and_is_compared_with_its_owner_and_mode():
    tab = Crontab("/etc/cron.d/shop", "* * * * * shop true")
    wanted = tab.wanted(True, {"on": False})
    assert tab.steps({"on": False}, wanted) == ["write"] and tab.steps({**wanted, "mtime": 1}, wanted) == []
    assert tab.steps({**wanted, "mode": 0o666}, wanted) == ["write"] and tab.steps(wanted, tab.wanted(False, wanted)) == ["remove"]
    assert wanted["content"] == "KiAqICogKiAqIHNob3AgdHJ1ZQo="


def test_a_job_is_made_again_from_its_record():
    options = {"units": ["a.timer"], "scope": "user", "crontabs": [{"path": "/etc/cron.d/a", "content": "x"}], "timeout": 5,
               "commands": [{"name": "c", "status": ["s"], "start": ["t"], "stop": ["u"]}]}
    for job in declared(options):
        (again,) = declared({**job.definition(), "timeout": 5})
        assert (type(again), again.name) == (type(job), job.name)
    assert declared({**declared(options)[0].definition(), "timeout": 5})[0] == declared(options)[0]
