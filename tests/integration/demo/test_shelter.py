# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where root cannot have a user namespace, the servers of the demo are nobody's, in a place that goes with them."""

from __future__ import annotations

import pathlib

import pytest

from demo import postgres_server, saved
from demo.postgres_server import NOBODY, PostgresServer
from tests.support.needs import require_root


def test_a_server_beside_a_closed_directory_runs_as_nobody_and_nothing_of_it_stays(tmp_path, monkeypatch):
    require_root()
    monkeypatch.setattr(postgres_server, "namespaces_work", lambda: False)
    monkeypatch.setattr(saved, "KEPT", tmp_path / "kept")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(18, closed / "data")
    shelter = server.directory.parent
    try:
        server.create().start()
        assert server.execute("SELECT current_setting('data_directory')") == [(str(shelter / "data"),)]
        assert pathlib.Path(f"/proc/{(server.directory / 'postmaster.pid').read_text().split()[0]}").stat().st_uid == NOBODY
        assert shelter.parent == pathlib.Path("/var/tmp") and shelter.stat().st_mode & 0o077 == 0
        with pytest.raises(postgres_server.psycopg2.OperationalError, match="password authentication failed"):
            server.connect(password="wrong")
        # Its files are nobody's, where a next demo would need them to be ours: nothing is kept of it.
        assert (saved.keep(server), saved.take(server)) == (server.password, None)
    finally:
        server.remove()
    assert not shelter.exists() and not server.log.exists() and list(tmp_path.iterdir()) == [closed] and list(closed.iterdir()) == []
