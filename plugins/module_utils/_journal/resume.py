# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the events of a journal mean for the next run, without I/O: attempt, resume, completeness, what was created."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import RUN

Event = dict  # an event as chain.py reads it

SETTLED = ("ok", "not_applicable", "skipped")
"""A unit with this last status is probed again, not run again."""
AFTER_FREEZE = ("freeze", "migrate", "verify", "commit")
MOVING = ("migrate", "commit")
"""Purposes of runs whose outcome ``ok`` completes the migration."""


def last_attempt(events: list[Event]) -> int:
    """Number of the last attempt, 0 for an empty journal."""
    return max((event["attempt"] for event in events), default=0)


def of_attempt(events: Iterable[Event], attempt: int) -> list[Event]:
    """The events of one attempt, in order."""
    return [event for event in events if event["attempt"] == attempt]


def next_attempt(events: list[Event], purpose: str) -> int:
    """The attempt of a run that begins now: a rollback that came to its end ends the attempt for everything but itself."""
    attempt = last_attempt(events)
    if attempt == 0:
        return 1
    rolled_back = any(event["verb"] == "rollback" for event in of_attempt(events, attempt)) and not going_back(events, attempt)
    return attempt + 1 if rolled_back and purpose != "rollback" else attempt


def going_back(events: Iterable[Event], attempt: int) -> bool:
    """Whether the rollback of an attempt began and did not come to its end: what is still to be undone is known by this attempt."""
    back = False
    for event in of_attempt(events, attempt):
        if event["stack"] != RUN:
            back = back or event["verb"] == "rollback"
        elif event["verb"] == "reopened":
            back = False
        elif event["verb"] == "end":  # of a rollback that could not be put on record the end may be all that is
            back = {"rolled_back": False, "rollback_incomplete": True}.get(event["facts"]["outcome"], back)
    return back


def unended_run(events: list[Event]) -> Event | None:
    """The ``begin`` of the last run when no ``end`` followed it."""
    begun: Event | None = None
    for event in events:
        if event["stack"] != RUN:
            continue
        if event["verb"] == "begin":
            begun = event
        elif event["verb"] == "end" and begun is not None and event["run_id"] == begun["run_id"]:
            begun = None
    return begun


def last_unit(events: Iterable[Event], run_id: str | None = None) -> dict[str, str]:
    """Where a run stood: stack, verb, host and status of its last unit event; empty when it had none."""
    for event in reversed(list(events)):
        if event["stack"] != RUN and run_id in (None, event["run_id"]):
            return {key: event[key] for key in ("stack", "verb", "host", "status")}
    return {}


def previous_end(events: Iterable[Event]) -> dict[str, str]:
    """Outcome, time and run_id of the last run that ended; empty when none did."""
    for event in reversed(list(events)):
        if event["stack"] == RUN and event["verb"] == "end":
            return {"outcome": event["facts"]["outcome"], "time": event["time"], "run_id": event["run_id"]}
    return {}


def last_moving_end(events: list[Event], attempt: int) -> tuple[str, list[str]]:
    """Outcome and stacks of the attempt's last run that was to migrate or commit and ended; ``("", [])`` when none.

    What waits goes on waiting behind a refusal, which changes nothing, and behind a commit that was interrupted: its next run goes
    on with it, before the commit point and behind it.
    """
    begun: dict[str, dict[str, Any]] = {}
    found: tuple[str, list[str]] = ("", [])
    for event in of_attempt(events, attempt):
        if event["stack"] != RUN:
            continue
        if event["verb"] == "begin":
            begun[event["run_id"]] = event["facts"].get("run", {})
        elif event["verb"] == "end" and begun.get(event["run_id"], {}).get("purpose") in MOVING:
            outcome, run = event["facts"]["outcome"], begun[event["run_id"]]
            if found[0] == "waiting" and (outcome == "refused" or (run["purpose"], outcome) == ("commit", "interrupted")):
                continue
            found = (outcome, run.get("stacks", []))
    return found


def held(events: list[Event], attempt: int) -> bool:
    """Whether an attempt waits before its commit point: not where a migration that went on with it was cut off, or it was undone."""
    mine = of_attempt(events, attempt)
    unended = unended_run(mine)
    going_on = unended is not None and unended["facts"].get("run", {}).get("purpose") == "migrate"
    undone = any(event["verb"] == "rollback" for event in mine) or going_back(mine, attempt)
    return last_moving_end(mine, attempt)[0] == "waiting" and not (going_on or undone or passed_commit_point(mine, attempt))


def passed_commit_point(events: list[Event], attempt: int) -> bool:
    """Whether a client write may have been admitted to the target in this attempt."""
    return any((event["stack"], event["verb"], event["status"]) == (RUN, "commit_point", "ok") for event in of_attempt(events, attempt))


def unverified(events: list[Event], attempt: int) -> list[str]:
    """The units whose last verification failed or did not end, as ``stack on host``, sorted."""
    last = {f"{event['stack']} on {event['host']}": event["status"] for event in of_attempt(events, attempt)
            if event["stack"] != RUN and event["verb"] == "verify"}
    return sorted(unit for unit, status in last.items() if status not in SETTLED)


def created(events: list[Event], attempt: int) -> dict[str, list[dict[str, Any]]]:
    """What the attempt created, per stack, each once, with the host that recorded it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in of_attempt(events, attempt):
        for item in event["facts"].get("created", []):
            entry = dict(item, host=event["host"])
            if entry not in found.setdefault(event["stack"], []):
                found[event["stack"]].append(entry)
    return found


def situation(events: list[Event], purpose: str, stacks: list[str]) -> dict[str, Any]:
    """What a run of ``purpose`` over ``stacks`` that begins now has to know; see RETURN of the module."""
    attempt = next_attempt(events, purpose)
    outcome, moved = last_moving_end(events, attempt)
    unended, back = unended_run(events), going_back(events, attempt)
    # A backup, a verification or a rollback that is asked for has its work to do after a complete migration too.
    complete = purpose in MOVING and outcome == "ok" and not back and unended is None and sorted(moved) == sorted(stacks)
    return {
        "attempt": attempt,
        "resumed": not complete and any(event["stack"] != RUN for event in of_attempt(events, attempt)),
        "complete": complete,
        "going_back": back,
        "migrated": outcome == "ok" and not back,
        "held": held(events, attempt),
        "unverified": unverified(events, attempt),
        "past_commit_point": passed_commit_point(events, attempt),
        "previous": previous_end(events),
        "created": created(events, attempt),
        "plan_seconds": planned(events, attempt),
        "frozen_since": fences(events, attempt)["frozen_since"],
        "freeze_begun": freeze_begun(events, attempt),
        "interrupted_after": last_unit(events, unended["run_id"]) if unended else {},
    }


def freeze_begun(events: list[Event], attempt: int) -> bool:
    """Whether an attempt came as far as its freeze, of which even a part keeps clients out."""
    return any(event["verb"] in AFTER_FREEZE for event in of_attempt(events, attempt) if event["stack"] != RUN)


def froze_nothing(events: list[Event], attempt: int) -> bool:
    """Whether no stack of an attempt had anything to freeze, although each was asked."""
    last = {(event["stack"], event["host"]): event["status"] for event in of_attempt(events, attempt)
            if event["stack"] != RUN and event["verb"] == "freeze"}
    return bool(last) and set(last.values()) == {"not_applicable"}


def fences(events: list[Event], attempt: int) -> dict[str, str]:
    """Since when an attempt keeps the source frozen, and when it passed the commit point; empty where it did not."""
    times = {event["verb"]: event["time"] for event in of_attempt(events, attempt)
             if event["stack"] == RUN and event["verb"] in ("frozen", "reopened", "commit_point")}
    reopened = times.get("reopened", "") > times.get("frozen", "")
    open_all_along = reopened or froze_nothing(events, attempt)
    return {"frozen_since": "" if open_all_along else times.get("frozen", ""), "commit_point": times.get("commit_point", "")}


def planned(events: list[Event], attempt: int) -> float:
    """Seconds that the last plan of an attempt foresaw, 0 when none is on record."""
    found = [event["facts"]["plan_seconds"] for event in of_attempt(events, attempt) if "plan_seconds" in event.get("facts", {})
             and (event["stack"], event["verb"]) == (RUN, "checklist")]
    return found[-1] if found else 0.0


def identities(events: list[Event], attempt: int) -> list[str]:
    """The sources and targets that the preflights of an attempt named, sorted."""
    found = {name for event in of_attempt(events, attempt) for name in event.get("facts", {}).get("identities", [])}
    return sorted(found)


def last_of_unit(events: list[Event], attempt: int, host: str, stack: str, verb: str) -> Event | None:
    """The last event of a unit (attempt, host, stack, verb)."""
    for event in reversed(events):
        if (event["attempt"], event["host"], event["stack"], event["verb"]) == (attempt, host, stack, verb):
            return event
    return None


def decide(events: list[Event], attempt: int, purpose: str, unit: tuple[str, str, str], inputs: str | None) -> str:
    """``probe`` when the unit (host, stack, verb) was done in this attempt with the same inputs, else ``run``.

    A run whose purpose is the verb itself (a new backup, another verification) always runs it; so does every run its
    preflight until the freeze begins, because findings and plan are in no journal; and what was done under a freeze
    counts no longer once the source was reopened.
    """
    verb = unit[2]
    if purpose in ("backup", "verify") and verb == purpose:
        return "run"
    if verb == "preflight" and not freeze_begun(events, attempt):
        return "run"
    mine = [event for event in of_attempt(events, attempt) if (event["host"], event["stack"], event["verb"]) == unit]
    if not mine or mine[-1]["status"] not in SETTLED:
        return "run"
    starts = [event for event in mine if event["status"] == "started"]
    if not starts or starts[-1].get("inputs_sha256") != inputs:
        return "run"
    later = (event for event in of_attempt(events, attempt) if event["stack"] == RUN and event["seq"] > starts[-1]["seq"])
    reopened = any(event["verb"] == "reopened" for event in later)
    return "run" if reopened and verb in AFTER_FREEZE else "probe"


def is_repetition(events: list[Event], attempt: int, run_verb: str, probing: bool) -> bool:
    """Whether a run-level event says what the attempt's journal already says and is therefore not written again."""
    known = [event for event in of_attempt(events, attempt) if event["stack"] == RUN and event["status"] == "ok"]
    seen = [event["verb"] for event in known if event["verb"] in ("checklist", "frozen", "reopened", "commit_point")]
    if run_verb in ("frozen", "reopened"):
        fences = [verb for verb in seen if verb in ("frozen", "reopened")]
        return fences[-1:] == [run_verb]
    return run_verb in seen and (run_verb == "commit_point" or probing)


def status_lines(migration_id: str, state: dict[str, Any], lock: dict[str, Any], chain: dict[str, Any]) -> list[str]:
    """The state in at most a dozen lines for a person at night: who runs, how far, since when frozen, what to distrust."""
    attempt = f"attempt {state['attempt']}, {state['outcome'] or 'not ended'}" if state["attempt"] else "never begun"
    lines = [f"migration {migration_id}: {attempt}"]
    if chain["problem"]:
        lines.append(f"THE JOURNAL WAS CHANGED: {chain['problem']}")
    if lock["held"]:
        alive = {True: "alive", False: "dead, the next run goes on", None: "alive or not, that cannot be told from here"}[lock.get("alive")]
        who = f"run {lock['run_id']} of {lock['operator'] or 'unknown'} on {lock['host'] or 'unknown'}"
        lines.append(f"{who} since {lock['since']}: its process is {alive}")
    if state["going_back"] and not lock.get("alive"):
        lines.append("its rollback did not come to its end: run playbooks/rollback.yml, until then every other run is refused")
    elif state["running"] and not lock["held"]:
        lines.append(f"run {state['running']} was interrupted: run the playbook again to go on, or playbooks/rollback.yml to undo")
    lines += [f"{stack}: {last['verb']} {last['status']} on {last['host']} at {last['time']}" for stack, last in state["stacks"].items()]
    if state["frozen_since"] and not state["commit_point"]:
        lines.append(f"the source is frozen since {state['frozen_since']}")
    if state["commit_point"]:
        lines.append(f"the target takes writes since {state['commit_point']}")
    return lines


def summary(events: list[Event]) -> dict[str, Any]:
    """The short state for ``playbooks/status.yml``: attempt, outcome, last event per stack, times of freeze and commit point."""
    attempt = last_attempt(events)
    mine = of_attempt(events, attempt)
    stacks: dict[str, dict[str, str]] = {}
    for event in mine:
        if event["stack"] != RUN:
            stacks[event["stack"]] = {key: event[key] for key in ("verb", "host", "status", "time")}
    unended = unended_run(events)
    return {
        "attempt": attempt,
        "outcome": "" if unended else previous_end(mine).get("outcome", ""),
        "running": unended["run_id"] if unended else "",
        "going_back": going_back(mine, attempt),
        "stacks": stacks,
        **fences(events, attempt),
        "last_event": events[-1]["time"] if events else "",
    }
