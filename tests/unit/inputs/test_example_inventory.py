# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The example of a whole site is an inventory that preflight would take: hosts, groups, every variable and its form."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from ansible_collections.dihya.migration.plugins.action.preflight_inputs import options_of
from ansible_collections.dihya.migration.plugins.plugin_utils import inputs

EXAMPLE = pathlib.Path(__file__).parents[3] / "inventories" / "example"
VAULT = yaml.safe_load((EXAMPLE / "group_vars" / "all" / "vault.yml.example").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def listed() -> dict:
    """What ansible-inventory makes of the example, templates unresolved."""
    program = pathlib.Path(sys.executable).parent / "ansible-inventory"
    done = subprocess.run([program, "-i", EXAMPLE, "--list"], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr
    return json.loads(done.stdout)


def commented_out() -> set[str]:
    """The variables that the example shows and does not set."""
    texts = [path.read_text(encoding="utf-8") for path in EXAMPLE.glob("group_vars/all/*.yml")]
    return {name for text in texts for name in re.findall(r"^# (\w+_\w+):", text, re.M)}


def test_every_host_has_its_side_and_the_mover_is_there(listed):
    groups = {name: list(group.get("hosts") or []) for name, group in listed.items() if name != "_meta"}
    hosts = listed["_meta"]["hostvars"]
    assert inputs.check_groups(groups, hosts["mover"]["migration_stacks"], hosts) == []
    assert groups["source"] and groups["target"]


def test_every_variable_is_one_of_a_role_and_has_its_form_and_none_that_is_required_is_missing(listed):
    for host, variables in listed["_meta"]["hostvars"].items():
        options = {}
        for role in ["migration", *variables["migration_stacks"]]:
            options |= options_of(role)
        authored = {name for name in variables if not name.startswith("ansible_")}
        assert authored | commented_out() <= set(options)
        assert [found for name, spec in options.items() for found in inputs.check_option(name, spec, variables.get(name), host)] == []


def test_every_secret_that_it_uses_is_in_the_example_of_the_vault_and_no_other():
    text = "".join(path.read_text(encoding="utf-8") for path in EXAMPLE.rglob("*.yml"))
    assert set(re.findall(r"\bvault_\w+", text)) == set(VAULT)
