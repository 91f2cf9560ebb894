# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demonstration: a whole migration under the eyes of a public that reads and writes all along.

Usage: python demo/run.py success [ARGUMENT…] | failure [ARGUMENT…] | clean

success  the application moves from its old site to its new one
failure  the new release fails its tests, and everything is rolled back; then, from scratch, a failure just after commit,
         which is not rolled back by itself. Exit status 1 when both go as they should, 2 when not
clean    no process and no file of the demo is left, reports and what a next demo would have used again included
Arguments go to ansible-playbook.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import caddy, database, judge, processes, saved, sites, traffic
from demo.layout import CA, DATABASE, DEMO, PUBLIC_PORT, PUBLIC_URL, PYTHON, REPORTS, ROOT, SITES, STATE, DemoError
from demo.sites import say

JOURNALS = STATE / "journal"
CALM = 1
"""Seconds of ordinary service before and after a migration: some ten reads and six writes."""


@dataclass(frozen=True)
class Story:
    """One migration and what it must come to."""

    migration_id: str
    title: str
    arguments: tuple[str, ...]
    side: str
    outcome: str

    @property
    def ends_well(self) -> bool:
        """Whether ``ansible-playbook`` ends with exit status 0."""
        return self.outcome == "ok"


SUCCESS = Story("demo", "the application moves to its new site", (), "new", "ok")
ROLLED_BACK = Story("demo-failure", "the new release fails its tests after freeze and migrate; everything is rolled back",
                    ("-e", "demo_release=backend-2.0-broken"), "old", "rolled_back")
AFTER_COMMIT = Story("demo-after-commit", "a failure just after the commit point; nothing is rolled back by itself",
                     ("-e", "demo_failure_after_commit=true"), "new", "failed_after_commit")
STORIES = (SUCCESS, ROLLED_BACK, AFTER_COMMIT)


def tell(story: Story, arguments: list[str]) -> bool:
    """Start both sites from scratch, migrate under the poller, judge; returns whether all is as the story says."""
    say("")
    say(f"=== {story.migration_id}: {story.title}")
    sites.start()
    forget(story)
    requests = STATE / "requests.jsonl"
    with polling(requests):
        status = migrate(story, arguments)
        time.sleep(CALM)
    planned = "--check" in arguments
    side = "old" if planned else story.side
    broken = hold_against(side, status, story.ends_well or planned) + ([] if planned else told(story))
    if planned or story.outcome == "rolled_back":
        broken += [f"the new site has {name}" for name in left_on_target()]
    verdict = judge_public(story, requests)
    keep_proofs(story, requests)
    show(story, status, verdict, broken + verdict.broken)
    return not broken and not verdict.broken


def forget(story: Story) -> None:
    """Remove the report of an earlier telling."""
    shutil.rmtree(REPORTS / story.migration_id, ignore_errors=True)


@contextlib.contextmanager
def polling(requests: Path) -> Iterator[None]:
    """The public, in a process of its own."""
    poller = subprocess.Popen([str(PYTHON), str(DEMO / "poller.py"), str(requests)], cwd=STATE, start_new_session=True)
    try:
        time.sleep(CALM)
        yield
    finally:
        poller.send_signal(signal.SIGTERM)
        poller.wait(60)


def migrate(story: Story, arguments: list[str]) -> int:
    """``ansible-playbook playbooks/migrate.yml``; returns its exit status."""
    command = ["ansible-playbook", "playbooks/migrate.yml", "-i", "inventories/demo", "-e", f"migration_id={story.migration_id}",
               *story.arguments, *arguments]
    say("$ " + " ".join(command))
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(STATE / "ansible"),
                   "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with subprocess.Popen([str(PYTHON), str(PYTHON.parent / command[0]), *command[1:]], cwd=ROOT, env=environment) as process:
        processes.remember(command[0], process.pid)
        try:
            return process.wait()
        except BaseException:  # this demo is told to end
            process.terminate()
            raise


def hold_against(side: str, status: int, ends_well: bool) -> list[str]:
    """What is not as the story wants it: exit status, and who serves what at the public address."""
    site, broken = SITES[side], []
    if (status == 0) != ends_well:
        broken.append(f"ansible-playbook ended with exit status {status}")
    if traffic.state() != {"side": side, "writes": "open"}:
        broken.append(f"the public address is {' '.join(traffic.state().values())}, expected {side} open")
    answer = sites.health(PUBLIC_PORT)
    if not answer or answer["database_major"] != site.major:
        broken.append(f"the public address does not answer from PostgreSQL {site.major}")
    return broken


def told(story: Story) -> list[str]:
    """What the report holds otherwise than the story."""
    try:
        report = json.loads((REPORTS / story.migration_id / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ["there is no report that can be read"]
    if (report["outcome"], report["verdict"]) != (story.outcome, "OK" if story.ends_well else "KO"):
        return [f"the report says {report['outcome']}, {report['verdict']}, expected {story.outcome}"]
    return []


def left_on_target() -> list[str]:
    """What the new site has of the application: releases, processes, a port, database and roles."""
    site = SITES["new"]
    parts = [site.root / part for part in ("backend", "frontend")]
    found = [str(path.relative_to(site.root)) for part in parts for path in (part / "current", *part.glob("releases/*"))
             if os.path.lexists(path)]
    found += [f"process {entry['name']} ({entry['pid']})" for part in parts for entry in processes.working_in(part)]
    found += [f"an API on port {site.backend}"] if caddy.listens(site.backend) else []
    connection = database.server(site).connect("postgres")
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT 'database ' || datname FROM pg_database WHERE datname = %s "
                       "UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname = ANY(%s)", (DATABASE, list(database.ROLES)))
        return found + [name for (name,) in cursor.fetchall()]


def judge_public(story: Story, requests: Path) -> judge.Verdict:
    """What the public saw, against the journal and the database of the site that serves now."""
    journal = JOURNALS / story.migration_id / "journal.jsonl"
    window = judge.window_of(judge.read_lines(journal) if journal.exists() else [])
    seen = judge.read_lines(requests)
    keys = [request["key"] for request in seen if request["kind"] == "write"]
    connection = database.server(SITES[traffic.state()["side"]]).connect(DATABASE)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT idempotency_key::text, count(*) FROM lending.loan WHERE idempotency_key = ANY(%s::uuid[]) GROUP BY 1",
                       (keys,))
        return judge.judge(seen, window, dict(cursor.fetchall()))


def keep_proofs(story: Story, requests: Path) -> None:
    """Put beside the report what the next story would wipe: the journal and what the poller wrote down."""
    for proof in (JOURNALS / story.migration_id / "journal.jsonl", requests):
        if proof.exists() and (REPORTS / story.migration_id).exists():
            shutil.copy(proof, REPORTS / story.migration_id)


def show(story: Story, status: int, verdict: judge.Verdict, broken: list[str]) -> None:
    """The end of a story, for people."""
    say("")
    say(f"=== {story.migration_id}: what the public saw at {PUBLIC_URL}")
    for name, value in verdict.figures.items():
        say(f"{name:.<44} {value}")
    for line in broken:
        say(f"BROKEN: {line}")
    expected = "" if story.ends_well else ", as expected" if status else ", a failure was expected"
    say(f"ansible-playbook: exit status {status}{expected}")
    report = REPORTS / story.migration_id
    say(f"report: {report}/report.md, .html, .json" if report.exists() else f"no report in {report}")
    side = traffic.state()["side"]
    say(f"the {side} site serves at {PUBLIC_URL} (itself: {SITES[side].url}; certificate authority: {CA})")


def fail_twice(arguments: list[str]) -> int:
    """Both failures; 1 when they went as they should, 2 when not."""
    as_told = [tell(story, arguments) for story in (ROLLED_BACK, AFTER_COMMIT)]
    say("")
    if all(as_told):
        say("both migrations failed as they were meant to; that exit status 1 is expected")
        return 1
    say("NOT as expected; see BROKEN above")
    return 2


def clean() -> int:
    """No process and no file left."""
    sites.clean()
    saved.forget()
    for story in STORIES:
        forget(story)
    if REPORTS.exists() and not any(REPORTS.iterdir()):
        REPORTS.rmdir()
    say("no process and no file of the demo is left (the packages in .venv and .tools stay: make clean removes them too)")
    return 0


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    command, more = (arguments or [""])[0], arguments[1:]
    try:
        if command == "success":
            return 0 if tell(SUCCESS, more) else 1
        if command == "failure":
            return fail_twice(more)
        if command == "clean":
            return clean()
    except (DemoError, RuntimeError, LookupError, OSError, psycopg2.Error) as error:
        remedy = ". Free some space, and make demo starts over" if "No space left" in str(error) else ""
        sys.stderr.write(f"demo: cannot go on: {str(error).strip()}{remedy}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted; make demo starts over, make demo-clean removes everything\n")
        return 130
    sys.stderr.write("usage: run.py success | failure | clean\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
