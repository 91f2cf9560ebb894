# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Schema tools of Node, and a schema of one's own behind `make migrate`, run as the role backend plans them; the tools and PostgreSQL
are real. Prisma works with the engine that its package holds: the other one comes from a site of its own."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.support.backend_role import ask, role
from tests.support.needs import cannot_run

PROJECT = pathlib.Path(__file__).parent / "schema_tools_node"
BIN = pathlib.Path(sys.executable).parent
WATCH = """
CREATE SCHEMA watch; CREATE TABLE watch.seen (name text); CREATE FUNCTION watch.see() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO watch.seen VALUES (current_setting('application_name')); END $$;
CREATE EVENT TRIGGER seen ON ddl_command_start EXECUTE FUNCTION watch.see()
"""
NAMES = {
    "sequelize": ["20240110090000-members.js", "20240322141500-language.js"],
    "typeorm": ["Language1711116900000", "Members1704877200000"],
    "prisma": ["20240110090000_members", "20240322141500_language"],
    "make": ["1-members.sql", "2-language.sql"],
}
# Commands of one's own beside `make migrate`, as a site writes them.
OWN = {"backend_schema_status_command": ["make", "status"], "backend_schema_wanted_command": ["ls", "make"],
       "backend_schema_pattern": r"(\S+)"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with its packages."""
    if not (BIN / "npm").exists():
        cannot_run("node is not installed beside this Python")
    made = tmp_path_factory.mktemp("tools") / "releases" / "r1"
    shutil.copytree(PROJECT, made)
    subprocess.run([str(BIN / "npm"), "ci", "--include=dev", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"], cwd=made,
                   check=True, capture_output=True, timeout=280)
    return made


def expected(tool: str, before: str, pending: str, names: str) -> dict[str, str]:
    """What the report is told of one move: Prisma knows what is pending only, commands of one's own what was applied."""
    told = {"schema_before": before, "schema_pending": pending, "schema_after": names, "schema_wanted": names}
    kept = {"prisma": ["schema_pending"], "make": ["schema_before", "schema_after", "schema_wanted"]}.get(tool, list(told))
    return {name: told[name] for name in kept}


@pytest.mark.parametrize("tool", list(NAMES))
def test_a_schema_is_moved_once_and_what_was_pending_is_named(project, tool, postgres, database, run_module, tmp_path):
    server = postgres(18)
    name = database(server)
    server.execute(WATCH, name)
    secrets = project.parents[1] / "shared" / ".env"
    secrets.parent.mkdir(exist_ok=True)
    secrets.touch(mode=0o600)
    (tmp_path / "no-engine").touch(mode=0o700)  # Prisma asks for its other engine before it looks at which one it is to use
    secrets.write_text(f"DATABASE_URL=postgres://postgres:{server.password}@127.0.0.1:{server.port}/{name}\n"
                       + "".join(f"PRISMA_{engine}={tmp_path}/no-engine\n" for engine in ("QUERY_ENGINE_LIBRARY", "SCHEMA_ENGINE_BINARY")))
    wanted = role(backend_framework="node", backend_node_dir=str(BIN), backend_path=str(project.parents[1]), backend_schema_tool=tool,
                  backend_schema_config="typeorm/data-source.js", **(OWN if tool == "make" else {}))

    def move() -> dict:
        result = run_module("run_checks", commands=[*ask(wanted, "__backend_schema"), *ask(wanted, "__backend_schema_settled")],
                            keep_going=False, log_dir=str(tmp_path / "log"))
        assert not result["failed"] and server.password not in json.dumps(result), result["msg"]
        return result["told"]

    names = ",".join(NAMES[tool])
    assert move() == expected(tool, "none", names, names)
    assert move() == expected(tool, names, "none", names)
    assert server.execute("SELECT count(*) FROM information_schema.columns WHERE table_name = 'member'", name) == [(3,)]
    assert server.execute("SELECT DISTINCT name FROM watch.seen", name) == [("dihya/shop/check",)]  # no stranger to the fence
