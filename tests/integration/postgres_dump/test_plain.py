# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guide's single backup.sql: psql restores all of it at the first try, and it proves equal."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file

from demo.postgres_server import HOST


@pytest.fixture
def plain(module, old, tools, tmp_path):
    """Makes a plain backup of everything."""

    def make():
        result = module.run(
            "pg_dumpall", source=old.endpoint, databases=["all"], dest=str(tmp_path / "b"), format="plain", digests=True, bin_dir=tools
        )
        assert result.get("changed"), result
        return pathlib.Path(result["path"])

    return make


def psql(site, tools: str, script: pathlib.Path) -> subprocess.CompletedProcess:
    environment = {"PGPASSFILE": site.endpoint["passfile"], "PATH": os.environ["PATH"]}
    options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(site.server.port), "-U", "postgres", "-f", str(script)]
    return subprocess.run([f"{tools}/psql", *options, "postgres"], env=environment, capture_output=True, text=True, check=False)


def test_psql_restores_it_and_every_row_and_privilege_is_proved(plain, module, new, odd, tools, tmp_path):
    backup, before = plain(), new.names()
    shared = {"app.shared=canary-shared", "log_statement"}  # what every role has
    try:
        done = psql(new, tools, backup / "backup.sql")
        assert done.returncode == 0, done.stderr
        differences = str(tmp_path / "differences.json")
        proof = module.run("pg_verify", manifest=str(backup), target=new.endpoint, databases=["all"], differences_file=differences)
        assert proof.get("equal"), proof
        assert proof["rows"] >= 20002 and new.execute('SELECT count(*) FROM "t\'t"', odd) == [(2,)]
        new.server.connect("shop", "clerk", "canary-clerk").close()
        assert new.names()["everybody"] - before["everybody"] == shared
        new.execute("ALTER ROLE ALL SET app.shared TO 'its own'")
        new.execute((backup / "backup.sql").read_text().partition("-- Every role\n")[2])
        assert "app.shared=its own" in new.names()["everybody"]
    finally:
        new.execute("ALTER ROLE ALL RESET app.shared; REVOKE SET ON PARAMETER log_statement FROM PUBLIC")
        new.clear(before)
    assert new.names() == before


def test_equal_data_give_equal_bytes_and_a_damaged_file_is_found(plain, module, new, tmp_path):
    first, second = plain(), plain()
    assert sha256_file(str(first / "backup.sql")) == sha256_file(str(second / "backup.sql"))
    key = tmp_path / "b" / ".restrict-key"
    assert key.stat().st_mode & 0o777 == 0o600 and f"\\restrict {key.read_text()}" in (first / "backup.sql").read_text()
    os.truncate(first / "backup.sql", 5000)
    refused = module.run("pg_restore_cluster", target=new.endpoint, backup=str(first), created_file=str(tmp_path / "created.json"))
    assert refused["failed"] and "psql -v ON_ERROR_STOP=1" in refused["msg"]
