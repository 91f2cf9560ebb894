# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server that goes away amid a proof or a freeze is named, and no proof is lost to a directory that is missing."""

from __future__ import annotations

import json
import stat

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres import freeze
from ansible_collections.dihya.migration.plugins.module_utils._postgres import verify as engine
from ansible_collections.dihya.migration.plugins.module_utils._postgres.verify import VerifyRequest, verify

from tests.integration.postgres_verify.support import die, endpoint_of, normal

OURS = "dihya/killed/verify"
VIEW = ("view", "public.v", "definition", {"definition": "SELECT 1"}, {"definition": "SELECT 2"})


@pytest.fixture(name="request_of")
def fixture_request_of(postgres18, new_database):
    """Call with options to compare a database with itself."""
    name = new_database(postgres18)
    postgres18.execute("CREATE TABLE t AS SELECT 1 AS a", name)

    def request(**options):
        return VerifyRequest(source=endpoint_of(postgres18), target=endpoint_of(postgres18), databases=[name], application_name=OURS,
                             **options)
    return request


@pytest.mark.parametrize("moment", ["compare_contents", "compare_catalogs"])
def test_a_target_that_goes_away_while_catalogs_are_compared_is_named(postgres18, request_of, monkeypatch, moment):
    def compare(*arguments):
        postgres18.execute(f"SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity WHERE application_name = '{OURS}'")
        if moment == "compare_catalogs":
            arguments[-1](*VIEW)  # which the target is to print; else it is read next
        return real(*arguments)

    real = getattr(engine, moment)
    monkeypatch.setattr(engine, moment, compare)
    with pytest.raises(MigrationError, match=f"^the target {endpoint_of(postgres18)} could not be read: SQLSTATE"):
        verify(request_of(scope="catalog"))


@pytest.mark.parametrize("statement", ["CLIENTS", "WORKERS"])
def test_a_source_that_goes_away_while_the_writes_stop_is_named_and_opens_again(server, run, monkeypatch, statement):
    def rows(connection, sql, *parameters):
        if sql == getattr(freeze, statement):
            server.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 9000)")
        return real(connection, sql, *parameters)

    real, before = freeze.rows, normal(server)
    with monkeypatch.context() as patch:
        patch.setattr(freeze, "rows", rows)
        with pytest.raises(MigrationError, match=f"^the source {endpoint_of(server)} refused: SQLSTATE"):
            run(keep_readers=False)
    assert run(state="open", keep_readers=False)["changed"] and normal(server) == before


def test_files_are_written_into_directories_that_are_made_before_the_work_begins(request_of, postgres18, tmp_path, monkeypatch):
    digests, report = tmp_path / "new" / "digests.json", tmp_path / "other" / "differences.json"
    request = request_of(digest_file=str(digests), differences_file=str(report))
    with monkeypatch.context() as patch:
        patch.setattr(engine, "read_known", die)
        with pytest.raises(KeyboardInterrupt):
            verify(request)
    assert digests.parent.is_dir() and report.parent.is_dir()
    assert verify(request)["equal"] and json.loads(digests.read_text())["databases"]
    assert stat.S_IMODE(digests.parent.stat().st_mode) == stat.S_IMODE(report.parent.stat().st_mode) == 0o700
