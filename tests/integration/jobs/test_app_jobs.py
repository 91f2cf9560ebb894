# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module app_jobs on real units, crontab files and commands."""

from __future__ import annotations

import os
import pathlib
import subprocess
import threading

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts

from tests.integration.jobs.conftest import OwnJob

UNITS = ["worker.service", "report.timer", "helper.service"]
CRONTAB = b"MAILTO=\"\"\n*/5 * * * * shop /srv/shop/clean\n# \xe9 is no UTF-8, and the last line has no end"


@pytest.fixture(name="jobs")
def fixture_jobs(run_module, tmp_path):
    """Runs the module over a record of the test's own; what it hands over is what the journal takes."""
    def run(state: str, check: bool = False, /, site: str = "source", **options) -> dict:
        result = run_module("app_jobs", check, state=state, site=site, record_file=str(tmp_path / "jobs" / "record.json"), **options)
        if "journal" in result:
            check_facts("jobs", "freeze", result["journal"])
        return result
    return run


@pytest.fixture(name="units")
def fixture_units(manager, monkeypatch):
    """The options of the units; worker and timer enabled and running, the helper only running."""
    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    assert manager.control("enable", "--now", *UNITS[:2]).returncode == 0 and manager.control("start", "helper.service").returncode == 0
    yield {"units": UNITS, "scope": "user", "timeout": 20}
    manager.control("disable", "--now", *UNITS, "dying.service")
    manager.control("stop", "report.service")


def files(place: pathlib.Path) -> dict:
    """Contents, modes and times of all files below ``place``."""
    return {str(path): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns) for path in place.rglob("*") if path.is_file()}


def test_units_stop_for_good_and_come_back_exactly_as_they_were(jobs, units, manager):
    before = {name: manager.state(name) for name in UNITS}
    assert jobs("stopped", True, **units)["changes"] == UNITS and {name: manager.state(name) for name in UNITS} == before
    assert jobs("quiet", **units)["failed"]
    stopped = jobs("stopped", **units)
    assert stopped["changed"] and stopped["jobs"] == dict.fromkeys(UNITS, False), stopped
    assert [manager.state(name) for name in UNITS] == [("inactive", "disabled"), ("inactive", "disabled"), ("inactive", "static")]
    assert not jobs("quiet", **units)["failed"] and not jobs("stopped", **units)["changed"]
    restored = jobs("restored")  # from the record alone, whatever the inventory says by now
    assert restored["changed"] and {name: manager.state(name) for name in UNITS} == before
    assert not jobs("restored")["changed"]


def test_what_a_timer_began_is_waited_for_and_counts_as_its_work(jobs, units, manager):
    manager.control("start", "--no-block", "report.service")
    manager.control("disable", "--now", "report.timer")
    only = {**units, "units": ["report.timer"]}
    assert "report.timer" in jobs("quiet", **only)["msg"]
    hasty = jobs("stopped", **{**only, "timeout": 0.2})
    assert hasty["failed"] and "report.service, which report.timer began, still works" in hasty["msg"]
    threading.Timer(1, (manager.units / "reported").touch).start()
    assert not jobs("stopped", **only)["failed"] and manager.state("report.service")[0] == "inactive"


def test_a_worker_that_dies_is_named_and_the_others_start(jobs, units, manager):
    manager.control("disable", "--now", *UNITS)
    started = jobs("started", site="target", **{**units, "units": ["dying.service", *UNITS]})
    assert started["failed"] and started["msg"] == "1 of 4 jobs do not start: dying.service"
    assert [manager.state(name) for name in UNITS] == [("active", "enabled"), ("active", "enabled"), ("active", "static")]
    assert not jobs("restored", site="target")["failed"]
    assert manager.state("worker.service") == ("inactive", "disabled")
    assert manager.state("dying.service") in [("inactive", "disabled"), ("failed", "disabled")]
    again = jobs("started", site="target", **units)
    assert again["journal"]["not_proved"] == ["that helper.service starts with the machine: its file does not let it be enabled"]


def test_the_script_beside_the_record_starts_again_by_hand_what_was_stopped(jobs, units, manager, tmp_path):
    before = {name: manager.state(name) for name in UNITS}
    tab, own = tmp_path / "shop", OwnJob(tmp_path, "mail", tmp_path / "trace")
    tab.write_bytes(CRONTAB)
    own.state.touch()
    stopped = jobs("stopped", crontabs=[{"path": str(tab)}], commands=[own.option()], **units)
    (proof,) = stopped["journal"]["proofs"]
    assert not tab.exists() and not own.runs
    assert subprocess.run([proof["path"]], check=False).returncode == 0
    assert {name: manager.state(name) for name in UNITS} == before and tab.read_bytes() == CRONTAB and own.runs


def test_a_crontab_goes_and_comes_back_byte_for_byte(jobs, tmp_path):
    (tmp_path / "cron.d").mkdir()
    tab = tmp_path / "cron.d" / "shop"
    tab.write_bytes(CRONTAB)
    tab.chmod(0o640)
    os.utime(tab, (10**9, 10**9))
    before, option = files(tmp_path / "cron.d"), {"crontabs": [{"path": str(tab)}]}
    stopped = jobs("stopped", **option)
    assert files(tmp_path / "cron.d") == {} and stopped["journal"]["not_proved"] == [
        f"that nothing works any more that cron began from {tab} before"]
    assert (tmp_path / "jobs" / "record.json").stat().st_mode & 0o777 == 0o600
    assert jobs("restored")["changed"] and files(tmp_path / "cron.d") == before
    assert not (tmp_path / "jobs" / "record.json").exists()


def test_the_target_gets_a_crontab_that_cron_reads_to_its_last_line(jobs, tmp_path):
    tab = tmp_path / "shop"
    option = {"crontabs": [{"path": str(tab), "content": "* * * * * shop true"}]}
    assert jobs("started", True, site="target", **option)["changed"] and not tab.exists()
    started = jobs("started", site="target", **option)
    assert tab.read_text() == "* * * * * shop true\n" and tab.stat().st_mode & 0o777 == 0o644
    assert [one["name"] for one in started["journal"]["created"]] == [str(tab)]
    assert not jobs("started", site="target", **option)["changed"]
    assert jobs("restored", site="target")["changed"] and not tab.exists()


def test_a_record_of_before_is_never_written_over(jobs, tmp_path):
    both = [OwnJob(tmp_path, name, tmp_path / "trace") for name in ("mail", "search")]
    options = {"commands": [own.option() for own in both]}
    for own in both:
        own.state.touch()
    jobs("stopped", **options)
    both[0].state.touch()  # somebody starts one of them, and it is stopped again
    assert jobs("stopped", **options)["changes"] == ["mail"] and not both[0].runs
    assert jobs("restored")["changed"] and all(own.runs for own in both)


def test_a_job_that_cannot_be_started_keeps_no_other_one_from_starting(jobs, tmp_path):
    first, second = (OwnJob(tmp_path, name, tmp_path / "trace") for name in ("mail", "search"))
    first.broken.touch()
    started = jobs("started", site="target", commands=[first.option(), second.option()])
    assert started["failed"] and started["msg"] == "1 of 2 jobs do not start: mail (mail failed with exit status 3)"
    assert not first.runs and second.runs


def test_a_status_that_is_neither_on_nor_off_proves_nothing(jobs):
    vague = {"name": "vague", "status": ["echo", "perhaps"], "start": ["true"], "stop": ["true"]}
    assert "did not print on or off" in jobs("quiet", commands=[vague])["msg"]


def test_everything_that_stands_against_them_is_found_at_once(jobs, units, manager, tmp_path):
    own, tab = OwnJob(tmp_path, "mail", tmp_path / "trace"), tmp_path / "shop"
    tab.write_bytes(CRONTAB)
    own.state.touch()
    options = {
        **units, "units": ["worker.service", "gone.service", "report.service", "no ending"],
        "crontabs": [{"path": str(tab)}, {"path": str(tmp_path / "shop.conf")}, {"path": str(tmp_path / "none" / "shop")}],
        "commands": [own.option(), {**own.option(), "name": "lost", "stop": ["no-such-program"]}],
    }
    found = {site: jobs("observed", site=site, **options)["findings"] for site in ("source", "target")}
    stops = {site: sorted(one["finding"].replace(f"{tmp_path}/", "") for one in rows if one["blocking"]) for site, rows in found.items()}
    both = ["cron reads no file that is called shop.conf", "gone.service does not exist on this host", "no ending is no name of a unit",
            "none is no directory that this user may write", "report.service ends by itself",
            "the program no-such-program cannot be executed on this host"]
    assert stops["source"] == both
    ahead = [f"{name} runs on the target already: it would run on both sides" for name in ("mail", "shop", "worker.service")]
    assert stops["target"] == sorted([*both, *ahead, "shop has no content for the target"])
    assert all(one["remedy"] for rows in found.values() for one in rows)
    notes = [one["finding"] for one in found["source"] if not one["blocking"]]
    assert "report.service does not run on the source, and would start on the target" in notes
    assert manager.state("worker.service") == ("active", "enabled") and not (tmp_path / "jobs").exists()
    assert [one["finding"] for one in jobs("observed")["findings"]] == ["no job of this host is named"]


def test_a_unit_of_the_system_needs_a_machine_that_systemd_manages(jobs):
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("systemd manages this machine")
    assert [one["finding"] for one in jobs("observed", units=["worker.service"])["findings"]] == ["systemd does not manage this host"]
