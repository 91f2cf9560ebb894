# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stack jobs in whole transactions, among recorder stacks: at no time do jobs run on both sides."""

from __future__ import annotations

import pytest

from tests.integration.jobs.conftest import OwnJob
from tests.integration.transaction.conftest import Migration

CRONTAB = "*/5 * * * * shop /srv/shop/clean\n"


class Site(Migration):
    """A migration of alpha, jobs and traffic; old and new1 have a worker and a crontab, all stacks write into one trace."""

    def __init__(self, directory):
        super().__init__(directory)
        self.workers = {host: OwnJob(directory, f"worker-{host}", directory / "trace.mover") for host in ("old", "new1")}
        self.tabs = {host: directory / "cron" / host / "shop" for host in self.workers}
        for path in self.tabs.values():
            path.parent.mkdir(parents=True)
        self.workers["old"].state.touch()
        self.tabs["old"].write_text(CRONTAB)
        self.set(migration_stacks=["alpha", "traffic", "jobs"], migration_stack_roles={"alpha": "recorder", "traffic": "recorder"})
        # The fewer hosts, the faster.
        self.inventory["all"]["children"]["target"]["hosts"].pop("new2")
        self.inventory["all"]["children"].pop("beta")
        self.inventory["all"]["children"]["jobs"] = {"hosts": {
            host: {"jobs_commands": [worker.option()], "jobs_crontabs": [{"path": str(self.tabs[host]), "content": CRONTAB}]}
            for host, worker in self.workers.items()}}

    def running(self) -> list[str]:
        """The hosts on which everything runs; a host on which one of two jobs runs is a defect."""
        for host, worker in self.workers.items():
            assert worker.runs == self.tabs[host].exists()
        return [host for host, worker in self.workers.items() if worker.runs]

    def moments(self) -> list[str]:
        """The trace of stacks and workers without looks."""
        return [line for line in self.trace("mover") if "probe" not in line]


@pytest.fixture(name="story", scope="module")
def fixture_story(tmp_path_factory):
    """One migration, told from test to test."""
    return Site(tmp_path_factory.mktemp("story"))


def test_a_job_that_the_target_runs_already_stops_the_migration_before_anything_changes(story):
    story.workers["new1"].state.touch()
    refused = story.run("migrate", "--check")
    assert refused.returncode != 0 and story.events() == [], refused.stdout[-3000:]
    assert "stop: jobs_commands: worker-new1 runs on the target already: it would run on both sides" in refused.stdout
    assert [worker.runs for worker in story.workers.values()] == [True, True] and "worker" not in " ".join(story.moments())
    story.workers["new1"].state.unlink()
    (story.directory / "trace.mover").unlink()


def test_no_job_runs_from_before_the_freeze_until_traffic_has_moved(story):
    story.workers["new1"].broken.touch()
    done = story.run("migrate")
    assert story.outcome() == "failed_after_commit", done.stdout[-3000:]
    assert story.moments() == [
        "alpha preflight", "traffic preflight", "alpha backup", "traffic backup", "worker-old stop", "alpha freeze", "traffic freeze",
        "alpha migrate", "traffic migrate", "alpha verify", "traffic verify", "alpha commit", "traffic commit"]
    at = {(event["stack"], event["verb"], event["host"], event["status"]): event["seq"] for event in story.events()}
    assert at["migration", "commit_point", "mover", "ok"] < at["jobs", "commit", "new1", "started"]
    assert not story.workers["old"].runs and not story.tabs["old"].exists() and story.tabs["new1"].read_text() == CRONTAB


def test_a_job_that_did_not_start_is_told_undone_by_nobody_and_started_by_the_next_run(story):
    (failed,) = [event for event in story.events() if (event["stack"], event["status"]) == ("jobs", "failed")]
    assert failed["facts"]["error"]["message"] == "1 of 2 jobs do not start: worker-new1 (worker-new1 failed with exit status 3)"
    story.workers["new1"].broken.unlink()
    done = story.run("migrate")
    assert done.returncode == 0 and story.outcome() == "ok", done.stdout[-3000:]
    assert story.running() == ["new1"] and story.moments()[-2:] == ["traffic commit", "worker-new1 start"]


def test_a_job_that_no_longer_runs_is_drift_and_repaired_by_nobody(story):
    story.workers["new1"].state.unlink()
    drifted = story.run("migrate")
    assert drifted.returncode != 0 and "no longer run as they should: worker-new1" in drifted.stdout, drifted.stdout[-3000:]
    assert not story.workers["new1"].runs
    story.workers["new1"].state.touch()


def test_behind_the_commit_point_the_jobs_of_the_source_come_back_when_those_of_the_target_are_off(story):
    back = story.run("rollback", migration_restore_data=True)
    assert back.returncode == 0 and story.running() == ["old"], back.stdout[-3000:]
    assert story.tabs["old"].read_text() == CRONTAB
    assert story.moments()[-4:] == ["traffic rollback", "alpha rollback", "worker-new1 stop", "worker-old start"]


def test_a_failure_before_the_commit_point_brings_the_jobs_of_the_source_back_last_and_leaves_the_target_quiet(tmp_path):
    site = Site(tmp_path)
    done = site.run("migrate", fail_at=["alpha.verify.mover"])
    assert done.returncode != 0 and site.outcome() == "rolled_back", done.stdout[-3000:]
    assert site.running() == ["old"] and site.tabs["old"].read_text() == CRONTAB
    assert site.moments()[-3:] == ["traffic rollback", "alpha rollback", "worker-old start"]
