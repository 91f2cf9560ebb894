# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lock is taken over by itself only from a process that provably is gone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal import lock

HERE = {"machine_id": "m1", "host": "h1", "boot": "b1", "pid_namespace": "n1"}
HOLDER: dict[str, Any] = {
    **HERE, "pid": 7, "start": 100, "run_id": "r1", "migration_id": "crm", "operator": "amel", "since": "2026-11-23T10:00:00Z", "job": "",
}

DEATHS = {
    "alive": ({}, {7: 100}, False),
    "gone": ({}, {}, True),
    "number given to another process": ({}, {7: 200}, True),
    "machine started again": ({"boot": "b0"}, {7: 100}, True),
    "another machine": ({"boot": "b0", "machine_id": "m2"}, {}, False),
    "cloned machine-id, other name": ({"boot": "b0", "host": "h2"}, {}, False),
    "no machine-id, other boot": ({"boot": "b0", "machine_id": ""}, {}, False),
    "another container of this machine": ({"pid_namespace": "n2"}, {}, False),
    "says nothing about its process": ({"pid": None}, {}, False),
    "says nothing about its boot": ({"boot": ""}, {}, False),
}


@pytest.mark.parametrize("name", DEATHS)
def test_only_a_process_of_this_machine_can_be_proved_dead(name: str) -> None:
    changes, processes, expected = DEATHS[name]
    assert lock.is_dead(dict(HOLDER, **changes), HERE, processes.get) is expected


ME = dict(HERE, pid=9, start=300)
VERDICTS = {
    "nobody": (None, ME, [], [], "free"),
    "somebody": (HOLDER, ME, [], [], "held"),
    "somebody dead": (HOLDER, ME, ["r1"], [], "dead"),
    "another run is dead": (HOLDER, ME, ["r0"], [], "held"),
    "takeover asked": (HOLDER, ME, [], ["r1"], "takeover"),
    "takeover of another run asked": (HOLDER, ME, [], ["r0"], "held"),
    "this very process": (HOLDER, HOLDER, [], [], "dead"),
    "malformed lock file": ({}, ME, [], [], "held"),
    "malformed lock file, unknown controller": ({}, {}, [], [""], "held"),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict_on_a_holder(name: str) -> None:
    holder, mine, dead, takeover, expected = VERDICTS[name]
    assert lock.judge(holder, mine, dead, takeover) == expected


def test_a_refusal_names_the_holder_and_the_way_out() -> None:
    error = lock.refusal({"migration crm": dict(HOLDER, token_sha256="x", job="awx 12")})
    assert isinstance(error, MigrationError)
    for part in ("run r1", "amel", "2026-11-23T10:00:00Z", "h1", "pid 7", "awx 12", "-e migration_takeover=r1"):
        assert part in error.message
    assert "token_sha256" not in error.facts["lock_holders"][0]


def test_the_migration_and_every_identity_have_a_lock_file_of_their_own() -> None:
    names = lock.lock_names("crm", ["db.old:5432/../x", "db.new:5432"])
    assert len(names) == 3 and next(iter(names)) == "migration-crm.json"
    assert all("/" not in name for name in names)
