# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The five commands of the journal: begin, record, end, show, status. Everything that decides is in the pure parts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal import lock, resume
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import (
    END_FACTS,
    PURPOSES,
    RECORDED_RUN_VERBS,
    RUN,
    RUN_FACTS,
    STATUSES,
    VERBS,
    check_facts,
)
from ansible_collections.dihya.migration.plugins.module_utils._journal.store import Journal, Locks, exclusive
from ansible_collections.dihya.migration.plugins.module_utils._manifest import utc_now

CHECK_TOKEN = "check-"
"""Tokens of check mode begin so: they open nothing outside of it."""

NOT_BEGUN = "this run did not begin: start the playbook as a whole, --limit, --tags, --skip-tags and --start-at-task are refused"


def execute(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Run ``params['command']`` and return the result of the module; raises :class:`MigrationError`."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", params["migration_id"]):
        raise MigrationError("migration_id must consist of a-z, 0-9 and -, begin with a letter or digit and have at most 63 characters")
    if not os.path.isabs(params["state_dir"]):
        raise MigrationError("state_dir must be an absolute path")
    commands = {"begin": begin, "record": record, "end": end, "show": show, "status": status}
    return commands[params["command"]](params, check_mode)


def begin(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Take the locks, close an interrupted run, write ``begin`` and say what the journal means for this run."""
    purpose = _one_of(params, "purpose", PURPOSES)
    given = {key: value for key, value in (params["run"] or {}).items() if value not in (None, "", [], {})}
    facts = RUN_FACTS(dict(given, purpose=purpose), "run")
    journal, locks = Journal(params["state_dir"], params["migration_id"]), Locks(params["state_dir"])
    run_id = f"{re.sub('[^0-9T]', '', utc_now()[:19])}Z-{secrets.token_hex(3)}"
    token = CHECK_TOKEN + secrets.token_hex(16) if check_mode else secrets.token_hex(32)
    with _writing(locks, journal, check_mode):
        events = journal.read_intact().events
        state = resume.situation(events, purpose, facts.get("stacks", []))
        holder = _holder(params, run_id, token, state["attempt"])
        known = resume.identities(events, state["attempt"])
        names = lock.lock_names(params["migration_id"], [*params["identities"], *known])
        seized = _seize(locks, names, holder, params)
        changed = True
        if not check_mode:
            run = {"run_id": run_id, "attempt": state["attempt"], "host": params["state_host"]}
            drafts = [*_close_interrupted(journal, events, run), *_takeovers(journal, seized, run)]
            begun = journal.draft(run, RUN, "begin", "ok", {"run": dict(facts, resumed=state["resumed"])})
            pending = not drafts and _only_probes(state, purpose)
            locks.write(names, dict(holder, pending=begun if pending else None))
            try:
                changed = bool(journal.append(drafts if pending else [*drafts, begun], run))
            except BaseException:
                locks.release(run_id)
                raise
    return {"changed": changed, "msg": "the run began", "run_id": run_id, "token": token, **state}


def record(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Write the events of one verb on all hosts of a stack, or of ``records``, several in turn; for ``started`` decide what each host does.

    Sources and targets that the facts name are locked first, so that two migrations never share one.
    """
    journal, locks = Journal(params["state_dir"], params["migration_id"]), Locks(params["state_dir"])
    with _writing(locks, journal, check_mode), _telling(journal):
        units = [unit for one in params.get("records") or [params] for unit in _units(one)]
        holder = _authorize(locks, params, check_mode)
        events = journal.read_intact().events
        attempt, purpose = holder.get("attempt") or resume.next_attempt(events, "migrate"), holder.get("purpose", "migrate")
        run = {"run_id": holder.get("run_id", ""), "attempt": attempt, "host": params["state_host"]}
        decisions = {
            unit["host"]: "run" if unit["again"] else resume.decide(
                events, attempt, purpose, (unit["host"], unit["stack"], unit["verb"]), unit["inputs"],
            )
            for unit in units if unit["word"] == "started"
        }
        news = [unit for unit in units if _is_news(events, holder, unit, decisions, check_mode)]
        drafts = [
            journal.draft(
                run, unit["stack"], unit["verb"], _status_of(unit), unit["facts"], host=unit["host"], **unit["inputs_fact"],
            )
            for unit in news
        ]
        seized = _claim(locks, holder, units, params, check_mode)
        if not check_mode:
            _append(journal, locks, holder, [*_takeovers(journal, seized, run), *drafts], run)
    return {
        "changed": bool(drafts), "msg": f"{len(drafts)} of {len(units)} events are new", "decisions": decisions, "attempt": attempt,
        "news": [{"stack": unit["stack"], "verb": unit["verb"], "host": unit["host"], "status": _status_of(unit)} for unit in news],
        "past_commit_point": resume.passed_commit_point([*events, *drafts], attempt),
    }


def end(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Write ``end`` (not for a complete run that only probed) and release the locks."""
    given = {key: params[key] for key in ("outcome", "cause", "rollback", "not_proved") if params.get(key)}
    if isinstance(given.get("cause"), dict):
        given["cause"] = {key: value for key, value in given["cause"].items() if value not in (None, "")}
    facts = END_FACTS(given, "end")
    journal, locks = Journal(params["state_dir"], params["migration_id"]), Locks(params["state_dir"])
    with _writing(locks, journal, check_mode):
        holder = _authorize(locks, params, check_mode)
        silent = bool(holder.get("pending")) and facts["outcome"] in ("ok", "rolled_back") and "not_proved" not in facts
        if not check_mode:
            run = {"run_id": holder["run_id"], "attempt": holder["attempt"], "host": params["state_host"]}
            word = "ok" if facts["outcome"] in ("ok", "waiting") else "failed"
            _append(journal, locks, holder, [] if silent else [journal.draft(run, RUN, "end", word, facts)], run)
            locks.release(holder["run_id"])
    return {"changed": not silent, "msg": f"the run ended: {facts['outcome']}", "outcome": facts["outcome"]}


def show(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """All events, also of a journal that was changed (up to the change), and the verdict on the chain."""
    reading = Journal(params["state_dir"], params["migration_id"]).read_shared()
    message = reading.problem or f"{len(reading.events)} events"
    return {"changed": False, "msg": message, "events": reading.events, "chain": reading.verdict()}


def status(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """The short state, and who holds the lock."""
    reading = Journal(params["state_dir"], params["migration_id"]).read_shared()
    holder = Locks(params["state_dir"]).read(_own_lock(params["migration_id"]))
    shown = {key: (holder or {}).get(key) for key in lock.HOLDER_FIELDS + ("run_id", "purpose", "since")}
    return {
        "changed": False, "msg": reading.problem or f"{len(reading.events)} events", "chain": reading.verdict(),
        "status": resume.summary(reading.events), "lock": dict(shown, held=holder is not None),
    }


@contextlib.contextmanager
def _writing(locks: Locks, journal: Journal, check_mode: bool) -> Iterator[None]:
    """Exclude every other writer, locks first; check mode, which writes nothing and creates no directory, excludes none."""
    if check_mode:
        yield
    else:
        with exclusive(locks.directory), exclusive(journal.directory):
            yield


@contextlib.contextmanager
def _telling(journal: Journal) -> Iterator[None]:
    """Let a record that fails say all the same whether the commit point is behind: what may be undone depends on it."""
    try:
        yield
    except (MigrationError, OSError) as error:
        failed = error if isinstance(error, MigrationError) else MigrationError(
            f"{error.filename or 'the journal'} cannot be used: {error.strerror}")
        with contextlib.suppress(OSError):
            reading = journal.read()  # as it is now: a write may fail behind its last line
            if not reading.problem:
                failed.facts["past_commit_point"] = resume.passed_commit_point(reading.events, resume.last_attempt(reading.events))
        raise failed from None


def _one_of(params: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    if params[name] not in allowed:
        raise MigrationError(f"{name} must be one of {', '.join(allowed)}")
    return params[name]


def _units(given: dict[str, Any]) -> list[dict[str, Any]]:
    """What each event of one record is about."""
    word = _one_of(given, "status", STATUSES)
    return [_unit(event.get("stack") or given["stack"] or "", given["verb"] or "", word, event) for event in given["events"] or []]


def _unit(stack: str, verb: str, word: str, event: dict[str, Any]) -> dict[str, Any]:
    if verb not in (RECORDED_RUN_VERBS if stack == RUN else VERBS) or not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", stack):
        raise MigrationError(f"{verb or 'no verb'} of {stack or 'no stack'} is nothing that the journal records")
    facts = check_facts(stack, verb, event.get("facts") or {})
    inputs = event.get("inputs_sha256")
    fact = {"inputs_sha256": inputs} if inputs else {}
    return {"host": event["host"], "stack": stack, "verb": verb, "word": word, "facts": facts, "inputs": inputs, "inputs_fact": fact,
            "again": bool(event.get("again"))}


def _status_of(unit: dict[str, Any]) -> str:
    """One call records all hosts, so a host on which there was nothing to do says so in its facts."""
    return "not_applicable" if unit["word"] == "ok" and "not_applicable" in unit["facts"] else unit["word"]


def _holder(params: dict[str, Any], run_id: str, token: str, attempt: int) -> dict[str, Any]:
    """What the lock files of this run say; of the token only its digest."""
    process = {key: value for key, value in (params["holder"] or {}).items() if key in lock.HOLDER_FIELDS}
    return dict(
        process, run_id=run_id, migration_id=params["migration_id"], purpose=params["purpose"], attempt=attempt,
        token_sha256=hashlib.sha256(token.encode()).hexdigest(), since=utc_now(),
    )


def _only_probes(state: dict[str, Any], purpose: str) -> bool:
    """Whether nothing is left to do, so that this run's ``begin`` is only written when it has something to say."""
    if purpose == "rollback":
        return state["previous"].get("outcome") == "rolled_back"
    return state["complete"] and purpose in resume.MOVING


def _seize(locks: Locks, names: dict[str, str], mine: dict[str, Any], params: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Former holders, each with how its lock is taken over; raises when one is held."""
    found = {name: locks.read(name) for name in names}
    verdicts = {name: lock.judge(holder, mine, params["dead_runs"], params["takeover"]) for name, holder in found.items()}
    held = {names[name]: holder or {} for name, holder in found.items() if verdicts[name] == "held"}
    if held:
        raise lock.refusal(held)
    former = {holder.get("run_id", ""): (verdicts[name], holder) for name, holder in found.items() if holder is not None}
    return list(former.values())


def _claim(locks: Locks, holder: dict[str, Any], units: list[dict[str, Any]], params: dict[str, Any], check_mode: bool,
           ) -> list[tuple[str, dict[str, Any]]]:
    """Lock what the facts of ``units`` identify and this run does not hold yet; former holders as :func:`_seize` has them."""
    found = {name for unit in units for name in unit["facts"].get("identities", [])}
    names = {name: what for name, what in lock.lock_names(params["migration_id"], sorted(found)).items() if what in found}
    names = {name: what for name, what in names.items() if (locks.read(name) or {}).get("run_id", "") != holder.get("run_id")}
    seized = _seize(locks, names, holder, params)
    if names and not check_mode:
        locks.write(names, holder)
    return seized


def _close_interrupted(journal: Journal, events: list[dict[str, Any]], run: dict[str, Any]) -> list[dict[str, Any]]:
    begun = resume.unended_run(events)
    if begun is None:
        return []
    cause = dict(resume.last_unit(events, begun["run_id"]), message="the run ended without saying so; closed by the next run")
    cause.pop("status", None)
    facts = {"outcome": "interrupted", "cause": cause}
    return [journal.draft(run, RUN, "end", "failed", facts, run_id=begun["run_id"], attempt=begun["attempt"])]


def _takeovers(journal: Journal, seized: list[tuple[str, dict[str, Any]]], run: dict[str, Any]) -> list[dict[str, Any]]:
    why = {"dead": "its process no longer runs", "takeover": "asked for by migration_takeover"}
    return [
        journal.draft(run, RUN, "takeover", "ok", {"summary": f"Lock taken over ({why[verdict]}) from {lock.describe(holder)}"[:300]})
        for verdict, holder in seized if not holder.get("pending")  # that run only probed: nothing to tell
    ]


def _authorize(locks: Locks, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The lock's holder when ``token`` is its; raises :class:`MigrationError` otherwise."""
    token = params["token"] or ""
    if check_mode and token.startswith(CHECK_TOKEN):
        return {}
    if not token:
        raise MigrationError(NOT_BEGUN)
    holder = locks.read(_own_lock(params["migration_id"])) or {}
    if holder.get("token_sha256") != hashlib.sha256(token.encode()).hexdigest():
        by = f"; the lock is held by {lock.describe(holder)}" if holder else ""
        raise MigrationError(f"this run's token is not valid (any more): it ended, was taken over, or never began{by}")
    return holder


def _is_news(
    events: list[dict[str, Any]], holder: dict[str, Any], unit: dict[str, Any], decisions: dict[str, str], check_mode: bool,
) -> bool:
    """Whether an event is written: not for what was probed, and never the result of a unit that did not start."""
    stack, verb, word, host = unit["stack"], unit["verb"], unit["word"], unit["host"]
    attempt = holder.get("attempt") or resume.next_attempt(events, "migrate")
    if stack == RUN:
        return word != "ok" or not resume.is_repetition(events, attempt, verb, bool(holder.get("pending")))
    if word == "started":
        return decisions[host] == "run"
    last = resume.last_of_unit(events, attempt, host, stack, verb)
    if word == "failed" or check_mode:
        return True
    if last is None and word != "not_applicable":
        raise MigrationError(f"{verb} of {stack} on {host} was never recorded as started")
    return last is None or last["status"] not in resume.SETTLED


def _append(journal: Journal, locks: Locks, holder: dict[str, Any], drafts: list[dict[str, Any]], run: dict[str, Any]) -> None:
    """Write ``drafts``, and before them a ``begin`` that waited for the first thing to say."""
    if not drafts:
        return
    pending = holder.get("pending")
    journal.append([pending, *drafts] if pending else drafts, run)
    if pending:
        locks.write([_own_lock(journal.migration_id)], dict(holder, pending=None))


def _own_lock(migration_id: str) -> str:
    return next(iter(lock.lock_names(migration_id, [])))
