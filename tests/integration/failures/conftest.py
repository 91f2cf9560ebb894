# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Somebody who writes into a migration under way, and what must be true once it was rolled back."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from demo.postgres_server import PostgresServer
from tests.support.move import HOST, Move, Outcome

HERE = pathlib.Path(__file__).resolve().parent


class Intrusion:
    """Writes with ``statements`` while the migration runs: before the proof, or after the databases' verb ``moment``.

    What it is told lies in ``directory``, by default that of the migration.
    """

    def __init__(self, move: Move, directory: pathlib.Path | None = None) -> None:
        self.move = move
        self.path = (directory or move.directory) / "intrusion.json"
        move.variables["postgresql_drill"] = False  # nothing here depends on it, and it takes time

    def plan(self, moment: str, server: PostgresServer, statements: list[str], user: str = "postgres", password: str | None = None) -> None:
        """What is to happen, when, where, and as whom."""
        connect = {"host": HOST, "port": server.port, "dbname": self.move.database, "user": user, "password": password or server.password}
        self.order(moment, [sys.executable, str(HERE / "intrude.py"), str(self.path)])
        self.path.touch(mode=0o600)
        self.path.write_text(json.dumps({"connect": connect, "statements": statements}), encoding="utf-8")

    def order(self, moment: str, argv: list[str]) -> None:
        """Run ``argv`` at ``moment``."""
        variables = self.move.variables
        variables["intruder_argv"] = argv
        if moment == "before the proof":
            variables["postgresql_after_restore"] = [str(HERE / "intrude.yml")]
        else:
            variables.update(intruder_verb=moment, migration_stacks=["postgresql", "intruder"],
                             migration_stack_roles={"intruder": "intruder"})

    environment = MappingProxyType({"ANSIBLE_ROLES_PATH": str(HERE / "roles")})

    def run(self, arguments: Sequence[str] = (), environment: Mapping[str, str] = MappingProxyType({})) -> Outcome:
        """The migration with the intrusion."""
        return self.move.run(arguments=arguments, environment={**self.environment, **environment})

    def refused(self) -> list[list[str]]:
        """SQLSTATE and message of every statement that the server refused."""
        return json.loads(self.path.with_suffix(".refused").read_text(encoding="utf-8"))


class Before:
    """Both servers before the migration; :meth:`is_back` compares with them."""

    def __init__(self, move: Move) -> None:
        self.move = move
        self.source, self.target = move.source_state(), move.target_state()

    def is_back(self, *intruded: str) -> None:
        """All is as before (but what the intruder wrote, named in ``intruded``), nothing of ours is left, clients write again."""
        after = self.move.source_state()
        changed = sorted(key for key in self.source if self.source[key] != after.get(key))
        assert changed == sorted(intruded), {key: (self.source[key], after.get(key)) for key in changed if key not in intruded}
        assert self.move.target_state() == self.target
        assert self.move.leftovers() == []
        assert list(self.move.work.glob("**/capture.json")) == []
        self.move.owner_writes()


def tells(move: Move, done: Outcome, words: str, in_french: str = "") -> None:
    """The run failed, was rolled back, and its end, its journal and its report all say so with ``words``; screens ``in_french``."""
    assert done.rc != 0, done.output[-3000:]
    assert move.outcome() == "rolled_back", done.output[-4000:]
    end: dict[str, Any] = next(event["facts"] for event in reversed(move.events()) if event["verb"] == "end")
    report = move.report()
    assert "- Rollback effectué : Oui" in report, report[:2000]
    assert "- Statut final : KO" in report, report[:2000]
    assert words in end["cause"]["message"], end["cause"]
    assert (in_french or words) in done.output.rpartition("PLAY RECAP")[0].replace("\u00a0", " ")[-6000:]
    # The report has the failure in the reader's language, and beside it the original.
    assert words in report and in_french in report.replace("\u00a0", " "), report[:3000]


@pytest.fixture(name="intrusion")
def fixture_intrusion(move: Move) -> Intrusion:
    """An intrusion that is not planned yet."""
    return Intrusion(move)


@pytest.fixture(name="before")
def fixture_before(move: Move) -> Before:
    """Both servers before the migration."""
    return Before(move)
