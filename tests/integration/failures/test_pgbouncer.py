# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A migration whose clients come through PgBouncer, which holds them back while the source is frozen."""

from __future__ import annotations

import concurrent.futures
import contextlib

import pytest

from tests.integration.failures.conftest import tells
from tests.support.bouncer import CONSOLE, Bouncer
from tests.support.canaries import find_secrets

TOLD = "SELECT count(*) FROM app.client"


@pytest.fixture(name="bouncer")
def fixture_bouncer(move):
    """The move's source, reached through PgBouncer by the owner."""
    bouncer = Bouncer(move.sites.source.port, move.database, (move.owner, move.passwords[move.owner]))
    yield bouncer
    bouncer.stop()


def test_clients_wait_until_what_was_written_past_them_after_the_verification_is_found_and_lose_nothing(move, before, bouncer):
    rows = bouncer.ask(TOLD)
    move.secrets["vault_console"] = CONSOLE
    console = {**bouncer.console(), "password": "{{ vault_console }}"}
    move.variables.update(postgresql_freeze={"method": "pgbouncer", "pgbouncer": console}, postgresql_drill=False, migration_commit="hold")
    held = move.run()
    assert held.rc == 0 and move.outcome() == "waiting", held.output[-3000:]
    with contextlib.closing(move.sites.source.connect(move.database, move.owner, move.passwords[move.owner])) as directly:
        directly.cursor().execute("SELECT lo_put(4711, 0, 'Z')")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bouncer.ask, TOLD)
        done = move.run("commit")
        assert waiting.result(60) == rows, done.output[-3000:]
    tells(move, done, "written to after the freeze", "après le gel : ")
    before.is_back("large objects")
    for path in move.playbook.directory.glob("variables-*.json"):  # what the user gave
        path.unlink()
    assert CONSOLE not in held.output + done.output and find_secrets([move.directory], {"console": CONSOLE}) == []
