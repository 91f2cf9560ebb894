# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate every variable of every stack and host at once, before anything is reached or written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.compat.version import LooseVersion
from ansible.plugins.action import ActionBase
from ansible.release import __version__
from ansible_collections.dihya.migration.plugins.plugin_utils import effect, inputs

COLLECTION = Path(__file__).resolve().parents[2]
ROLES = COLLECTION / "roles"
# Variables that the transaction or the connection sets itself; everything else is somebody's.
MAGIC = frozenset({"groups", "group_names", "hostvars", "inventory_dir", "inventory_file", "inventory_hostname", "inventory_hostname_short",
                   "environment", "omit", "play_hosts", "playbook_dir", "role_names", "vars"})
AUTOMATION = {"AWX or Automation Controller": ("awx_job_id", "tower_job_id"), "Semaphore": ("semaphore_vars",)}


class ActionModule(ActionBase):
    """Runs on the controller alone; see the module of the same name for its options."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        stacks = [str(stack) for stack in self._task.args.get("stacks") or []]
        external = variables.get("migration_stack_roles") or {}
        specs, found = {"migration": options_of("migration")}, []
        for stack in stacks:
            if (ROLES / stack / "meta" / "argument_specs.yml").exists():
                specs[stack] = options_of(stack)
            elif stack not in external:
                remedy = "choose from " + ", ".join(known_stacks())
                found.append(inputs.finding("migration_stacks", f"names the unknown stack {stack}", remedy))
        found += inputs.check_groups(variables["groups"], stacks, variables["groups"]["all"])
        found += self._check_hosts(specs, variables)
        found += check_state_host(variables) + check_core(__version__)
        found = inputs.unique(found)
        result.update(changed=False, findings=found, msg=f"{len(specs)} roles checked")
        if found:
            lines = [f"{row['subject']}: {row['finding']} -> {row['remedy']}" for row in found]
            result.update(failed=True, msg="\n".join([f"{len(found)} input(s) must be corrected; nothing was changed.", *lines]))
        return result

    def _check_hosts(self, specs: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any]) -> list[inputs.Finding]:
        groups = variables["groups"]
        movers = groups.get("mover") or ["mover"]
        found: list[inputs.Finding] = []
        given: dict[str, dict[str, dict[str, Any]]] = {role: {} for role in specs}
        known = {name for options in specs.values() for name in options} | set(internal_names())
        for host in groups["all"]:
            own = variables["hostvars"][host]
            found += inputs.check_names(filter(is_authored, own), known, "migration_", host)
            for role, options in specs.items():
                if role != "migration" and host not in movers and host not in (groups.get(role) or []):
                    continue
                given[role][host] = {}
                for name, spec in options.items():
                    try:
                        value = own[name] if name in own else self._templar.template(variables.get(name))
                    except AnsibleError:
                        remedy = "define the variables and files that its value uses"
                        found.append(inputs.finding(f"{name} ({host})", "cannot be resolved", remedy))
                        continue
                    found += inputs.check_option(name, spec, value, host)
                    given[role][host].update({} if value is None else {name: value})
                found += effect.check_effect(options, given[role][host], host)
        deciding = {*movers[:1], *(groups.get("target") or [])}
        for role, options in specs.items():
            found += effect.check_agreement(options, {host: told for host, told in given[role].items() if host in deciding})
        return found


def is_authored(name: str) -> bool:
    """Whether an author wrote the variable ``name``: neither a connection setting nor one of Ansible's own."""
    return not name.startswith("ansible_") and name not in MAGIC


def options_of(role: str) -> dict[str, Any]:
    """The union of the options of all entry points of one of our roles."""
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    merged: dict[str, Any] = {}
    for entry in yaml.safe_load(text)["argument_specs"].values():
        for name, spec in (entry.get("options") or {}).items():
            merged[name] = {**spec, "required": spec.get("required", False) or merged.get(name, {}).get("required", False)}
    return merged


def known_stacks() -> list[str]:
    """Roles that are stacks: those with all verbs."""
    return sorted(path.parents[1].name for path in ROLES.glob("*/tasks/freeze.yml"))


def internal_names() -> list[str]:
    """Names that the role ``migration`` derives itself."""
    return list(yaml.safe_load((ROLES / "migration" / "vars" / "main.yml").read_text(encoding="utf-8")))


def check_core(version: str) -> list[inputs.Finding]:
    """Whether the controller has the ansible-core that the collection needs: Ansible itself only warns."""
    needed = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]
    if LooseVersion(version) >= LooseVersion(needed.lstrip(">=")):
        return []
    return [inputs.finding("ansible-core", f"is {version} on the controller, this collection needs {needed}", "install a newer one there")]


def check_state_host(variables: Mapping[str, Any]) -> list[inputs.Finding]:
    """Under AWX and Semaphore the controller's directories are thrown away: the journal may not live there."""
    groups = variables["groups"]
    state = (groups.get("state") or groups.get("mover") or ["mover"])[0]
    own = variables["hostvars"][state] if state in groups["all"] else {}
    local = own.get("ansible_connection") == "local" or (state == "localhost" and "ansible_connection" not in own)
    under = [name for name, marks in AUTOMATION.items() if any(mark in variables for mark in marks)]
    # Not AWX_ISOLATED_DATA_DIR: every ansible-runner sets it, and its directories last.
    if "SEMAPHORE_TASK_ID" in os.environ or "AWX_HOST" in os.environ:
        under = under or ["AWX or Semaphore"]
    if local and under:
        return [inputs.finding(f"state ({state})", f"is the job's own machine, which {under[0]} throws away",
                               "put a lasting host in the group state, or give the mover an ansible_host")]
    return []
