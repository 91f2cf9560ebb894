# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo's own judgement of what a rollback, or a plan, may not leave on the new site, and what is removed at its end."""

from __future__ import annotations

import socket
import subprocess
import threading
from types import SimpleNamespace

import pytest

from demo import run, saved


class Database:
    """In place of the new site's server: it answers every question with ``rows``."""

    def __init__(self, *rows: str) -> None:
        self.rows = [(row,) for row in rows]

    def __call__(self, *_arguments: object) -> Database:
        return self

    connect = cursor = execute = close = __enter__ = __call__

    def __exit__(self, *_error: object) -> None:
        pass

    def fetchall(self) -> list[tuple[str]]:
        return self.rows


@pytest.fixture(name="site")
def fixture_site(tmp_path, monkeypatch):
    """A new site with nothing of the application, on a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        site = SimpleNamespace(root=tmp_path, backend=free.getsockname()[1])
    for part in ("backend", "frontend"):
        (tmp_path / part / "releases").mkdir(parents=True)
        (tmp_path / part / ".releases.json").touch()
    monkeypatch.setattr(run, "SITES", {"new": site})
    monkeypatch.setattr(run.database, "server", Database())
    return site


def test_a_new_site_without_anything_of_ours_is_clean(site):
    assert run.left_on_target() == []


def test_every_release_link_process_port_database_and_role_that_is_left_is_named(site, monkeypatch):
    monkeypatch.setattr(run.database, "server", Database("database dihya_demo", "role demo_app"))
    (site.root / "backend" / "releases" / "demo-1").mkdir()
    (site.root / "frontend" / "current").symlink_to("releases/gone")
    with socket.create_server(("127.0.0.1", site.backend)), subprocess.Popen(["sleep", "60"], cwd=site.root / "backend") as process:
        found = run.left_on_target()
        process.kill()
    assert found == ["backend/releases/demo-1", "frontend/current", f"process sleep ({process.pid})", f"an API on port {site.backend}",
                     "database dihya_demo", "role demo_app"]


def test_clean_removes_the_copy_that_a_next_demo_would_use(tmp_path, monkeypatch):
    kept = tmp_path / "tools" / "demo"
    monkeypatch.setattr(saved, "KEPT", kept)
    monkeypatch.setattr(run, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(run.sites, "clean", lambda: None)
    (kept / "old-database-0123" / "data").mkdir(parents=True)
    assert run.main(["clean"]) == 0
    assert not kept.exists() and list(tmp_path.iterdir()) == [kept.parent]


def test_the_playbook_of_a_demo_that_was_killed_is_found_and_ended_with_all_below_it(tmp_path, monkeypatch, eventually):
    below = tmp_path / "below"
    (tmp_path / "ansible-playbook").write_text(f"sleep 600 & echo $! >{below}; wait")
    (tmp_path / "python").symlink_to("/bin/sh")
    monkeypatch.setattr(run, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(run.processes, "RECORD", tmp_path / "processes.jsonl")
    ended: list[int] = []
    teller = threading.Thread(target=lambda: ended.append(run.migrate(run.SUCCESS, [])))
    teller.start()
    assert eventually(lambda: below.exists() and below.read_text().strip() and run.processes.recorded())
    family = run.processes.with_children(run.processes.recorded())
    run.processes.stop(family)
    teller.join()
    assert [entry["name"] for entry in family] == ["ansible-playbook", "of ansible-playbook"] and len(ended) == 1
    assert run.processes.start_time(int(below.read_text())) is None and run.processes.recorded() == []
