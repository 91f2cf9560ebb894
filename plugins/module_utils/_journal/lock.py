# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may run a migration, without I/O: names of lock files, the verdict on a holder, and how a refusal reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

HOLDER_FIELDS = ("operator", "host", "machine_id", "boot", "pid_namespace", "pid", "start", "job")
"""What the controller says about the process that runs the playbook; see plugin_utils/controller.py."""


def lock_names(migration_id: str, identities: Iterable[str]) -> dict[str, str]:
    """File name to what it locks: the migration, and every source and target by its identity."""
    names = {f"migration-{migration_id}.json": f"migration {migration_id}"}
    for identity in identities:
        names[f"identity-{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"] = identity
    return names


def is_dead(holder: dict[str, Any], here: dict[str, Any], start_of: Any) -> bool:
    """Whether ``holder`` ran on this machine and provably no longer does.

    ``here`` describes this machine (``machine_id``, ``host``, ``boot``, ``pid_namespace``); ``start_of(pid)`` gives the
    start time of a process of this machine or None. A process in another container or on another machine is never
    proved dead: its number means nothing here.
    """
    if not holder.get("boot") or not isinstance(holder.get("pid"), int):
        return False
    if holder["boot"] != here["boot"]:
        same_machine = bool(holder.get("machine_id")) and (holder["machine_id"], holder.get("host")) == (here["machine_id"], here["host"])
        return same_machine  # the machine was started again since
    if holder.get("pid_namespace") != here["pid_namespace"]:
        return False
    return start_of(holder["pid"]) != holder.get("start")


def judge(holder: dict[str, Any] | None, mine: dict[str, Any], dead: Iterable[str], takeover: Iterable[str]) -> str:
    """``free``, ``dead`` (taken over by itself), ``takeover`` (asked for) or ``held`` (refused)."""
    if holder is None:
        return "free"
    run_id = holder.get("run_id", "")
    process = ("boot", "pid_namespace", "pid", "start")
    if run_id in dead or (mine.get("boot") and all(holder.get(key) == mine.get(key) for key in process)):
        return "dead"  # one playbook process has one run at a time: its own earlier run is over
    return "takeover" if run_id and run_id in takeover else "held"


def describe(holder: dict[str, Any]) -> str:
    """The holder in words, for messages."""
    job = f", job {holder['job']}" if holder.get("job") else ""
    operator = holder.get("operator") or "unknown"
    return (
        f"run {holder.get('run_id', 'unknown')} of migration {holder.get('migration_id', 'unknown')}, operator {operator}, "
        f"since {holder.get('since', 'unknown')} (controller {holder.get('host') or 'unknown'}, pid {holder.get('pid', 'unknown')}{job})"
    )


def refusal(held: dict[str, dict[str, Any]]) -> MigrationError:
    """The error for locks that others hold: what is locked to who holds it."""
    runs = sorted({str(holder.get("run_id", "unknown")) for holder in held.values()})
    parts = [f"{what} is locked by {describe(holder)}" for what, holder in sorted(held.items())]
    shown = (*HOLDER_FIELDS, "run_id", "migration_id", "since")
    return MigrationError(
        f"{'; '.join(parts)}: wait for its end, or, when it is certain that it no longer runs, "
        f"take over with -e migration_takeover={','.join(runs)}",
        lock_holders=[{key: value for key, value in holder.items() if key in shown} for holder in held.values()],
    )
