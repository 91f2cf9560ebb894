# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove that databases on the target hold what the source, a backup or an earlier proof says; explain or fail."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._manifest import read_manifest, sha256_file, utc_now
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import SERVICE_ROLES, Adaptation, left_members
from ansible_collections.dihya.migration.plugins.module_utils._postgres.baseline import FORMAT, Known, read_baseline
from ansible_collections.dihya.migration.plugins.module_utils._postgres.bisect import differing_keys
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture, choose_databases
from ansible_collections.dihya.migration.plugins.module_utils._postgres.carried import carry, carry_catalog, read_change
from ansible_collections.dihya.migration.plugins.module_utils._postgres.catalog import MAPPING_KIND, SUBSCRIPTION_KIND, read_catalog
from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import (
    Difference,
    compare_behind,
    compare_catalogs,
    compare_cluster,
    compare_contents,
    compare_rows,
    other_verifiers,
    unread,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import (
    ALGORITHM,
    LARGE_OBJECTS,
    BothSides,
    digest_database,
    transaction,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    describe_error,
    import_psycopg2,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.fence import digest_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.identity import verify_identity
from ansible_collections.dihya.migration.plugins.module_utils._postgres.kept_catalog import Kept, read_kept, readable_catalog, settle
from ansible_collections.dihya.migration.plugins.module_utils._postgres.login import admitting, not_tried, try_logins
from ansible_collections.dihya.migration.plugins.module_utils._postgres.normal import Normalizer
from ansible_collections.dihya.migration.plugins.module_utils._postgres.owned_sequences import read_behind
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import placed_catalog
from ansible_collections.dihya.migration.plugins.module_utils._postgres.proved_backup import keep_proof, known_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_roles import passwords_in
from ansible_collections.dihya.migration.plugins.module_utils._postgres.schema_touched import Outline, outline, touched, touched_rights
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import read_part
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import require_named
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import names
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

NAMED = 20  # differences named in a message or a result; the rest is counted
NOT_READ = "definitions of objects in database {name}: it has no encoding, and some of them are no UTF-8"


@dataclass
class VerifyRequest:
    """What is compared; the fields are the options of the module. Exactly one of source, manifest and baseline is given."""

    target: Endpoint
    databases: list[str]
    source: Endpoint | None = None
    manifest: str | None = None
    identity: str | None = None
    baseline: str | None = None
    created_file: str | None = None
    capture_file: str | None = None
    rename: dict[str, str] = field(default_factory=dict)
    scope: str = "all"
    expected_changes: list[str] = field(default_factory=list)
    pin_settings: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    service_roles: Sequence[str] = SERVICE_ROLES
    leave_out: Sequence[str] = ()
    tablespaces: dict[str, str] = field(default_factory=dict)
    logins: list[str] | None = None
    proved_backup: str | None = None
    digest_file: str | None = None
    differences_file: str | None = None
    jobs: int = 2
    application_name: str = "dihya"
    progress_file: str | None = None

    def on_target(self, database: str) -> str:
        """What ``database`` is called on the target."""
        return self.rename.get(database, database)


def verify(request: VerifyRequest) -> dict[str, Any]:
    """Compare and return the module's result; raises :class:`MigrationError` on a difference that no rule explains."""
    started = time.monotonic()
    psycopg2 = import_psycopg2()
    try:
        if request.created_file:
            return verify_identity(request.target, request.created_file, request.application_name)
        return _compare(request, started)
    except psycopg2.Error as error:  # of the target: what is read of the source says so itself
        raise MigrationError(f"the target {request.target} could not be read: {describe_error(error)}") from None


def _compare(request: VerifyRequest, started: float) -> dict[str, Any]:
    if request.proved_backup and (request.source is None or request.scope != "all" or request.expected_changes):
        raise MigrationError("proved_backup takes what all of a source was proved to be: it needs source, scope all and no "
                             "expected_changes", subject="proved_backup")
    for path in filter(None, (request.digest_file, request.differences_file)):
        private_directory(os.path.dirname(os.path.abspath(path)))
    known = read_known(request)
    work = Verification(request, known)
    if request.scope in ("rows", "all"):
        for name in request.databases:
            work.rows(name)
    if request.scope in ("catalog", "all") and request.baseline:
        work.definitions()
    elif request.scope in ("catalog", "all") and known.capture:
        work.catalogs()
    work.logins()
    return work.result(time.monotonic() - started)


def read_known(request: VerifyRequest) -> Known:
    """What the source, the backup's manifest or the baseline says about the databases; fills ``request.databases``."""
    require_named(request.databases)
    if request.source:
        request.databases = choose_databases(request.source, request.databases, request.application_name)
        known = Known(capture=read_capture(request))
    elif request.manifest:
        manifest = read_manifest(request.manifest, "postgresql")
        algorithm, tables, catalogs = known_of(request.manifest, manifest, request.identity)
        known = Known(tables, capture=read_part(request.manifest, manifest, "capture.json", request.identity), catalogs=catalogs)
        if request.scope != "catalog" and algorithm != ALGORITHM:
            raise MigrationError(f"the backup {request.manifest} has no row digests of {ALGORITHM}: make it with digests")
    else:
        known = read_baseline(str(request.baseline))
    if request.databases == ["all"]:
        request.databases = sorted(known.tables or (known.capture or {}).get("databases", {}))
    if known.capture:
        frames = known.capture["databases"]
        missing = sorted(set(request.databases) - set(frames))
        if missing:
            raise MigrationError(f"database {missing[0]} does not exist on the source" if request.source
                                 else f"the backup {request.manifest} was captured without database {missing[0]}")
        known.hexadecimal = {name: frames[name]["encoding"] != "UTF8" for name in request.databases}
    absent = [] if request.source else sorted(set(request.databases) - set(known.tables))
    if absent and request.scope != "catalog":
        raise MigrationError(f"{request.manifest or request.baseline} has no row digests of database {absent[0]}")
    return known


def read_capture(request: VerifyRequest) -> dict[str, Any]:
    """Roles, owners, privileges and settings of the source: those of before a freeze where they were captured, else those of now."""
    if not request.capture_file:
        if request.source is None:
            raise AssertionError("request.source is set before")
        return capture(request.source, request.databases, request.application_name)
    try:
        return read_json(request.capture_file)
    except (OSError, ValueError) as error:
        raise MigrationError(f"the capture {request.capture_file} cannot be read: {type(error).__name__}") from None


class Verification:
    """Collects the differences of one request."""

    def __init__(self, request: VerifyRequest, known: Known) -> None:
        self.request, self.known = request, known
        self.differences: list[Difference] = []
        self.keys: dict[str, Any] = {}
        self.notes: dict[str, str] = {}
        self.found: dict[str, dict[str, Any]] = {}
        self.behind: dict[str, list[str]] = {}
        self.outlines: dict[str, Outline] = {}
        self.rights: dict[str, Any] = {}  # by name on the target
        self.not_proved: list[str] = []
        self.failed_logins: list[str] = []
        self.progress = Progress(request.progress_file, "verify")

    def rows(self, name: str) -> None:
        """Compare the rows of one database."""
        request, both = self.request, BothSides(self.progress)
        hexadecimal = self.known.hexadecimal.get(name, False)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            arguments: dict[str, Any] = {"jobs": request.jobs, "application_name": request.application_name, "progress": both,
                                         "hexadecimal": hexadecimal}
            mine = pool.submit(digest_database, request.target, request.on_target(name), **arguments)
            if request.source:
                self.known.tables[name] = digest_database(request.source, name, **arguments)
            self.found[name] = mine.result()
        taken = self.known.capture["databases"][name] if self.known.capture else {}
        stay = left_members(taken, request.leave_out).get("TABLE", ())
        for tables in (self.known.tables, self.found):
            tables[name] = {table: entry for table, entry in tables[name].items() if table not in stay}
        found = compare_rows(name, self.known.tables[name], self.found[name], request.expected_changes)
        self.differences += found
        self._sequences(name)
        for difference in [one for one in found if one.rule is None and one.what not in ("missing", "extra")][:NAMED]:
            self._name_rows(difference, hexadecimal)

    def _sequences(self, name: str) -> None:
        """Find sequences that are behind what their column holds now, also where a schema tool wrote to it."""
        request = self.request
        with transaction(request.target, request.on_target(name), None, request.application_name) as connection:
            self.behind[name] = read_behind(connection)
        before = self.known.behind.get(name)
        if request.source and self.behind[name]:
            with transaction(request.source, name, None, request.application_name) as connection:
                before = read_behind(connection)
        self.differences += compare_behind(name, self.behind[name], before)

    def _name_rows(self, difference: Difference, hexadecimal: bool) -> None:
        table = difference.object[len("rows of "):]
        if self.request.source is None or table == LARGE_OBJECTS or difference.what == "stored generated columns":
            return
        name = difference.database
        with transaction(self.request.source, name, None, self.request.application_name) as source, \
                transaction(self.request.target, self.request.on_target(name), None, self.request.application_name) as target:
            keys = differing_keys(source, target, table, hexadecimal)
        self.notes[str(difference)] = keys.describe()
        if keys.keys:
            self.keys.setdefault(name, {})[table] = {"keys": keys.keys, "complete": keys.complete}

    def definitions(self) -> None:
        """Find what was made, dropped or changed since the baseline, whoever did it: a back end's own framework too."""
        request, expected = self.request, self.request.expected_changes
        self.rights = capture(request.target, map(request.on_target, request.databases), request.application_name)["databases"]
        for name in request.databases:
            with transaction(request.target, request.on_target(name), None, request.application_name) as connection:
                catalog = read_catalog(connection) if name in self.known.outlines else readable_catalog(connection)
            if catalog is None:
                self.not_proved.append(NOT_READ.format(name=name))
                continue
            self.outlines[name] = outline(catalog, values=False)
            if name in self.known.outlines and name in self.known.rights:
                self.differences += touched(self.known.outlines[name], self.outlines[name]).differences(name, expected)
                self.differences += touched_rights(name, self.known.rights[name], self.rights[request.on_target(name)], catalog, expected)
            else:
                self.not_proved.append(f"definitions of objects in database {name}: the baseline holds none to compare with")

    def catalogs(self) -> None:
        """Compare roles, settings, owners and ACLs, and all objects; a backup made without digests knows none."""
        request, before = self.request, self.known.capture
        if before is None:
            raise AssertionError("before is set before")
        self.progress.begin("catalog", 0, "objects")
        names = [request.on_target(name) for name in request.databases]
        after = capture(request.target, names, request.application_name)
        self.rights = after["databases"]
        change = read_change(request.target, before, after, request)
        before, after, left = carry(before, after, change)
        self.differences += left
        proven = {role for role in other_verifiers(before, after) & passwords_in(request.target.passfile).keys() if self._logs_in(role)}
        self.differences += compare_cluster(before, after, request.rename, request.pin_settings, proven)
        versions = before["server_version"], after["server_version"]
        if any(role["password"] == "unknown" for side in (before, after) for role in side["roles"].values()):
            self.not_proved.append("password hashes of roles: a login may not read them")
        for name in request.databases:
            with contextlib.closing(connect(request.target, request.on_target(name), request.application_name)) as connection:
                pin_session(connection)
                self.differences += compare_contents(name, before["databases"][name], after["databases"][request.on_target(name)],
                                                     versions, request.expected_changes, Normalizer(connection).same)
                if request.source or name in self.known.catalogs:
                    self._objects(name, change, connection)
                else:
                    self.not_proved.append(f"definitions of objects in database {name}: a backup holds no catalog to compare with")

    def logins(self) -> None:
        """Log in to the target as each role that must be able to."""
        for role in self.request.logins or ():
            self.failed_logins += try_logins(self.request.target, [role], self._admitting(role), self.request.application_name)

    def _admitting(self, role: str) -> list[str]:
        """Databases, as the target calls them, that have to admit the role: all, where nobody knows which of the source's did."""
        request = self.request
        found = admitting(self.captured, role, request.databases, request.owners) if self.captured else request.databases
        return [request.on_target(name) for name in found]

    @functools.cached_property
    def captured(self) -> dict[str, Any] | None:
        """Who might do what on the source, where it is known."""
        if self.known.capture or not self.request.capture_file:
            return self.known.capture
        return read_capture(self.request)

    def _logs_in(self, role: str) -> bool:
        request = self.request
        databases = self._admitting(role)
        failed = try_logins(request.target, [role], databases, request.application_name)
        if len(failed) < len(databases):  # one tells that the password is right
            return True
        self.failed_logins += failed
        return False

    def _objects(self, name: str, change: Adaptation, connection: Any) -> None:
        request, kept = self.request, self._kept(name)
        if kept is None:
            self.not_proved.append(NOT_READ.format(name=name))
            return
        found_catalog = read_catalog(connection)
        self.outlines[name] = outline(found_catalog, values=False)
        target = carry_catalog(found_catalog, change)
        known, used = settle(kept, target)
        source = placed_catalog(carry_catalog(known, change), kept["own"], request.tablespaces)
        found = compare_catalogs(name, source, target, request.expected_changes, Normalizer(connection).same)
        self.differences += found + [Difference(name, f"sequence {one}", "last_value", "sequence_in_use") for one in used]
        for kind, what in ((MAPPING_KIND, "options of user mappings"), (SUBSCRIPTION_KIND, "connections of subscriptions")):
            hidden = unread(kind, source, target)
            self.not_proved += [f"{what} in database {name}, which a login may not read: {names(hidden)}"] if hidden else []
        self.not_proved += [f"rows of materialized view {view} in database {name}: they are made again on the target"
                            for view, entry in source["table"].items() if entry["kind"] == "m"]

    def _kept(self, name: str) -> Kept | None:
        """The catalog of one database on the side to compare with; None where it cannot be read."""
        request = self.request
        if request.source:
            found = read_kept(request.source, name, None, request.application_name)
            self.known.catalogs.update({} if found is None else {name: found})
        return self.known.catalogs.get(name)

    def result(self, duration: float) -> dict[str, Any]:
        """The module's result, or the failure; writes what is to be kept of it."""
        request = self.request
        failures = [one for one in self.differences if one.rule is None]
        sentences = [f"{one} ({self.notes[str(one)]})" if str(one) in self.notes else str(one) for one in failures]
        sentences += dict.fromkeys(self.failed_logins)
        if request.differences_file and (sentences or self.keys):
            publish_json(request.differences_file, {"created": utc_now(), "differences": sentences, "rows": self.keys})
        if sentences:
            rest = len(sentences) - NAMED
            raise MigrationError(
                f"{len(sentences)} differences between source and target: {'; '.join(sentences[:NAMED])}"
                + (f"; and {rest} more" if rest > 0 else ""),
                equal=False, differences=sentences[:NAMED], failures=len(sentences), counts=dict(Counter(_kind(one) for one in failures)))
        if request.differences_file and os.path.exists(request.differences_file):
            os.unlink(request.differences_file)  # of an earlier run; it may hold keys of rows
        if request.proved_backup:
            keep_proof(request.proved_backup, self.known.tables, self.known.catalogs)
        if request.digest_file:
            publish_json(request.digest_file, self._digests())
        explained = [{"rule": str(one.rule), "object": f"{one.database + ': ' if one.database else ''}{one.object} ({one.what})"}
                     for one in self.differences]
        tables = sum(len(set(found) - {LARGE_OBJECTS}) for found in self.found.values())
        total = sum(entry["rows"] for found in self.found.values() for key, entry in found.items() if key != LARGE_OBJECTS)
        msg = f"{len(request.databases)} databases are equal: {tables} tables, {total} rows, {len(explained)} differences explained"
        if request.logins is not None:
            self.not_proved += [f"login of role {role}: no password was given" for role in self._not_tried(request.logins)]
        return {"changed": False, "equal": True, "msg": msg, "tables": tables, "rows": total, "digests": self.found, "explained": explained,
                "not_proved": self.not_proved, "duration": duration, "journal": self._journal(msg, tables, total, explained, duration)}

    def _not_tried(self, tried: list[str]) -> list[str]:
        """Roles whose login nobody tried: those of the target, without those of others where it is known which ones moved."""
        request = self.request
        found = not_tried(self.known.capture or capture(request.target, [], request.application_name), tried)
        if self.known.capture or self.captured is None:
            return found
        moved = {request.owners.get(role, role) for role in self.captured["roles"]}
        return [role for role in found if role in moved]

    def _digests(self) -> dict[str, Any]:
        """Of a source what it holds; of a target that was proved again what it holds now, with what a schema tool did to it."""
        proved = self.found if self.request.baseline else self.known.tables
        return {"format": FORMAT, "algorithm": ALGORITHM, "created": utc_now(), "databases": {
            name: {"target": self.request.on_target(name), "hexadecimal": self.known.hexadecimal.get(name, False),
                   "tables": proved[name], "behind": self.behind[name],
                   **({"outline": self.outlines[name], "rights": self.rights[self.request.on_target(name)]}
                      if name in self.outlines else {}),
                   **({"catalog": digest_of(self.known.catalogs[name]["objects"])} if self.request.source and name in self.known.catalogs
                      else {})} for name in self.found}}

    def _journal(self, msg: str, tables: int, total: int, explained: list[dict[str, str]], duration: float) -> dict[str, Any]:
        request = self.request
        objects = sum(found.get(LARGE_OBJECTS, {}).get("rows", 0) for found in self.found.values())
        journal: dict[str, Any] = {
            "summary": f"{msg[0].upper()}{msg[1:]}.", "duration": duration, "changed": False, "versions": {"row_digest": ALGORITHM},
            "counts": {"databases": len(request.databases), "tables": tables, "rows": total, "large_objects": objects},
            "digests": {f"rows of {name}": digest_of(found) for name, found in self.found.items()},
            "explained": explained, "not_proved": self.not_proved, "proofs": [],
        }
        tried = [role for role in request.logins or () if self._admitting(role)]
        if tried:
            journal["tests"] = [{"name": "login as application roles", "verdict": "passed", "passed": len(tried), "failed": 0,
                                 "skipped": 0, "log": request.digest_file or ""}]
        if request.digest_file:
            journal["proofs"].append({"kind": "row_digests", "path": request.digest_file, "sha256": sha256_file(request.digest_file)})
        return journal


def _kind(difference: Difference) -> str:
    return difference.object.split()[0]
