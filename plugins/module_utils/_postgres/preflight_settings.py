# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings and rules of both servers that a dump does not bring: pure, as :mod:`preflight`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._postgres.pinned import unknown
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_read import SOURCE, TARGET, good
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import CAPACITY, CONDUCT, MEANING, lock_room
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import amount, names, plain

WAL_LEVELS = ("minimal", "replica", "logical")
BYTES = {"shared_buffers": 8192, "work_mem": 1024, "maintenance_work_mem": 1024}  # a server of usual build counts in these
# Methods of pg_hba.conf that ask for the same thing.
PASSWORD = {"md5": "password", "scram-sha-256": "password"}


def passwords(facts: dict[str, Any]) -> Iterator[Finding]:
    """Password hashes with which nobody will get in on the target."""
    weak = [role["name"] for role in facts["source"]["globals"]["roles"] if role["login"] and (role["password"] or "").startswith("md5")]
    methods = facts["target"]["hba"]
    if weak and (methods is None or "scram-sha-256" in methods):
        yield finding(TARGET, f"the passwords of {names(weak)} are md5 hashes: where the target asks for SCRAM they cannot log in",
                      "set these passwords anew before the migration", False)


def access(facts: dict[str, Any]) -> Iterator[Finding]:
    """Ways to log in that the target offers nobody, and maps of user names that no rule of it names."""
    one, other = (facts[side] for side in ("source", "target"))
    if one["hba"] is None or other["hba"] is None:
        return
    offered = {PASSWORD.get(method, method) for method in other["hba"]}
    missing = sorted({PASSWORD.get(method, method) for method in one["hba"]} - offered - {"reject"})
    if missing:
        yield finding(TARGET, f"clients log in to the source by {names(missing)}, and no rule of the target's pg_hba.conf has that",
                      "add such rules there where clients need them", False)
    maps = sorted(set(one["maps"]) - set(other["maps"]))
    if maps:
        yield finding(TARGET, f"rules of the source use the user name maps {names(maps)}, and none of the target does",
                      "write them into its pg_ident.conf, and name them in its rules", False)


def settings(facts: dict[str, Any]) -> Iterator[Finding]:
    """Settings under which the same statement will mean something else, unless somebody accepted it, and those that change no value."""
    for name in unknown(facts["accepted"], dict.fromkeys((*MEANING, *CONDUCT), "")):
        yield finding("postgresql_accept_settings", f"{name} is no setting that is compared", "correct the name, or take it off the list")
    accepted = {name.lower() for name in facts["accepted"]}
    for side, subject in (("source", SOURCE), ("target", TARGET)):
        for name in _hidden(facts, side):
            if name.lower() not in accepted:
                yield finding(subject, _own(name, side, facts),
                              "take that off for the migration, where it stands (role, database or environment of the mover), or accept it "
                              f"(postgresql_accept_settings: [{name}])")
    for name in differing(facts):
        remedy = f"set it on the target, or pin it to the restored databases (pin_settings: [{name}])"
        if name in MEANING and name.lower() not in accepted:
            yield finding(TARGET, _difference(name, facts), f"{remedy}, or accept it (postgresql_accept_settings: [{name}])")
        else:
            yield finding(TARGET, _difference(name, facts), remedy, False)


def accepted_settings(facts: dict[str, Any]) -> Iterator[str]:
    """What is not proved because somebody accepted it, as sentences."""
    accepted = {name.lower() for name in facts["accepted"]}
    told = [_own(name, side, facts) for side in ("source", "target") for name in _hidden(facts, side) if name.lower() in accepted]
    told += [_difference(name, facts) for name in differing(facts) if name.lower() in accepted]
    yield from (f"that a statement means the same: {what}, as accepted" for what in told)


def differing(facts: dict[str, Any]) -> list[str]:
    """Settings that restored databases will have otherwise, as far as the logins see: neither pinned, nor brought with the databases."""
    one, other = (facts[side]["server"]["settings"] for side in ("source", "target"))
    left_out = {name.lower() for side in ("source", "target") for name in _hidden(facts, side)} | _coming(facts)
    return [name for name in (*MEANING, *CONDUCT) if one.get(name) is not None and name.lower() not in left_out
            and _meant(name, one[name]) != _meant(name, other.get(name) or "")]


def _difference(name: str, facts: dict[str, Any]) -> str:
    before, after = (facts[side]["server"]["settings"].get(name) or "empty" for side in ("source", "target"))
    return f"{name} is {before} on the source and {after} on the target"


def _meant(name: str, value: str) -> str:
    """``value`` in one of the spellings that mean the same."""
    if name == "TimeZone":
        zone = value.lower().replace("etc/", "")
        return "utc" if zone in ("utc", "uct", "zulu", "universal", "gmt", "greenwich") else zone
    if name.startswith("lc_"):  # how numbers and days are written, whatever the bytes of letters
        place, _at, variant = plain(value).partition("@")
        place = place.partition(".")[0]
        return f"{'c' if place == 'posix' else place}@{variant}"
    if name == "search_path":
        return ",".join(part.strip() for part in value.split(","))
    return value.removeprefix("pg_catalog.") if name == "default_text_search_config" else value


def _hidden(facts: dict[str, Any], side: str) -> list[str]:
    """Settings of which the login of ``side`` sees a value that only itself has there; what is pinned is what is seen on the source."""
    known = _brought(facts) if side == "source" else _coming(facts)
    return [name for name in MEANING if name in facts[side]["server"]["own"] and name.lower() not in known]


def _own(name: str, side: str, facts: dict[str, Any]) -> str:
    return f"user {facts[side]['user']} has a {name} of its own on the {side}: what others get there is not seen"


def _coming(facts: dict[str, Any]) -> set[str]:
    """Settings that are pinned to the restored databases, or come with every one of them or for every role."""
    return {name.lower() for name in facts["pins"]} | _brought(facts)


def _brought(facts: dict[str, Any]) -> set[str]:
    """Settings that a restore brings: those of every database that moves, and those of every role where the target has none."""
    def named(side: str, database: str | None) -> set[str]:
        return {entry.partition("=")[0].lower() for one in facts[side]["globals"]["settings"]
                if one["role"] is None and one["database"] == database for entry in one["settings"]}
    own = [named("source", name) for name in good(facts)]
    # A login that is no superuser cannot set anything for every role.
    everybody = named("source", None) - named("target", None) if facts["target"]["server"]["login"]["superuser"] else set()
    return everybody | (set.intersection(*own) if own else set())


def pins(facts: dict[str, Any]) -> Iterator[Finding]:
    """Settings to be pinned of which nothing is known, or which the target will not take."""
    for name in unknown(facts["pins"], facts["source"]["server"]["settings"]):
        yield finding("postgresql_pin_settings", f"{name} is no setting that can be pinned", "correct the name, or take it off the list")
    target = facts["target"]
    for name, reason in target.get("refused_pins", {}).items():
        yield finding("postgresql_pin_settings", f"user {target['user']} cannot pin {name} on the target: {reason}",
                      "set it on the target as it is on the source, and take it off the list")


def capacity(facts: dict[str, Any]) -> Iterator[Finding]:
    """Less room on the target for what the application did on the source."""
    one, other = (facts[side]["server"]["settings"] for side in ("source", "target"))
    for name in CAPACITY:
        before, after = one.get(name), other.get(name)
        if before is not None and after is not None and _size(name, after) < _size(name, before):
            yield finding(TARGET, f"{name} is lower on the target ({_shown(name, after)}) than on the source ({_shown(name, before)})",
                          "raise it there where the application needs as much", False)


def _size(name: str, value: str) -> int:
    return WAL_LEVELS.index(value) if name == "wal_level" else int(value)


def _shown(name: str, value: str) -> str:
    return amount(int(value) * BYTES[name]) if name in BYTES else value


def source_locks(facts: dict[str, Any]) -> Iterator[Finding]:
    """More tables than one transaction of the source can lock, as a dump does."""
    yield from _locks(facts, "source", SOURCE)


def target_locks(facts: dict[str, Any]) -> Iterator[Finding]:
    """The same on the target, where the proof and every later dump do."""
    yield from _locks(facts, "target", TARGET)


def _locks(facts: dict[str, Any], side: str, subject: str) -> Iterator[Finding]:
    room = lock_room(facts[side]["server"]["settings"])
    for name, content in good(facts).items():
        tables = sum(one["kind"] in "rpm" for one in content["relations"])
        if tables > room:
            # PostgreSQL leaves some slack beyond the nominal size, about half as much again.
            yield finding(subject, f"database {name} has {tables} tables, the lock table of the {side} is made for {room}",
                          f"raise max_locks_per_transaction and restart the {side}", tables > 1.5 * room)
