# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real servers of every major version to be had here, one of each for all tests of this folder."""

from __future__ import annotations

import itertools

import pytest

from demo.postgres_server import PostgresServer, bin_directory

NUMBER = itertools.count()


def started(major, factory):
    try:
        bin_directory(major)
    except LookupError as missing:
        pytest.skip(str(missing))
    server = PostgresServer(major, factory.mktemp(f"postgres{major}") / "data").create()
    return server.start()


def fixture_of(major):
    @pytest.fixture(scope="session", name=f"postgres{major}")
    def fixture(tmp_path_factory):
        server = started(major, tmp_path_factory)
        yield server
        server.remove()
    return fixture


postgres15 = fixture_of(15)
postgres16 = fixture_of(16)
postgres18 = fixture_of(18)


@pytest.fixture(name="new_database")
def fixture_new_database():
    """Call with a server to get an empty database of a name nobody else uses; all are dropped afterwards."""
    made = []

    def create(server, name=None, options=""):
        name = name or f"d{next(NUMBER)}"
        made.append((server, name))
        server.execute(f"CREATE DATABASE {name} {options}")
        return name

    yield create
    for server, name in made:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
