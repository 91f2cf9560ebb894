# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands against a migration: pure, from the facts that :mod:`preflight_facts` gathers.

Each check takes the facts and yields findings ``{subject, finding, remedy, blocking}``; all are shown together.
Checks of one server or of both are called only when the servers they look at could be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._postgres.collations import lost
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_managed import managed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_read import SOURCE, TARGET, chosen_frames, good, major
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_roles import everybody, existing_roles
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_settings import (
    accepted_settings,
    access,
    capacity,
    passwords,
    pins,
    settings,
    source_locks,
    target_locks,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_space import backup_place, size, target_space
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_values import calls, types
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import major_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import amount, names, plain, version_key

OLDEST = 13  # before it, catalogs lack columns that the proof reads (regcollation, stxstattarget, pubviaroot)
# Bytes of tables and indexes a second and core, for a prediction and never a verdict: what docs/benchmarks.md measured on two cores with
# 1,004 MB (dump 6.2 s, restore 26 s, proof of both sides 5.8 s) and fsync on.
DUMP_RATE, RESTORE_RATE, PROOF_RATE = 80e6, 19e6, 85e6


def findings(facts: dict[str, Any]) -> list[Finding]:
    """Everything that ``facts`` give reason to say, blocking findings first."""
    checks = [reachable, tools, backup_place, sealing]
    if facts["source"]["reachable"]:
        checks += [source_version, chosen, readable, long_rows, source_locks, scheduled, followers, stragglers, clients, calls]
    if facts["target"]["reachable"]:
        checks += [target_state, target_free]
    if facts["source"]["reachable"] and facts["target"]["reachable"]:
        checks += [same_server, order_of_versions, extensions, locales, collations, managed, existing_roles, everybody, places, passwords,
                   access, settings, pins, capacity, target_locks, types, target_space]
    found = [one for check in checks for one in check(facts)]
    return sorted(found, key=lambda one: not one["blocking"])


REMEDIES = {
    "password": "correct the password",
    "hba": "admit the mover's address in pg_hba.conf, or take a user who is admitted",
    "tls": "install the certificate authority on the mover (sslrootcert) and use the name in the server's certificate",
    "database": "set dbname to a database that exists",
    "login": "give the user the LOGIN and CONNECT privileges",
    "busy": "wait until the server accepts connections, or free one",
    "unreachable": "start the server, open its port, or correct host and port",
    "read": "give the user the right to read the system catalogs",
}


def reachable(facts: dict[str, Any]) -> Iterator[Finding]:
    """Each side that could not be reached, with its own reason."""
    for side in ("source", "target"):
        if not facts[side]["reachable"]:
            yield finding(f"postgresql_{side}", facts[side]["error"],
                          REMEDIES.get(facts[side]["kind"] or "", "install what is named on the mover"))


def tools(facts: dict[str, Any]) -> Iterator[Finding]:
    """Missing client tools, and tools of another age than the servers."""
    for name, tool in facts["tools"].items():
        if "error" in tool:
            yield finding("postgresql_bin_dir", tool["error"], f"install PostgreSQL's client tools ({name}) on the mover")
    for side, name in (("source", "pg_dump"), ("target", "pg_restore")):
        client = major_of(facts["tools"][name].get("version", "0"))
        if not client or not facts[side]["reachable"]:
            continue
        server = major(facts[side])
        if client < server:
            yield finding("postgresql_bin_dir", f"{name} is of version {client}, older than the {side}'s {server}",
                          f"install the client tools of version {server} on the mover")
    dumper = major_of(facts["tools"]["pg_dump"].get("version", "0"))
    if facts["target"]["reachable"] and dumper > major(facts["target"]):
        yield finding("postgresql_bin_dir", f"pg_dump is of version {dumper}: what it dumps may not restore on the "
                      f"target's {major(facts['target'])}", f"use the client tools of version {major(facts['target'])}", dumper >= 17)
    for option in facts["target"].get("refused_options", []):
        version = facts["tools"]["pg_dump"]["version"]
        yield finding("postgresql_dump_bin_dir", f"pg_dump {version} writes the column option {option} of the source's "
                      f"{facts['source']['server']['version']} into the dump, and the target refuses it",
                      "update the client tools, or dump with those that came with the source (dump_bin_dir)")


def sealing(facts: dict[str, Any]) -> Iterator[Finding]:
    """What stands against encrypting the backups, and opening them again here."""
    return (finding(*problem) for problem in facts["sealing"])


def source_version(facts: dict[str, Any]) -> Iterator[Finding]:
    """A source that is too old."""
    if major(facts["source"]) < OLDEST:
        yield finding(SOURCE, f"the source is of version {facts['source']['server']['version']}",
                      f"sources from version {OLDEST} on can be proved here: upgrade it first")


def chosen(facts: dict[str, Any]) -> Iterator[Finding]:
    """Chosen databases that are not there or cannot be read, or none."""
    if not facts["wanted"]:
        yield finding("postgresql_databases", "no database is named", "name those that move, or say all")
    contents = facts["source"]["contents"]
    frames = {frame["name"] for frame in facts["source"]["globals"]["databases"]}
    for name in [] if facts["wanted"] == ["all"] else facts["wanted"]:
        if name not in frames:
            yield finding("postgresql_databases", f"the source has no database {name}", "correct the name, or take it off the list")
        elif name not in contents:
            yield finding("postgresql_databases", f"the source allows no connection to database {name}", "allow connections to it")
    for content in contents.values():
        if "error" in content:
            yield finding(SOURCE, content["error"], "let the user connect to every chosen database")
    if not contents and facts["wanted"] == ["all"]:
        yield finding("postgresql_databases", "the source has no database with anything in it", "check that it is the right server")


def readable(facts: dict[str, Any]) -> Iterator[Finding]:
    """Tables that the login could not dump, or only in part."""
    for name, content in good(facts).items():
        if content["unreadable"]:
            yield finding(SOURCE, f"user {facts['source']['user']} may not read in database {name}: {names(content['unreadable'])}",
                          "grant pg_read_all_data (from version 14), or use a superuser")
        if content["hidden"]:
            yield finding(SOURCE, f"row security may hide rows in database {name}: {names(content['hidden'])}",
                          "use a superuser or a role with BYPASSRLS")


def long_rows(facts: dict[str, Any]) -> Iterator[Finding]:
    """Rows that no program can read as text, pg_dump neither."""
    for name, content in good(facts).items():
        for one in content.get("long_rows", ()):
            told = (f" ({one['rows']}): up to {amount(one['bytes'])} as text, the limit is 1.1 GB" if one["rows"]
                    else ": as text they are longer than the limit of 1.1 GB")
            yield finding(SOURCE, f"table {one['relation']} in database {name} has rows that pg_dump cannot read{told}",
                          "split their values, or store them as large objects or files")


def scheduled(facts: dict[str, Any]) -> Iterator[Finding]:
    """Databases in which pg_cron works: its launcher keeps them from being frozen, and it makes itself in no database of another name."""
    for name, content in good(facts).items():
        if content.get("schedulers") or any(one["name"] == "pg_cron" for one in content["extensions"]):
            yield finding(SOURCE, f"pg_cron works in database {name}: its jobs would write behind the freeze, and run on both sides",
                          "note its jobs, drop the extension and take it out of shared_preload_libraries; schedule them on the target "
                          "after the commit point")


def followers(facts: dict[str, Any]) -> Iterator[Finding]:
    """Subscriptions whose workers write to the source: a freeze refuses them."""
    for name, content in good(facts).items():
        for one in content["subscriptions"]:
            if one["enabled"]:
                yield finding(SOURCE, f"subscription {one['name']} is enabled in database {name}: its worker would write behind the freeze",
                              f"end it before the migration: ALTER SUBSCRIPTION {one['name']} DISABLE")


def stragglers(facts: dict[str, Any]) -> Iterator[Finding]:
    """What a dump leaves out or brings only in name."""
    pending = [one for one in facts["source"]["pending"] if one["kind"] != "tablespace" or one["name"] not in facts["tablespaces"]]
    for name, content in good(facts).items():
        pending += content["subscriptions"]
        kinds = {"unlogged table": [one for one in content["relations"] if one["persistence"] == "u"],
                 "foreign table": [one for one in content["relations"] if one["kind"] == "f"]}
        pending += [{"kind": kind, "name": f"{name}: {one['schema']}.{one['name']}"} for kind, found in kinds.items() for one in found]
    for kind in sorted({one["kind"] for one in pending}):
        yield finding(SOURCE, f"{kind}: {names([one['name'] for one in pending if one['kind'] == kind])}", STRAGGLERS[kind], False)


STRAGGLERS = {
    "prepared transaction": "commit it or roll it back before the freeze: a dump does not see it",
    "replication slot": "its consumer must be pointed at the target by hand",
    "standby": "make standbys of the target by hand",
    "tablespace": "name its counterpart on the target (postgresql_tablespaces), else what lies there goes to the default one",
    "subscription": "it arrives disabled: enable it by hand",
    "unlogged table": "it is copied as it is",
    "foreign table": "only its definition is copied; the target must reach the foreign server",
}


def places(facts: dict[str, Any]) -> Iterator[Finding]:
    """Tablespaces that are to take the place of others: both must exist, and the login must be allowed to put something there."""
    user = facts["target"]["user"]
    for old, new in sorted(facts["tablespaces"].items()):
        if old not in facts["source"]["tablespaces"]:
            yield finding("postgresql_tablespaces", f"the source has no tablespace {old}", "correct the name, or take it off the list")
        if new not in facts["target"]["tablespaces"]:
            yield finding("postgresql_tablespaces", f"the target has no tablespace {new}", "create it there, or name another")
        elif not facts["target"]["tablespaces"][new]:
            yield finding("postgresql_tablespaces", f"user {user} may not create anything in tablespace {new} of the target",
                          f"allow it there: GRANT CREATE ON TABLESPACE {new} TO {user}")


def clients(facts: dict[str, Any]) -> Iterator[Finding]:
    """Clients of the source that nobody named: whoever they are, they will lose their database."""
    for client in facts["source"]["clients"]:
        if not set(client.values()) & set(facts["known_clients"]):
            yield finding("postgresql_known_clients", f"user {client['user']} is connected to the source as "
                          f"{client['application_name'] or 'an unnamed application'} from {client['client_addr']}",
                          "see that it moves too, and name it (user, application or address)", False)


def target_state(facts: dict[str, Any]) -> Iterator[Finding]:
    """A target that cannot be written, or a login that cannot create what is to come."""
    target = facts["target"]
    login = target["server"]["login"]
    if target["standby"]:
        yield finding(TARGET, "the target is a standby and cannot be written", "name the primary")
    elif not target["create_role"] and not facts["same_server"]:
        yield finding(TARGET, f"user {target['user']} may not create roles on the target", "grant CREATEROLE, or use a superuser")
    if not (login["superuser"] or login["createdb"]):
        yield finding(TARGET, f"user {target['user']} may not create databases on the target", "grant CREATEDB, or use a superuser")


def target_free(facts: dict[str, Any]) -> Iterator[Finding]:
    """Databases of the same name with something in them."""
    owners = {frame["name"]: frame["owner"] for frame in facts["target"]["globals"]["databases"]}
    for name, objects in facts["target"].get("objects", {}).items():
        if objects == 0 and name != facts["target"]["dbname"]:
            continue
        state = f"is not empty ({objects} objects)" if objects else "is the one we connect to"
        state = "cannot be looked into" if objects is None else state
        yield finding(TARGET, f"database {name} of {owners[name]} exists on the target and {state}",
                      "set dbname to another database" if objects == 0 else "remove or rename it, or choose another target")


def same_server(facts: dict[str, Any]) -> Iterator[Finding]:
    """One server under two names."""
    one, other = (facts[side]["server"]["system_identifier"] for side in ("source", "target"))
    if facts["same_server"]:
        yield finding(TARGET, f"source {facts['source']['name']} and target {facts['target']['name']} are the same server",
                      "name the new server as the target")
    elif one is not None and one == other:
        yield finding(TARGET, "the target is a physical copy of the source", "check that it is the right server", False)


def order_of_versions(facts: dict[str, Any]) -> Iterator[Finding]:
    """A target that is older than the source."""
    if major(facts["target"]) < major(facts["source"]):
        yield finding(TARGET, f"the target ({facts['target']['server']['version']}) is older than the source "
                      f"({facts['source']['server']['version']})", "install the source's version or a newer one on the target")


def extensions(facts: dict[str, Any]) -> Iterator[Finding]:
    """Extensions that the target has not, or only older."""
    needed: dict[str, str] = {}
    for content in good(facts).values():
        for one in content["extensions"]:
            if f"extension {one['name']}" in facts["leave_out"]:
                continue
            needed[one["name"]] = max(needed.get(one["name"], ""), one["version"], key=version_key)
    for name, version in sorted(needed.items()):
        available = facts["target"]["available"].get(name)
        if not available:
            yield finding(TARGET, f"extension {name} {version} is not available on the target", "install its package there")
        elif max(map(version_key, available)) < version_key(version):
            yield finding(TARGET, f"extension {name} is of version {version} on the source, the target has only "
                          f"{max(available, key=version_key)}", "install the same or a newer version there")
        if name in facts["target"]["superuser_only"] and not facts["target"]["server"]["login"]["superuser"]:
            yield finding(TARGET, f"only a superuser can create extension {name} on the target",
                          f"leave it out where the service provides it (postgresql_leave_out: [extension {name}]), or use a superuser")


def locales(facts: dict[str, Any]) -> Iterator[Finding]:
    """Encodings and locales that the target cannot give."""
    known = {(one["provider"], plain(one["collate"]), plain(one["ctype"])) for one in facts["target"]["collations"]}
    libc = {one for _provider, *pair in known for one in pair} | {"c", "posix"}
    icu = facts["target"]["icu"]
    for frame in chosen_frames(facts):
        missing = sorted({value for value in (frame["collate"], frame["ctype"]) if plain(value) not in libc})
        if missing:
            yield finding(TARGET, f"locale {names(missing)} of database {frame['name']} is not known on the target",
                          "install the locale on the target and run pg_import_system_collations")
        if frame["provider"] == "i" and not icu:
            yield finding(TARGET, f"database {frame['name']} needs ICU, the target was built without it", "install a build with ICU")
        if frame["provider"] == "b" and major(facts["target"]) < 17:
            yield finding(TARGET, f"database {frame['name']} needs the builtin locale provider", "use version 17 or newer")
        if frame["encoding"] == "SQL_ASCII":
            yield finding(SOURCE, f"database {frame['name']} has encoding SQL_ASCII: its bytes arrive unchecked",
                          "find out what its text really is before applications read it on the target", False)
    if not icu:
        for name in [name for name, content in good(facts).items() if content["icu_columns"]]:
            yield finding(TARGET, f"columns in database {name} need ICU, the target was built without it", "install a build with ICU")


def collations(facts: dict[str, Any]) -> Iterator[Finding]:
    """Collations that a restore makes or names, and that the target cannot give."""
    encodings = {frame["name"]: frame["encoding"] for frame in chosen_frames(facts)}
    for name, content in good(facts).items():
        missing, system, unmade = lost(content, encodings.get(name, ""), facts["target"])
        if missing:
            yield finding(TARGET, f"locale {names(missing)} of collations in database {name} is not known on the target",
                          "install the locale on the machine of the target and start the server anew")
        if system:
            yield finding(TARGET, f"a new database of the target lacks collations that database {name} uses: {names(system)}",
                          "install their locales there before the cluster is made (initdb takes in what the machine has), or give what "
                          "uses them a collation of the database's own")
        if unmade:
            yield finding(TARGET, f"collations of database {name} need ICU, the target was built without it: {names(unmade)}",
                          "install a build with ICU")


def not_proved(facts: dict[str, Any]) -> list[str]:
    """What could not be looked at, or not be kept from happening."""
    target = facts["target"]
    points = [] if target.get("local_data") else ["free disk space of the target server"]
    if target["reachable"] and not target["server"]["login"]["superuser"]:
        points.append(f"silence of the target's server log: where a statement fails it may keep values of a row, and user {target['user']} "
                      "may not turn that off")
    points += [f"rules of pg_hba.conf on the {side}: user {facts[side]['user']} may not read them" for side in ("source", "target")
               if facts[side]["reachable"] and facts[side]["hba"] is None]
    points += [f"that the target has the files of text search dictionary {one} of database {name}" for name, content in good(facts).items()
               for one in content["dictionaries"]]
    if facts["source"]["reachable"] and target["reachable"]:
        points += accepted_settings(facts)
    return points


def plan(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What will move: one entry per database, for the plan that the transaction shows."""
    return [{"stack": "postgresql", "what": f"database {name}", "from": facts["source"]["name"], "to": facts["target"]["name"],
             "amount": f"{sum(one['kind'] in 'rpm' for one in content['relations'])} tables, {amount(size(content))}",
             "seconds": round(seconds(size(content), content, facts), 1)} for name, content in good(facts).items()]


def seconds(total: int, content: dict[str, Any], facts: dict[str, Any]) -> float:
    """Predicted duration of dump, restore and proof of one database: of what is done while it is frozen."""
    workers = max(1, min(facts["jobs"], facts["cores"]))
    return 1.0 + len(content["relations"]) * 0.005 + sum(total / (rate * workers) for rate in (DUMP_RATE, RESTORE_RATE, PROOF_RATE))
