# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only the controller knows: the process of this run, whether another one lives, partial runs, digests of inputs."""

from __future__ import annotations

import getpass
import hashlib
import multiprocessing
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible_collections.dihya.migration.plugins.module_utils._journal.chain import canonical
from ansible_collections.dihya.migration.plugins.module_utils._journal.lock import is_dead
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id, start_time

SECRET_NAME = re.compile(r"pass|secret|token|key", re.IGNORECASE)
SHARED = {"backup": ("migration_backup_copies",)}
"""What a verb of every stack is done with beside the stack's own variables; one that is not set counts no more than an empty one."""


def machine() -> dict[str, str]:
    """This machine as far as a process number needs it: ``machine_id``, ``host``, ``boot``, ``pid_namespace``."""
    machine_id = ""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            machine_id = machine_id or Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
    namespace = str(Path("/proc/self/ns/pid").readlink())
    return {"machine_id": machine_id, "host": socket.gethostname(), "boot": boot_id(), "pid_namespace": namespace}


def holder(task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The process of this ansible-playbook (the parent of the worker that asks), its machine, operator and job."""
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent is not None and parent.pid else os.getpid()
    return {**machine(), "pid": pid, "start": start_time(pid), "operator": operator(task_vars), "job": job_id(task_vars)}


def operator(task_vars: Mapping[str, Any]) -> str:
    """Who runs this: the inventory's ``migration_operator``, else the one AWX names, else the system's user."""
    for name in ("migration_operator", "awx_user_name", "tower_user_name"):
        if task_vars.get(name):
            return str(task_vars[name])
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def job_id(task_vars: Mapping[str, Any]) -> str:
    """The job of AWX or Semaphore, or the environment's JOB_ID; empty without."""
    awx = awx_job(task_vars)
    return f"awx {awx}" if awx else semaphore_job(task_vars) or os.environ.get("JOB_ID", "")


def awx_job(task_vars: Mapping[str, Any]) -> str:
    """The job id of AWX, empty outside of it."""
    from_environment = os.environ.get("JOB_ID", "") if "AWX_HOST" in os.environ else ""
    return str(task_vars.get("awx_job_id") or task_vars.get("tower_job_id") or from_environment)


def semaphore_job(task_vars: Mapping[str, Any]) -> str:
    """``semaphore`` and the task id that Semaphore passes as ``semaphore_vars``; empty outside of it."""
    given = task_vars.get("semaphore_vars")
    if not isinstance(given, Mapping):
        return ""
    return f"semaphore {(given.get('task_details') or {}).get('id', '')}".strip()


def dead_runs(holders: list[Mapping[str, Any]]) -> list[str]:
    """The run_ids of those ``holders`` that ran on this machine and provably do not any more."""
    here = machine()
    return [str(one["run_id"]) for one in holders if one.get("run_id") and is_dead(dict(one), here, start_time)]


def alive(one: Mapping[str, Any]) -> bool | None:
    """Whether the holder's process lives; None when that cannot be told from this machine."""
    here = machine()
    if one.get("boot") == here["boot"] and one.get("pid_namespace") == here["pid_namespace"]:
        return not is_dead(dict(one), here, start_time)
    return False if is_dead(dict(one), here, start_time) else None


def partial_run(task_vars: Mapping[str, Any]) -> str:
    """Why this run is not a whole one, empty when it is: parts of a transaction must not run alone."""
    found = []
    if task_vars.get("ansible_limit"):
        found.append("--limit")
    if list(task_vars.get("ansible_run_tags") or ["all"]) != ["all"]:
        found.append("--tags")
    if list(task_vars.get("ansible_skip_tags") or []):
        found.append("--skip-tags")
    if (context.CLIARGS or {}).get("start_at_task"):
        found.append("--start-at-task")
    if not found:
        return ""
    return (
        f"{', '.join(found)}: a migration runs as a whole or not at all, nothing was changed. "
        "Leave the option away; choose parts of the application with migration_stacks"
    )


def inputs_sha256(task_vars: Mapping[str, Any], host: str, stack: str, verb: str) -> str:
    """Digest of what the inventory and the command line say about ``verb`` of ``stack`` on ``host``, without secrets.

    Facts set or registered by tasks do not count: they differ from run to run without any change of the inputs.
    """
    hostvars = task_vars["hostvars"]
    manager = getattr(hostvars, "_variable_manager", None)
    facts = (getattr(manager, "_nonpersistent_fact_cache", None) or {}).get(host, {})
    set_by_tasks = set(facts) - set(getattr(manager, "extra_vars", None) or {})
    variables = hostvars.get(host, {})
    inputs = {}
    for name in [*sorted(str(name) for name in variables if str(name).startswith(f"{stack}_")), *SHARED.get(verb, ())]:
        if name in set_by_tasks or SECRET_NAME.search(name):
            continue
        try:
            value = without_secrets(variables[name])
        except Exception:  # an undefined variable: each ansible-core raises its own type
            continue
        if value or name not in SHARED.get(verb, ()):
            inputs[name] = value
    return hashlib.sha256(canonical(inputs)).hexdigest()


def without_secrets(value: Any) -> Any:
    """``value`` as plain JSON types, keys that speak of secrets dropped at every depth."""
    if isinstance(value, Mapping):
        return {str(key): without_secrets(item) for key, item in value.items() if not SECRET_NAME.search(str(key))}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [without_secrets(item) for item in value]
        return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
