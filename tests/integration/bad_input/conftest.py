# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that must be refused. All findings are shown at once, so cases that one run can hold share it."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from demo.postgres_server import PostgresServer, bin_directory, free_port
from tests.support.move import Move, Outcome, Sites, contents_state
from tests.support.needs import cannot_run, require_root

HERE = pathlib.Path(__file__).resolve().parent
Change = Callable[[Move, dict[str, Any]], None]


@dataclass(frozen=True)
class Refusal:
    """One run that was refused: what it said, and what it touched (nothing, when empty)."""

    done: Outcome
    text: str
    touched: list[str]


def hours(number: float) -> str:
    """The moment so many hours from now."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=number)).isoformat()


def malformed(move: Move, variables: dict[str, Any]) -> None:
    """Values of the wrong form, unknown choices, misspelt names, and what has no effect."""
    variables.update(migration_id="a/b", migration_strategy="on-the-fly", migration_backup_dir=f"{move.directory}/../backup",
                     migration_backup_dirs="x", postgresql_databasse=["x"], migration_window={"start": "tomorrow", "end": hours(1)})
    variables.update(migration_stacks=["postgresql", "backend", "frontend"], frontend_strategy="blue_green", backend_colour="green")
    move.children = {"target": {"hosts": {"new": {"backend_strategy": "rolling"}}}, "backend": {"hosts": {"new": {}}}}
    variables["postgresql_source"].update(port=70000, pasword="x")
    variables["postgresql_target"].update(port="Zq9portvalue")


def missing(_move: Move, variables: dict[str, Any]) -> None:
    """No required variable is set."""
    for name in ("migration_id", "postgresql_source", "postgresql_target", "postgresql_databases", "postgresql_freeze"):
        del variables[name]


def awx(_move: Move, variables: dict[str, Any]) -> None:
    """A job of AWX whose journal would lie in the job's own directory."""
    variables["awx_job_id"] = 4711


def one(move: Move, variables: dict[str, Any]) -> None:
    """A wrong password here, nothing that listens there, half of the client tools, and a file where a directory should be."""
    variables["postgresql_source"].update(password="Zq9-wrong-password")
    variables["postgresql_target"].update(port=free_port())
    tools = move.directory / "half"
    tools.mkdir()
    for name in ("pg_dump", "pg_dumpall", "psql"):
        (tools / name).symlink_to(bin_directory(18) / name)
    (move.directory / "file").touch()
    variables.update(postgresql_bin_dir=str(tools), migration_backup_dir=str(move.directory / "file" / "backup"),
                     migration_window={"start": hours(-2), "end": hours(-1)})


def other(move: Move, variables: dict[str, Any]) -> None:
    """The same with the sides exchanged, and a window that has not come."""
    variables["postgresql_source"].update(host="no-such-host.invalid")
    variables["postgresql_target"].update(password="Zq9-wrong-password")
    variables.update(migration_window={"start": hours(1), "end": hours(2)})


def occupied(move: Move, variables: dict[str, Any]) -> None:
    """A target that holds a table of somebody, client tools of the old server, and a stack that needs longer than the window lasts."""
    target = move.sites.target
    target.execute(f"CREATE DATABASE {move.database}")
    target.execute("CREATE TABLE precious (id int)", move.database)
    variables.update(postgresql_bin_dir=str(bin_directory(16)), migration_window={"start": hours(-1), "end": hours(1)},
                     migration_stacks=["postgresql", "slow"], migration_stack_roles={"slow": "slow"})


def tiny(move: Move, variables: dict[str, Any]) -> None:
    """Backups of some megabytes go to a file system of 256 kB, the restore to one of which the new server leaves 1 MB, and front end and
    back end to one that has room for either."""
    require_root()
    filler = "CREATE TABLE app.filler AS SELECT n, repeat(md5(n::text), 9) FROM generate_series(1, 20000) n"
    move.sites.source.execute(filler, move.database)
    move.backup.mkdir()
    for name in ("page", "api", "site"):
        (move.directory / name).mkdir()
    for name in ("page/index.html", "api/requirements.txt"):
        with (move.directory / name).open("wb") as stream:
            stream.truncate(13 << 20)
    small = PostgresServer(18, move.directory / "data", settings={"autovacuum": "off"})
    if small.sheltered:
        cannot_run("a server that runs as nobody cannot be given a file system of its own")
    small.directory.mkdir(mode=0o700)
    for place, size in ((move.backup, "256k"), (move.directory / "site", "40m"), (small.directory, "200m")):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "dihya-test", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            cannot_run(f"a file system of {size} cannot be mounted here")
    move.sites = Sites(move.sites.source, small.create().start())
    used = shutil.disk_usage(small.directory).used
    subprocess.run(["mount", "-o", f"remount,size={used + (1 << 20)}", str(small.directory)], check=True)
    variables["postgresql_target"] = move.endpoint(small, small.password)
    move.children = {name: {"hosts": {"new": move.mover}} for name in ("target", "frontend", "backend")}
    variables.update(migration_stacks=["postgresql", "backend", "frontend"], frontend_release_path=str(move.directory / "page"),
                     frontend_path=str(move.directory / "site" / "page"), backend_release_path=str(move.directory / "api"),
                     backend_path=str(move.directory / "site" / "api"))


def same(move: Move, variables: dict[str, Any]) -> None:
    """Both endpoints are one server, both hosts one machine and both trees one directory, each under two names; what is to be put
    there is the source of a page that nobody built."""
    variables["postgresql_target"] = {**variables["postgresql_source"], "host": "localhost"}
    (move.directory / "site").mkdir()
    (move.directory / "site" / "index.html").touch()
    (move.directory / "new").symlink_to("site")
    move.children = {side: {"hosts": {f"{side}_host": move.mover}} for side in ("source", "target")}
    move.children["frontend"] = {"hosts": {"source_host": {}, "target_host": {}}}
    (move.directory / "unbuilt").mkdir()
    (move.directory / "unbuilt" / "package.json").touch()
    variables.update(migration_stacks=["postgresql", "frontend"], frontend_release_path=str(move.directory / "unbuilt"),
                     frontend_source_path=str(move.directory / "site"), frontend_path=str(move.directory / "new"))


def old_tools(move: Move, variables: dict[str, Any]) -> None:
    """Client tools of 15 for a source of 16."""
    try:
        variables["postgresql_bin_dir"] = str(bin_directory(15))
    except LookupError as error:
        cannot_run(str(error))


CHANGES: dict[str, Change] = {change.__name__: change for change in (malformed, missing, awx, one, other, occupied, tiny, same, old_tools)}


@pytest.fixture(scope="module", name="refusals")
def fixture_refusals(sites, tmp_path_factory) -> Iterator[Callable[[str], Refusal]]:
    """Call with the name of a change to get the run that it made fail; each runs once."""
    seen: dict[str, Refusal] = {}
    with contextlib.ExitStack() as stack:
        def refused(name: str) -> Refusal:
            if name not in seen:
                seen[name] = attempt(Move(sites, tmp_path_factory.mktemp(name), f"bad_{name}"), CHANGES[name], stack)
            return seen[name]
        yield refused
    sites.clear()


def attempt(move: Move, change: Change, stack: contextlib.ExitStack) -> Refusal:
    """Run a migration with one change, and look at what it left behind."""
    move.fill()
    for name in ("backup", "site", "data"):
        stack.callback(subprocess.run, ["umount", str(move.directory / name)], capture_output=True, check=False)
    shared = move.sites.target
    change(move, move.variables)
    if move.sites.target is not shared:
        stack.callback(move.sites.target.stop, "immediate")
    before = look(move)
    done = move.run(environment={"ANSIBLE_ROLES_PATH": str(HERE / "roles")})
    after = look(move)
    return Refusal(done, " ".join(done.output.split()), [key for key in after if before.get(key) != after[key]])


def look(move: Move) -> dict[str, Any]:
    """Everything that a refused run could have touched."""
    seen = {f"source {key}": value for key, value in move.source_state().items()}
    seen.update({f"target {key}": value for key, value in move.target_state().items()})
    if any(row[0] == move.database for row in seen["target databases"]):
        seen["target contents"] = contents_state(move.sites.target, move.database)
    seen["transaction number of the source"] = move.sites.source.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    seen["outcome"] = {"": "refused"}.get(move.outcome(), move.outcome())
    seen["verbs begun"] = sorted({event["verb"] for event in move.events()} - {"begin", "checklist", "end", "preflight"})
    seen["left behind"] = move.leftovers()
    kept = ("state", "reports", "controller")  # the record of the refusal itself
    seen["files"] = sorted(str(path) for path in move.directory.rglob("*") if path.relative_to(move.directory).parts[0] not in kept)
    return seen
