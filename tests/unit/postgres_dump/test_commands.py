# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How pg_dump and pg_restore are called: by how many workers, and that the first error ends a restore."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._age import Seal
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_archives import dump_work
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import DumpRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.load import EMPTY, REST, Load
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_plan import DatabasePlan, RestorePlan
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import Backup, RestoreRequest

SERVER = Endpoint("db.example", "migrator", password="canary-password", passfile="/w/pgpass")
SEAL = Seal.from_options({"recipients": ["age1canary"], "recipients_files": []})


@pytest.fixture(name="tools", autouse=True)
def fixture_tools(tmp_path, monkeypatch):
    """A directory of programs that are never started."""
    for name in ("pg_dump", "pg_restore", "age"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return str(tmp_path)


@pytest.mark.parametrize(("seal", "workers", "parallel"), [(None, 3, ["--jobs=3"]), (SEAL, 1, [])])
def test_a_dump_has_its_workers_and_an_encrypted_one_is_a_single_stream(tools, seal, workers, parallel):
    work = dump_work(DumpRequest(SERVER, ["crm"], "/b", bin_dir=tools, seal=seal), "crm", "/b/databases/1", 3, ["--snapshot=1"])
    assert [one for one in work.argv if one.startswith("--jobs")] == parallel and work.workers == workers
    assert {"--create", "--no-password", "--snapshot=1", "--dbname=dbname='crm'"} <= set(work.argv)
    assert "canary-password" not in str([work.argv, work.then])


@pytest.mark.parametrize("sections", [(), EMPTY, REST])
@pytest.mark.parametrize(("encrypted", "parallel"), [(False, ["--jobs=3"]), (True, [])])
def test_every_part_of_a_restore_ends_at_its_first_error_and_has_its_workers(tools, sections, encrypted, parallel):
    request = RestoreRequest(SERVER, "/w/created.json", bin_dir=tools, identity="/k")
    backup = Backup("/b", "", {"encryption": {"tool": "age"} if encrypted else None, "capture": {"databases": {"crm": {}}}}, {})
    plan = RestorePlan([DatabasePlan("crm", "crm", "databases/1", 4, 5)], [], [], [])
    work = Load(request, backup, plan, {"crm": "dihya-0"}, superuser=True)._work("1", "crm", 3, sections)
    argv = work.then if encrypted else work.argv
    assert argv[0].endswith("/pg_restore") and {"--exit-on-error", "--dbname=dbname='dihya-0'", *sections} <= set(argv)
    assert [one for one in argv if one.startswith("--jobs")] == parallel and "canary-password" not in str([work.argv, work.then])
