# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Schema tools of Node run as the role backend plans them, the tools and PostgreSQL real. Prisma is not among them: it
fetches its engine from a site of its own."""

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
CREATE TABLE seen (name text); CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO seen VALUES (current_setting('application_name')); END $$;
CREATE EVENT TRIGGER seen ON ddl_command_start EXECUTE FUNCTION see()
"""
NAMES = {
    "sequelize": ["20240110090000-members.js", "20240322141500-language.js"],
    "typeorm": ["Language1711116900000", "Members1704877200000"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with its packages."""
    if not (BIN / "npm").exists():
        cannot_run("node is not installed beside this Python")
    made = tmp_path_factory.mktemp("tools") / "releases" / "r1"
    shutil.copytree(PROJECT, made)
    subprocess.run([str(BIN / "npm"), "ci", "--include=dev", "--no-audit", "--no-fund", "--prefer-offline"], cwd=made, check=True,
                   capture_output=True, timeout=280)
    return made


@pytest.mark.parametrize("tool", ["sequelize", "typeorm"])
def test_a_schema_is_moved_once_and_what_was_pending_is_named(project, tool, postgres, database, run_module, tmp_path):
    server = postgres(18)
    name = database(server)
    server.execute(WATCH, name)
    secrets = project.parents[1] / "shared" / ".env"
    secrets.parent.mkdir(exist_ok=True)
    secrets.touch(mode=0o600)
    secrets.write_text(f"DATABASE_URL=postgres://postgres:{server.password}@127.0.0.1:{server.port}/{name}\n")
    wanted = role(backend_framework="node", backend_node_dir=str(BIN), backend_path=str(project.parents[1]), backend_schema_tool=tool,
                  backend_schema_config="typeorm/data-source.js")

    def move() -> dict:
        result = run_module("run_checks", commands=ask(wanted, "__backend_schema"), keep_going=False, log_dir=str(tmp_path / "log"))
        assert not result["failed"] and server.password not in json.dumps(result), result["msg"]
        return result["told"]

    names = ",".join(NAMES[tool])
    assert move() == {"schema_before": "none", "schema_pending": names, "schema_after": names, "schema_wanted": names}
    assert move() == {"schema_before": names, "schema_pending": "none", "schema_after": names, "schema_wanted": names}
    assert server.execute("SELECT count(*) FROM information_schema.columns WHERE table_name = 'member'", name) == [(3,)]
    assert server.execute("SELECT DISTINCT name FROM seen", name) == [("dihya/shop/check",)]  # no stranger to the fence
