# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of ``proxy_switch`` to its result: one side of a reverse proxy becomes public, or everything stays."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app.verdicts import probe_all
from ansible_collections.dihya.migration.plugins.module_utils._command import run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish
from ansible_collections.dihya.migration.plugins.module_utils._finding import finding
from ansible_collections.dihya.migration.plugins.module_utils._processes import Stat
from ansible_collections.dihya.migration.plugins.module_utils._proxy import caddy, workers
from ansible_collections.dihya.migration.plugins.module_utils._proxy.table import PROXIES, check_request, content, example, refusal, side_of

PAUSE = 0.1
SETTLED = 10.0  # seconds after which a reload is in force even where a worker of before still answers


@dataclass
class Done:
    """What came of a switch: workers of before it, whether it changed anything, the journal's tests, how long, what is left."""

    before: list[Stat] = field(default_factory=list)
    changed: bool = False
    tests: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    left: int = 0


def switch(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make ``options["side"]`` public, ask through the proxy, and wait for what is under way on the other side.

    Raises :class:`MigrationError` when the configuration is refused (nothing was switched then) or when the answers are
    not as expected; with ``switch_back`` what was public before is public again when it raises.
    """
    began = time.monotonic()
    check_request(options)
    options = {**options, **{name: options[name] or getattr(PROXIES[options["proxy"]], name) for name in ("config", "pid_file")}}
    found = side_of(options["proxy"], options["name"], options["sides"], _read(options["file"]))
    if options["state"] == "observed":
        return _observed(options, found)
    wanted = options["side"]
    if not found:
        _look_at_file(options, found)
    if check_mode:
        return _result(options, found, Done(changed=found != wanted), time.monotonic() - began)
    done = Done(changed=found != wanted)
    if found == wanted:
        _prove_or_load_again(options, done)
    else:
        _move(options, found, done)
    done.left = _wait(options, done.before)
    return _result(options, found, done, time.monotonic() - began)


def _observed(options: dict[str, Any], found: str) -> dict[str, Any]:
    """What would keep a switch from working, all at once; each with its remedy."""
    running = (lambda: caddy.look(options)) if options["proxy"] == "caddy" else (lambda: workers.master(options["pid_file"]))
    findings = []
    for look in (lambda: _look_at_file(options, found), lambda: _test(options), running):
        try:
            look()
        except MigrationError as error:
            seen = error.facts.get("journal", {}).get("error") or {"message": error.message, "subject": "config", "remedy": "correct it"}
            subject = options["subjects"].get(seen["subject"], seen["subject"])
            findings.append(finding(subject, seen["message"], seen["remedy"]))
    summary = f"{found or 'no side'} is public, {len(findings)} things would keep it from being switched"
    return {"changed": False, "msg": summary, "side": found, "findings": findings, "journal": {"summary": summary, "changed": False}}


def _look_at_file(options: dict[str, Any], found: str) -> None:
    path, name = options["file"], options["name"]
    if not os.access(os.path.dirname(path), os.W_OK):
        raise refusal("file", f"{os.path.dirname(path)} is no directory that this user may write", "make it, or use become on this host")
    if not found:
        lines = " or ".join(repr(content(options["proxy"], name, side).decode().strip()) for side in options["sides"])
        remedy = f"write one line into it, {lines}, and let the proxy follow it: {example(options['proxy'], name, path)}"
        raise refusal("file", f"{path} says of neither side that it is public", remedy)


def _move(options: dict[str, Any], found: str, done: Done) -> None:
    started = time.monotonic()
    _put(options, options["side"], found)
    try:
        done.before = _reload(options)
        done.seconds = time.monotonic() - started
        done.tests = _prove(options)
    except MigrationError as error:
        if not options["switch_back"]:
            raise
        _put(options, found, found)
        # In force once the workers of the wrong side have gone; long requests of theirs need not be waited for.
        _wait({**options, "side": found, "drain_timeout": min(options["drain_timeout"], SETTLED)}, _reload(options))
        message = f"{error.message}. {found} is public again"
        raise MigrationError(message, **{**error.facts, "side": found, "switched_back": True}) from None


def _prove_or_load_again(options: dict[str, Any], done: Done) -> None:
    """A run that was killed between file and reload left a proxy that does not know the file yet."""
    try:
        done.tests = _prove({**options, "timeout": 0})
    except MigrationError:
        done.before, done.changed = _reload(options), True
        done.tests = _prove(options)


def _put(options: dict[str, Any], side: str, found: str) -> None:
    """Replace the file in one step; a configuration that the proxy refuses takes it back, and no traffic has moved."""
    path = options["file"]
    status = os.stat(path)  # the proxy that reads it may be another user
    mode, owner = status.st_mode & 0o777, (status.st_uid, status.st_gid)
    publish(path, content(options["proxy"], options["name"], side), mode, owner)
    try:
        _test(options)
    except MigrationError:
        publish(path, content(options["proxy"], options["name"], found), mode, owner)
        raise


def _test(options: dict[str, Any]) -> None:
    """Prove the configuration, and that it names the file."""
    table, path, config = PROXIES[options["proxy"]], options["file"], options["config"]
    argv = options["test_command"] or [word.format(config=config) for word in table.test]
    if not argv:
        return
    done = run(argv, env=_paths(), timeout=30, check=False)
    if done.status:
        raise refusal("config", f"{os.path.basename(argv[0])} refuses its configuration (exit status {done.status}), no traffic was moved",
                      f"read what {' '.join(argv)} says on this host")
    told = done.stdout if table.tells and not options["test_command"] else _configuration(config)
    if path not in told:
        raise refusal("file", f"the configuration of {options['proxy']} does not name {path}, no traffic was moved",
                      f"let it say {example(options['proxy'], options['name'], path)}")


def _paths() -> dict[str, str]:
    """Where proxies are found: Debian keeps them in directories that users have not on their path."""
    return {"PATH": f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"}


def _configuration(path: str) -> str:
    """The text of a configuration file, or of all files of its directory."""
    paths = sorted(os.path.join(path, name) for name in os.listdir(path)) if os.path.isdir(path) else [path]
    texts = []
    for name in paths:
        try:
            with open(name, encoding="utf-8", errors="replace") as stream:
                texts.append(stream.read())
        except OSError:
            raise refusal("config", f"{name} cannot be read", "name the proxy's configuration, or use become on this host") from None
    return "\n".join(texts)


def _reload(options: dict[str, Any]) -> list[Stat]:
    """Let the proxy read the file; returns the workers of before, for a proxy that replaces them."""
    number = PROXIES[options["proxy"]].reload
    if not number:
        return []
    parent = workers.master(options["pid_file"])
    before = workers.children(parent)
    if options["reload_command"]:
        run(options["reload_command"], env=_paths(), timeout=60)
    else:
        workers.signalled(parent, number)
    # A worker that is forked has read the file; a second reload before that could not tell which ones are of before.
    deadline = time.monotonic() + SETTLED
    while set(workers.children(parent)) <= set(before) and time.monotonic() < deadline:
        time.sleep(PAUSE)
    return before


def _prove(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask through the proxy until all answers are as expected; the journal's tests."""
    if not options["probes"]:
        return []
    probes = [{"method": "GET", "contains": None, "header": None, "ca": options["ca"], "timeout": 5.0, "min_tls": options["min_tls"],
               **item, "status": item.get("status") or [200]} for item in options["probes"]]
    return list(probe_all(probes, int(options["timeout"] / PAUSE), PAUSE)["journal"]["tests"])


def _wait(options: dict[str, Any], before: list[Stat]) -> int:
    """Wait until the requests of before are answered; what is left after ``drain_timeout`` seconds."""
    deadline = time.monotonic() + options["drain_timeout"]
    while True:
        if options["proxy"] == "caddy":
            (other,) = [side for side in options["sides"] if side != options["side"]]
            left = caddy.under_way(options["admin"], options["addresses"][other])
        else:
            left = workers.leaving(options["proxy"], workers.master(options["pid_file"]), before)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(PAUSE)


def _result(options: dict[str, Any], found: str, done: Done, duration: float) -> dict[str, Any]:
    side = options["side"]
    reason = f"{side} is public instead of {found}" if found != side else f"{side} is public already"
    if found == side and done.changed:
        reason = f"{side} is public, the proxy had not read it yet"
    if done.left:
        reason += f"; requests of before are still under way ({done.left})"
    journal: dict[str, Any] = {"summary": reason, "changed": done.changed, "duration": round(duration, 3)}
    if done.tests:
        journal["tests"] = done.tests
    return {"changed": done.changed, "msg": reason, "side": side, "before": found, "drained": not done.left, "left": done.left,
            "switch_duration": round(done.seconds, 3), "findings": [], "journal": journal}


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read(4096)
    except OSError:
        return None
