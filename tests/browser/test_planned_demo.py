# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``make demo DEMO_ARGS="--check --diff"``: the plan of the whole migration is shown, and nothing is changed on either site."""

from __future__ import annotations

import re

MADE = {"ansible", "certificates", "demo.json", "home", "new", "old", "processes.jsonl", "public", "requests.jsonl", "secrets.json",
        "source"}
"""What the sites need to run, the public that looks at them, and Ansible on the controller."""


def test_a_planned_demo_shows_its_plan_and_changes_nothing(moved):
    said = moved["planned"]
    for step in ("postgresql: database dihya_demo, 9 tables, ", "backend: deploy release ", "traffic: switch the public address, "):
        assert f"'{step}" in said
    assert re.search(r"^ +- nothing was changed$", said, re.M)
    assert "BROKEN" not in said  # no database, role, release, process or port of ours on the new site; the old one serves, writes open
    assert "the old site serves at " in said and "demo: no report in " in said
    assert set(moved["files"]) - MADE == {"kept", "state"}
