# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore drill decides and says: pure, from the backup's manifest and what was found."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._checklist.times import parse
from ansible_collections.dihya.migration.plugins.module_utils._postgres.collations import lost
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_space import RESTORE_FACTOR
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import lock_room
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import amount, names, plain

FORMAT = 1
KIND = "restore_drill"
KEPT = ("server", "version", "limits", "seconds", "tables", "rows", "not_proved", "explained")  # what a drill writes about itself
LABELS = {"leave_out": "choice of what is left out"}  # how a plan's keys are called
IDENTIFIER = "system_identifier"  # of the source's cluster; a physical copy, on which a rehearsal may be made, has the same
COUNTS_FOR = datetime.timedelta(days=7)
ALIKE = 2  # times as large, or as small, as what an earlier drill restored: beyond that it shows little of this backup
EMPTY_SERVER = 200 << 20  # bytes that a server takes before anything is restored on it
LONGEST_NAME = 63  # bytes of an identifier
# Extensions that work only in a server that loads their library at its start, where they also start their jobs.
PRELOADED = ("citus", "pg_cron", "pglogical", "timescaledb")

PLACES = {"throwaway": "on a throw-away server of version {version}", "scratch": "under scratch names on the target"}
PASSED = "restored in {seconds} s {place} and compared ({tables} tables, {rows} rows)"
OF_ANOTHER = "restore drill: that the evidence is of this source: the system identifier of one of both is not known"
NO_NETWORK_LIMIT = "restore drill: user namespaces are off on this host, so the throw-away server could have reached the network"
LEFT_OUT_LIMIT = "restore drill: left out by choice: {what}"
MONEY_LIMIT = "restore drill: the locale {name} for amounts of money is not installed on this host"
LIMITS = {
    "throwaway": ["restore drill: its time is that of a server on the mover without fsync, not of the target"],
    "scratch": ["restore drill: roles and settings that the target already had were not restored",
                "restore drill: its time includes what else the target was doing"],
}


def make_plan(manifest: Mapping[str, Any] | None, databases: Collection[str], major: int, pg_restore: str, source: str | None = None,
              *, leave_out: Sequence[str] = (), owners: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What two drills must have in common for one to count for the other; as far as it is known before there is a backup.

    ``source`` is the system identifier of the source; where there is a backup, it says it. None where a login may not read it.
    ``leave_out`` and ``owners`` are options of the modules.
    """
    cluster = source if manifest is None else manifest["server"].get(IDENTIFIER)
    known = {"leave_out": sorted(leave_out), "owners": dict(owners or {}), **({IDENTIFIER: cluster} if cluster else {})}
    if manifest is None:
        return {"target_major": major, **({"databases": sorted(databases)} if databases else {}), **known}
    return {"databases": sorted(databases), "source_major": manifest["server"]["version_num"] // 10000, "target_major": major,
            "tools": {"pg_dump": manifest["tools"]["pg_dump"], "pg_restore": pg_restore}, **known}


def evidence_problems(evidence: Any, plan: Mapping[str, Any], held: int | None, now: datetime.datetime) -> list[str]:
    """Everything that keeps ``evidence`` (what an earlier drill wrote) from counting for ``plan``; nothing when it counts.

    ``held`` is how many bytes the databases have now, None where that is not known.
    """
    if (not isinstance(evidence, dict) or evidence.get("kind") != KIND or evidence.get("format") != FORMAT
            or evidence.get("passed") is not True or not set(KEPT) <= set(evidence)):
        return ["it is not the evidence of a drill that passed"]
    earlier = evidence.get("plan")
    earlier = earlier if isinstance(earlier, dict) else {}
    problems = [f"its {LABELS.get(key, key.replace('_', ' '))} {'are' if key.endswith('s') else 'is'} {_shown(earlier.get(key))}, "
                f"not {_shown(wanted)}"
                for key, wanted in plan.items() if earlier.get(key) != wanted and (key != IDENTIFIER or earlier.get(key))]
    then = evidence.get("bytes")
    if not isinstance(then, int):
        problems.append("it does not say how much was restored")
    elif held is not None and not (then <= ALIKE * held and held <= ALIKE * then):
        problems.append(f"it is of databases of {amount(then)}, and these have {amount(held)}")
    made = parse(evidence.get("created"))
    if made is None or made > now:
        problems.append("it does not say when it was made, or a time to come")
    elif now - made > COUNTS_FOR:
        problems.append(f"it is of {evidence['created']}, more than {COUNTS_FOR.days} days old")
    return problems


def evidence_limits(evidence: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """What ``evidence`` that counts for ``plan`` does not prove."""
    return [] if plan.get(IDENTIFIER) and evidence["plan"].get(IDENTIFIER) else [OF_ANOTHER]


def counts_until(created: str) -> str:
    """The last moment at which evidence made at ``created`` counts (RFC 3339, UTC)."""
    made = parse(created)
    if made is None:
        raise AssertionError("created was looked at before")
    return (made + COUNTS_FOR).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(value: Any) -> str:
    if not value:
        return "not known" if value is None else "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in sorted(value.items()))
    return names(list(map(str, value))) if isinstance(value, list) else str(value)


def scratch_names(databases: Iterable[str]) -> dict[str, str]:
    """A name for each database beside everything else on the target: told apart by number where the rest had to be cut."""
    renamed = {}
    for number, name in enumerate(sorted(databases), 1):
        whole = f"dihya_drill_{number}_{name}".encode()
        renamed[name] = whole[:LONGEST_NAME].decode(errors="ignore")
    return renamed


def bytes_held(manifest: Mapping[str, Any] | None, databases: Iterable[str], expected: Mapping[str, int]) -> int | None:
    """Bytes of tables and indexes of ``databases``; before there is a backup, as :func:`drill_needs` expects, if that is known."""
    if manifest is None:
        return int(expected.get("databases", 0) / RESTORE_FACTOR) or None
    return sum(table["bytes"] + table["index_bytes"] for name in databases for table in manifest["tables"][name].values())


def space_needed(manifest: Mapping[str, Any] | None, databases: Iterable[str], expected: Mapping[str, int]) -> int:
    """Bytes that a throw-away server takes with ``databases`` restored on it; before there is a backup, as :func:`drill_needs` expects."""
    if manifest is None:
        return EMPTY_SERVER + sum(expected.values())
    return EMPTY_SERVER + int((bytes_held(manifest, databases, expected) or 0) * RESTORE_FACTOR)


def space_finding(place: Mapping[str, Any], need: int, backup: int = 0) -> list[str]:
    """What ``look_at_directory`` says against ``place``; ``backup`` bytes of ``need`` are of the backup that is made before."""
    if place["error"]:
        return [f"{place['path']} cannot be written: {place['error']}: name a directory that can, in work_dir"]
    if place["free"] < need:
        told = f"the drill may take {amount(need - backup)}" + (f", and the backup before it {amount(backup)}" if backup else "")
        return [f"{place['path']} has {amount(place['free'])} free, {told}: make room, or name a directory on a larger file system "
                "in work_dir"]
    return []


def bootstrap_role(captured: Mapping[str, Any] | None) -> str:
    """The role that made the source's cluster: it owns what the system made, so the throw-away server has it too."""
    return next((name for name, role in (captured or {}).get("roles", {}).items() if role["bootstrap"]), "postgres")


def lacking(databases: Mapping[str, Mapping[str, Any]], extensions: Iterable[str], server: Mapping[str, Any]) -> list[str]:
    """What ``databases`` (frames of the manifest) and ``extensions`` need and a ``server`` has not.

    ``server`` has ``extensions`` (names it can create), ``locales`` (of libc), ``icu`` and what :func:`collations.lost` asks for.
    """
    found = []
    for name in sorted(set(extensions)):
        if name in PRELOADED:
            found.append(f"extension {name} works only in a server that loads it at its start, which a throw-away one never does")
        elif name not in server["extensions"]:
            found.append(f"extension {name} is not installed for the throw-away server: install its package on this host")
    known = {plain(locale) for locale in server["locales"]} | {"c", "posix"}
    for name, frame in sorted(databases.items()):
        missing = sorted({frame[key] for key in ("collate", "ctype") if plain(frame[key]) not in known})
        if missing:
            found.append(f"locale {names(missing)} of database {name} is not installed on this host")
        if frame["provider"] == "i" and not server["icu"]:
            found.append(f"database {name} needs ICU, the throw-away server was built without it")
        locales, system, unmade = lost(frame.get("needs", {}), frame["encoding"], server)
        if locales:
            found.append(f"locale {names(locales)} of collations in database {name} is not installed on this host")
        if system:
            found.append(f"collations that database {name} uses are not on the throw-away server: {names(system)}: install their locales "
                         "on this host")
        if unmade:
            found.append(f"collations of database {name} need ICU, the throw-away server was built without it: {names(unmade)}")
    return found


def server_settings(manifest: Mapping[str, Any], jobs: int, monetary: str) -> str:
    """The postgresql.conf of a throw-away server: closed, without jobs of its own, and fast because nothing of it has to last."""
    connections = 20 + 4 * jobs
    locks = max(64, math.ceil(lock_room(manifest["server"]["settings"]) / connections))
    values = {
        "listen_addresses": "", "unix_socket_directories": ".", "unix_socket_permissions": "0700", "port": "5432",
        "max_connections": str(connections), "max_locks_per_transaction": str(locks),
        "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "wal_level": "minimal", "max_wal_senders": "0",
        "archive_mode": "off", "autovacuum": "off", "shared_preload_libraries": "", "max_logical_replication_workers": "0",
        # In its own directory and not in /dev/shm, where a killed server would leave it and containers have little.
        "dynamic_shared_memory_type": "mmap",
        # Failed statements and details of errors carry rows.
        "logging_collector": "off", "log_statement": "none", "log_min_error_statement": "panic", "log_error_verbosity": "terse",
        "lc_messages": "C", "lc_monetary": monetary, "timezone": "UTC",
    }
    return "".join(f"{name} = '{value}'\n" for name, value in values.items())  # a locale's name has no quote: it was found here


def passed(done: Mapping[str, Any]) -> str:
    """In words what a drill showed; ``done`` is what it keeps as evidence."""
    return PASSED.format(seconds=done["seconds"]["restore"], place=PLACES[done["server"]].format(version=done["version"]),
                         tables=done["tables"], rows=done["rows"])


def plan_text(databases: Sequence[str], place: str, version: int) -> str:
    """What would be done, as lines for ``--diff``."""
    return "".join(f"restore database {name} for trial {PLACES[place].format(version=version)}, compare, remove\n" for name in databases)
