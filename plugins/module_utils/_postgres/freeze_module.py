# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ``pg_freeze`` does with its options, and the result it returns."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, read_json
from ansible_collections.dihya.migration.plugins.module_utils._lease import held
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._postgres import activity
from ansible_collections.dihya.migration.plugins.module_utils._postgres import fence as fences
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import choose_databases
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import digest_database
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint, describe_error, import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze import Freeze
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_methods import Method, through_bouncer, through_hba
from ansible_collections.dihya.migration.plugins.module_utils._postgres.guard import Limits
from ansible_collections.dihya.migration.plugins.module_utils._postgres.kept_catalog import read_kept
from ansible_collections.dihya.migration.plugins.module_utils._postgres.privileges import owed, run_in_transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.reopen import Remote
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import names

ROUNDS = 3  # readings of the rows at most, where something moves the fence meanwhile: maintenance comes to an end


def arguments(value: Any, option: str) -> list[str]:
    """The argument list of a command given as a list or as a string."""
    if value is None:
        return []
    try:
        return [str(word) for word in value] if isinstance(value, (list, tuple)) else shlex.split(str(value))
    except ValueError as error:
        raise MigrationError(f"option {option} is not a command line: {error}") from None


def remote(value: Any) -> Remote | None:
    """The host of option ``on``."""
    if not value:
        return None
    options: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {"host": str(value)}
    unknown = sorted(options.keys() - {"host", "user", "port", "identity", "known_hosts"})
    if unknown or not options.get("host"):
        raise MigrationError(f"option on: {'unknown key ' + str(unknown[0]) if unknown else 'host is missing'}")
    if str(options["host"]).startswith("-"):
        raise MigrationError("option on: a host name does not begin with a dash")
    port = options.get("port")
    return Remote(str(options["host"]), options.get("user"), int(port) if port else None, options.get("identity"),
                  options.get("known_hosts"))


def method(options: Mapping[str, Any]) -> Method:
    """The way to freeze that the options describe; raises when it would stop nothing, or could not be undone."""
    command, undo = arguments(options["command"], "command"), arguments(options["undo"], "undo")
    if options["method"] == "command" and options["state"] == "frozen":
        if not command and not options["keep_readers"]:
            raise MigrationError("nothing would stop writes: give command and undo, or another method, or keep_readers")
        if command and not undo:
            raise MigrationError("option undo is missing: a command that stops the application needs one that starts it again")
    if options["method"] in ("pg_hba", "pgbouncer") and options["keep_readers"]:
        raise MigrationError(f"keep_readers does not go with method {options['method']}, which lets nobody read")
    return Method(options["method"], command, undo, remote(options["on"]), options["keep_readers"])


def chosen(options: Mapping[str, Any], source: Endpoint, databases: Sequence[str], psql: str) -> Method:
    """The same, with what the server has to say to it; a look at the fence and the target need nothing of that."""
    found = method(options)
    if options["state"] in ("fenced", "lifted"):
        return found
    if found.name == "pg_hba":
        return through_hba(databases, source, options["application_name"], found.on)
    if found.name == "pgbouncer":
        if not options["pgbouncer"]:
            raise MigrationError("option pgbouncer is missing: method pgbouncer needs to know where its console is")
        return through_bouncer(options["pgbouncer"], databases, source, psql, found.on)
    return found


def run(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the source to ``options["state"]``; returns the result of the module."""
    started = time.monotonic()
    source = Endpoint.from_options(options["source"])
    databases = choose_databases(source, options["databases"], options["application_name"])
    psql = os.path.join(options["bin_dir"], "psql") if options["bin_dir"] else "psql"
    work = Freeze(source, databases, chosen(options, source, databases, psql), options["capture_file"],
                  options["reopen_script"], options["application_name"], options["other_clients"], options["settle"], psql,
                  Limits(options["longest"], options["lease"], tuple(options["signs"])))
    psycopg2 = import_psycopg2()
    with _lease(options, check_mode):
        try:
            result = _reach(work, options, check_mode)
        except psycopg2.Error as error:
            raise MigrationError(f"the source {source} refused: {describe_error(error)}") from None
    result["journal"] = _journal(work, result, options, time.monotonic() - started)
    return result


def _reach(work: Freeze, options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    if options["state"] == "fenced":
        return _fenced(work, options, check_mode)
    if options["state"] == "lifted":
        return _lifted(work, Endpoint.from_options(options["target"]), check_mode)
    return _bring(work, options["state"], check_mode)


def _lease(options: Mapping[str, Any], check_mode: bool) -> Any:
    """What keeps others from working beside us: a freeze that outlived its controller would end behind the rollback's back."""
    if check_mode or not options["lease_file"]:
        return contextlib.nullcontext()
    private_directory(os.path.dirname(options["lease_file"]))
    return held(options["lease_file"], options["run_id"], "pg_freeze")


def _bring(work: Freeze, wanted: str, check_mode: bool) -> dict[str, Any]:
    state = work.state
    if wanted == "frozen" and state["state"] != "reopened":
        work.guard.check()
    if state["state"] == wanted:
        result = work.freeze() if wanted == "frozen" and not check_mode else dict(state, changed=False)
        return _shown(dict(result, msg=f"the source is {wanted} already"))
    statements = work.statements(wanted, work.captured())
    if check_mode:
        if wanted == "frozen":
            work.trial()
        result = dict(state, changed=True, msg=f"the source would be {wanted}")
    else:
        result = dict(work.freeze(), msg="the source is frozen and fenced") if wanted == "frozen" else _opened(work)
    diff = {"before": "", "after": "".join(f"{line}\n" for line in statements)}
    return _shown(dict(result, statements=statements, diff=diff))


def _opened(work: Freeze) -> dict[str, Any]:
    result = work.open()
    besides = result.pop("besides")
    more = [f"and {len(besides) - 20} more"] if len(besides) > 20 else []
    explained = [{"rule": "changed_beside_the_freeze", "object": what} for what in besides[:20] + more]
    msg = "the source is open, all that the freeze changed is as before" if besides else "the source is open, all captured is as before"
    return dict(result, explained=explained, msg=msg)


def _fenced(work: Freeze, options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    if options["disarm"] and not check_mode:
        work.guard.disarm()
    work.guard.check()
    if not check_mode:
        work.guard.renew()
    state = work.state
    before = dict(state.get("fence", {}))
    if options["fence"]:
        before["value"] = options["fence"]
    if not before.get("value"):
        raise MigrationError("no fence to hold: the source was not frozen with this capture_file, and option fence is not given")
    after = fences.read_fence(work.endpoint, work.databases, work.application_name, work.settle)
    differences = fences.moved(before, after)
    explained = []
    if differences:
        rule: str | None = None
        more: list[str] = []
        if all(text.startswith("the transaction number") for text in differences):
            rule, more, after = _explanation(work, options, before, after)
        differences += more
        if rule is None:
            raise MigrationError(f"{work.endpoint} was written to after the freeze: {'; '.join(differences[:5])}",
                                 fence_before=before["value"], fence_after=after["value"], differences=differences[:20])
        explained = [{"rule": rule, "object": f"transaction number {before['value']} to {after['value']}"}]
    elif not check_mode:
        work.count_again(after)
    msg = "the fence moved, but no row was written" if explained else "nothing was written since the freeze"
    return _shown({"changed": False, "state": state["state"], "fence": after, "held": str(before["value"]), "explained": explained,
                   "msg": msg})


def _lifted(work: Freeze, target: Endpoint, check_mode: bool) -> dict[str, Any]:
    state = work.state
    if state["state"] == "open":
        raise MigrationError("nothing to lift: the source was not frozen with this capture_file")
    taken = work.captured()
    statements = {name: owed(target, name, taken["databases"][name], taken["server_version"], work.application_name)
                  for name in work.databases}
    for name, lines in statements.items() if not check_mode else []:
        run_in_transaction(target, name, lines, work.application_name)
    shown = [f"{name}: {line}" for name, lines in statements.items() for line in lines]
    msg = "owners and privileges on the target are those of before the freeze"
    return {"changed": bool(shown), "state": state["state"], "statements": shown, "msg": msg,
            "diff": {"before": "", "after": "".join(f"{line}\n" for line in shown)}}


def _explanation(work: Freeze, options: Mapping[str, Any], before: Mapping[str, Any],
                 after: dict[str, Any]) -> tuple[str | None, list[str], dict[str, Any]]:
    """The rule that explains why the transaction number moved, what else is known when there is none, and the fence of now."""
    proved = _proved(options["proof"]) if options["proof"] else None
    if proved is not None and not _unreadable(work, proved):
        return _by_rows(work, proved, options["jobs"], before, after)
    closed = activity.unknown(before)
    if closed:
        return None, [f"whether that was maintenance alone is unknown where {work.endpoint.user} may not connect: {names(closed)}"], after
    alone = activity.maintenance_alone(work.endpoint, before, work.application_name)
    return ("fence_moved_by_maintenance" if alone else None), [], after


def _unreadable(work: Freeze, proved: Mapping[str, Any]) -> bool:
    """Whether a proof has no definitions because nobody can read them: it says nothing here, and maintenance alone is left to explain."""
    return any(name in proved and proved[name]["catalog"] is None
               and read_kept(work.endpoint, name, None, work.application_name) is None for name in work.databases)


def _by_rows(work: Freeze, proved: Mapping[str, Any], jobs: int, before: Mapping[str, Any],
             after: dict[str, Any]) -> tuple[str | None, list[str], dict[str, Any]]:
    """The same, by a proof. It counts when the fence stood still from before to behind it: no snapshot sees what is written meanwhile."""
    for _round in range(ROUNDS):
        changed = work.redefined({name: entry["catalog"] for name, entry in proved.items()})
        if changed or not _rows_equal(work, proved, jobs):
            return None, changed, after
        held, after = after, fences.read_fence(work.endpoint, work.databases, work.application_name, work.settle)
        if not fences.moved(held, after):
            return "fence_moved_rows_equal", [], after
        used = [text for text in fences.moved(before, after) if not text.startswith("the transaction number")]
        if used:
            return None, used, after
    return None, ["it went on while the rows were read again"], after


def _proved(path: str) -> dict[str, Any]:
    try:
        return {name: {"tables": entry["tables"], "catalog": entry.get("catalog")} for name, entry in read_json(path)["databases"].items()}
    except (OSError, ValueError, KeyError):
        raise MigrationError(f"{path} cannot be read as a digest file of pg_verify") from None


def _rows_equal(work: Freeze, proved: Mapping[str, Any], jobs: int) -> bool:
    """Whether the tables that were proved hold the same rows; what was left out is not migrated."""
    return all(name in proved and proved[name]["tables"] == digest_database(
        work.endpoint, name, jobs=jobs, application_name=work.application_name, tables=proved[name]["tables"]) for name in work.databases)


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    """The result without the sequences, which are many."""
    if "fence" in result:
        sequences = result["fence"].get("sequences", {})
        result["sequences_sha256"] = fences.digest_of(sequences)
        result["sequences"] = sum(len(values) for values in sequences.values())
        result["fence"] = {key: value for key, value in result["fence"].items() if key in ("value", "at", "source")}
    return result


def _journal(work: Freeze, result: dict[str, Any], options: Mapping[str, Any], duration: float) -> dict[str, Any]:
    count = len(work.databases)
    journal: dict[str, Any] = {"summary": f"{result['msg'][0].upper()}{result['msg'][1:]} ({count} databases).", "duration": duration,
                               "changed": result["changed"], "counts": {"databases": count}, "digests": {}, "proofs": []}
    if "fence" in result:
        journal["fence"] = {key: result["fence"].get(key) for key in ("value", "at", "source")}
        journal["counts"]["sequences"] = result["sequences"]
        journal["digests"]["sequences"] = result["sequences_sha256"]
    if result.get("capture_sha256"):
        journal["proofs"].append({"kind": "capture", "path": work.capture_file, "sha256": result["capture_sha256"]})
        journal["digests"]["capture"] = result["capture_sha256"]
        if work.reopen_script and os.path.exists(work.reopen_script):
            journal["proofs"].append({"kind": "reopen_script", "path": work.reopen_script, "sha256": sha256_file(work.reopen_script)})
    if result.get("clients"):
        journal["counts"]["other_sessions"] = sum(client["sessions"] for client in result["clients"])
    if result.get("explained"):
        journal["explained"] = result["explained"]
    return journal
