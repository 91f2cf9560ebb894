# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the events of one journal to what happened in one attempt. Pure: no clock, no file, no language."""

from __future__ import annotations

import shlex
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal.resume import freeze_begun, froze_nothing, going_back, held
from ansible_collections.dihya.migration.plugins.plugin_utils.report.model import (
    CHECKLIST,
    OUTCOMES,
    RUN_LEVEL,
    Freeze,
    Hints,
    Options,
    ReportData,
    Step,
    seconds_between,
)


def build(events: list[dict[str, Any]], chain: dict[str, Any], options: Options | None = None) -> ReportData:
    """What the journal says about one attempt. Raises :class:`MigrationError` when it says nothing about it."""
    options = options or Options()
    numbers = sorted({event["attempt"] for event in events})
    if not numbers:
        raise MigrationError("the journal holds no event yet: there is nothing to report")
    attempt = options.attempt or numbers[-1]
    if attempt not in numbers:
        raise MigrationError(f"the journal holds no attempt {attempt}: it has {', '.join(map(str, numbers))}")
    mine = [event for event in events if event["attempt"] == attempt]
    ends = _run_level(mine, "end")
    outcome, cause = _outcome(mine)
    steps = _steps(mine)
    committed, reopened = _last_time(mine, "commit_point"), _last_time(mine, "reopened")
    freeze = _freeze(mine, steps, committed, reopened)
    checklist = _checklist(mine)
    run = _run_facts(mine)
    ended = options.stopped_at or mine[-1]["time"]
    # A run that resumed another whose events are not here: what was frozen or moved before is not known.
    blind = not options.complete and _resumes(mine) and not (committed or freeze.start)
    writes = "unknown" if blind else _writes(steps, freeze, committed, reopened)
    return ReportData(
        migration_id=mine[0]["migration_id"],
        attempt=attempt,
        attempts=[_attempt(events, number) for number in numbers],
        runs=_runs(mine),
        run=run,
        outcome=outcome,
        cause=cause,
        started=mine[0]["time"],
        ended=ended,
        seconds=seconds_between(mine[0]["time"], ended) or 0.0,
        steps=steps,
        checklist=checklist,
        findings=_findings(mine),
        freeze=freeze,
        committed=committed,
        reopened=reopened,
        writes=writes,
        held=held(mine, attempt),
        rollback=_rollback(ends, steps),
        rollback_seconds=_rollback_seconds(mine),
        discarded=_discarded(mine),
        not_proved=_not_proved(steps, checklist, ends),
        proofs=_collect(mine, "proofs"),
        created=_collect(mine, "created"),
        versions=_versions(mine),
        notices=_notices(mine, options),
        chain=dict(chain),
        journal=options.journal_path,
        run_logs=options.run_logs,
        hints=_hints(options.hints, outcome, writes, mine),
    )


def _run_level(events: list[dict[str, Any]], verb: str) -> list[dict[str, Any]]:
    return [event for event in events if event["stack"] == RUN_LEVEL and event["verb"] == verb]


def _last_time(events: list[dict[str, Any]], verb: str) -> str:
    times = [event["time"] for event in _run_level(events, verb) if event["status"] == "ok"]
    return times[-1] if times else ""


def _outcome(events: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The outcome of the last run of an attempt; a run with a beginning and no end was interrupted."""
    last_run = events[-1]["run_id"]
    ends = [event for event in _run_level(events, "end") if event["run_id"] == last_run]
    if not ends:
        unfinished = [step for step in _steps(events) if step.status == "started"]
        cause = {"stack": unfinished[-1].stack, "verb": unfinished[-1].verb, "host": unfinished[-1].host} if unfinished else {}
        return "interrupted", cause
    facts = ends[-1].get("facts") or {}
    outcome = facts.get("outcome", "interrupted")
    return (outcome if outcome in OUTCOMES else "interrupted"), dict(facts.get("cause") or {})


def _attempt(events: list[dict[str, Any]], number: int) -> dict[str, Any]:
    mine = [event for event in events if event["attempt"] == number]
    return {"attempt": number, "outcome": _outcome(mine)[0], "started": mine[0]["time"], "ended": mine[-1]["time"]}


def _runs(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    runs: dict[str, dict[str, Any]] = {}
    for event in events:
        run = runs.setdefault(
            event["run_id"], {"run_id": event["run_id"], "started": event["time"], "purpose": "", "outcome": "interrupted"}
        )
        run["ended"] = event["time"]
        facts = event.get("facts") or {}
        if event["stack"] == RUN_LEVEL and event["verb"] == "begin":
            run["purpose"] = (facts.get("run") or {}).get("purpose", "")
        if event["stack"] == RUN_LEVEL and event["verb"] == "end":
            run["outcome"] = facts.get("outcome", "interrupted")
    return list(runs.values())


def _run_facts(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What the runs of the attempt declared; a later run completes and overrides an earlier one."""
    merged: dict[str, Any] = {}
    for event in _run_level(events, "begin"):
        declared = (event.get("facts") or {}).get("run") or {}
        merged.update({name: value for name, value in declared.items() if value not in (None, "", [], {})})
    return merged


def _steps(events: list[dict[str, Any]]) -> list[Step]:
    """Steps in the order in which they first began; a second ``started`` is a resumed step."""
    steps: dict[tuple[str, str, str], Step] = {}
    for event in events:
        if event["stack"] == RUN_LEVEL:
            continue
        key = (event["stack"], event["verb"], event["host"])
        step = steps.setdefault(key, Step(*key))
        if event["run_id"] not in step.runs:
            step.runs.append(event["run_id"])
        nothing = event["status"] == "ok" and (event.get("facts") or {}).get("not_applicable")
        step.status = "not_applicable" if nothing else event["status"]
        if event["status"] == "started":
            step.started, step.ended, step.seconds = event["time"], "", None
            continue
        facts = event.get("facts") or {}
        step.ended, step.facts = event["time"], facts
        step.seconds = facts.get("duration", seconds_between(step.started, event["time"]))
    return list(steps.values())


def _freeze(events: list[dict[str, Any]], steps: list[Step], committed: str, reopened: str) -> Freeze:
    fences = [event["facts"]["fence"] for event in events if (event.get("facts") or {}).get("fence")]
    fence = dict(fences[-1]) if fences else {}
    proved = _last_time(events, "frozen") or max(
        (step.ended for step in steps if step.verb == "freeze" and step.status == "ok"), default=""
    )
    if not proved or froze_nothing(events, events[-1]["attempt"]):
        return Freeze(fence=fence)
    # Users feel the freeze from its first step on, not from the moment in which it was proved.
    lifted = max((time for time in (committed, reopened) if time and time < proved), default="")
    start = min((event["time"] for event in events if event["verb"] == "freeze" and event["time"] > lifted), default=proved)
    # Whichever came first after the freeze ended it: a commit or a reopening (a later rollback may also reopen).
    ends = sorted((time, name) for time, name in ((committed, "commit"), (reopened, "reopened")) if time and time >= start)
    stop, end = ends[0] if ends else ("", "")
    return Freeze(start=start, stop=stop, end=end, seconds=seconds_between(start, stop), fence=fence)


def _writes(steps: list[Step], freeze: Freeze, committed: str, reopened: str) -> str:
    """Where clients can write, as far as the journal knows: source, target, nowhere, or uncertain."""
    if reopened and reopened >= max(committed, freeze.start):
        return "source"
    if committed:
        return "target"
    if freeze.start:
        return "nowhere"
    touched = any(step.verb == "freeze" and step.status in ("started", "failed") for step in steps)
    return "uncertain" if touched else "source"


def _checklist(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Always the eight items, in the guide's order: what was never looked at is not demonstrated."""
    found: dict[str, dict[str, Any]] = {}
    for event in _run_level(events, "checklist"):
        found.update({entry["item"]: entry for entry in (event.get("facts") or {}).get("checklist") or []})
    empty = {"expected": "", "observed": "", "verdict": "not_demonstrated", "evidence": []}
    return [{**empty, **found.get(item, {}), "item": item} for item in CHECKLIST]


def _findings(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the last run that looked at everything found, each finding once; later runs of an attempt only go on."""
    looked = [event["run_id"] for event in events if (event["verb"], event["status"]) == ("preflight", "started")][-1:]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for event in _run_level(events, "checklist"):
        if event["run_id"] in looked:
            found.update({(one["subject"], one["finding"]): one for one in (event.get("facts") or {}).get("findings") or []})
    return list(found.values())


def _rollback(ends: list[dict[str, Any]], steps: list[Step]) -> list[dict[str, Any]]:
    """One verdict per stack and host: what the rollback itself journaled, completed by the end of the run."""
    verdicts = {(step.stack, step.host): step.status for step in steps if step.verb == "rollback"}
    for end in ends:
        for entry in (end.get("facts") or {}).get("rollback") or []:
            unit, verdict = (entry.get("stack", ""), entry.get("host", "")), entry.get("verdict", "")
            if (verdicts.get(unit), verdict) != ("not_applicable", "ok"):  # the run's end knows no more than that nothing failed
                verdicts[unit] = verdict
    return [{"stack": stack, "host": host, "verdict": verdict} for (stack, host), verdict in verdicts.items()]


def _rollback_seconds(events: list[dict[str, Any]]) -> float | None:
    """Seconds from the first step of the rollback to the moment in which users could write again, else to its last step."""
    times = [event["time"] for event in events if event["verb"] == "rollback" and event["stack"] != RUN_LEVEL]
    if not times:
        return None
    reopened = [event["time"] for event in _run_level(events, "reopened") if event["time"] >= times[0]]
    return seconds_between(times[0], (reopened or times)[-1])


def _discarded(events: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Every table that rollbacks found changed since it was proved, with its rows then and now; None when none looked."""
    told = [event["facts"]["discarded"] for event in events if "discarded" in (event.get("facts") or {})]
    return [entry for entries in told for entry in entries] if told else None


def _not_proved(steps: list[Step], checklist: list[dict[str, Any]], ends: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Everything a reader might take for proved and that is not."""
    found = []
    for step in steps:
        place = {"stack": step.stack, "verb": step.verb, "host": step.host}
        found += [{"kind": "not_proved", "text": text, **place} for text in step.facts.get("not_proved") or []]
        found += [{"kind": "skipped", "text": text, **place} for text in step.facts.get("skipped") or []]
        found += [
            {"kind": "explained", "text": f"{entry.get('rule', '')}: {entry.get('object', '')}", **place}
            for entry in step.facts.get("explained") or []
        ]
        found += [
            {"kind": "test_skipped", "text": test.get("name", ""), **place}
            for test in step.facts.get("tests") or []
            if test.get("verdict") == "skipped" or test.get("skipped")
        ]
        if step.status == "skipped":
            found.append({"kind": "step_skipped", "text": step.facts.get("summary", ""), **place})
    for entry in checklist:
        if entry["verdict"] in ("not_demonstrated", "waived"):
            found.append({"kind": entry["verdict"], "text": entry["item"], "stack": "", "verb": "checklist", "host": ""})
    for end in ends[-1:]:  # a later run removes what an earlier one had to leave
        place = {"stack": RUN_LEVEL, "verb": "end", "host": end["host"]}
        found += [{"kind": "not_proved", "text": text, **place} for text in (end.get("facts") or {}).get("not_proved") or []]
    return found


def _collect(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """All entries of one list fact, first seen first, without repetition, with where they come from."""
    found: list[dict[str, Any]] = []
    for event in events:
        for entry in (event.get("facts") or {}).get(name) or []:
            known = {**entry, "host": entry.get("host") or event["host"], "stack": event["stack"], "verb": event["verb"]}
            if known not in found:
                found.append(known)
    return found


def _versions(events: list[dict[str, Any]]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for event in events:
        versions.update((event.get("facts") or {}).get("versions") or {})
    return versions


def _notices(events: list[dict[str, Any]], options: Options) -> list[dict[str, str]]:
    """What a reader must know of: how a run died that has no journal here, a lock taken over, a torn line set aside."""
    found = [
        {"kind": event["verb"], "time": event["time"], "run_id": event["run_id"]}
        for event in events
        if event["stack"] == RUN_LEVEL and event["verb"] in ("takeover", "torn_write")
    ]
    if options.complete:
        return found
    own = [{"kind": "controller_only", "time": "", "run_id": ""}]
    own += [{"kind": f"stopped_{options.stopped.lower()}", "time": options.stopped_at, "run_id": ""}] if options.stopped else []
    own += [{"kind": "resumed_blind", "time": "", "run_id": ""}] if _resumes(events) else []
    return [*own, *found]


def _resumes(events: list[dict[str, Any]]) -> bool:
    """Whether the first run of these events goes on with one that is not among them."""
    begins = _run_level(events, "begin")
    return bool(begins and ((begins[0].get("facts") or {}).get("run") or {}).get("resumed"))


def _hints(hints: Hints, outcome: str, writes: str, events: list[dict[str, Any]]) -> dict[str, str]:
    """The commands that are open to the reader; without one from the caller, the script that reopens is the journal's."""
    attempt = events[-1]["attempt"]
    waits, back = held(events, attempt), going_back(events, attempt)
    if outcome == "ok" and writes in ("source", "target") and not waits:
        return {}
    scripts = [proof["path"] for proof in _collect(events, "proofs") if proof.get("kind") == "reopen_script"]
    reopen = hints.reopen or (f"sh {shlex.quote(scripts[-1])}" if scripts else "")
    # A run that changed nothing leaves to be undone what those before it did; a rollback that did not end lets nothing else begin.
    untouched = writes == "source" and (bool(_run_level(events, "reopened")) or not freeze_begun(events, attempt))
    undone = outcome == "rolled_back" or (outcome == "refused" and untouched)
    found = {
        "resume": "" if back else hints.commit if waits else hints.resume,  # what is held may be verified again, and stays so
        "rollback": hints.rollback if back or not undone else "",
        "reopen": reopen if writes in ("nowhere", "uncertain", "unknown") else "",
    }
    return {name: command for name, command in found.items() if command}
