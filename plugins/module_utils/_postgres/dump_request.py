# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a dump is asked for, and what its formats share: snapshots, digests, the capture."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import Seal
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture as take_capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import digest_database
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    import_psycopg2,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.kept_catalog import PART, note_use, read_all, whole
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import Policy
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import keep_part
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

KIND = "postgresql"
SMALL = 64 << 20  # bytes below which a database gets one worker, so that several are dumped side by side

MOMENT = """
SELECT pg_catalog.pg_export_snapshot() AS id, pg_catalog.{transactions}()::text AS transactions, pg_catalog.to_char(
  pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time"""
LSN = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
       ELSE pg_catalog.pg_current_wal_lsn() END::text AS lsn"""


@dataclass(frozen=True)
class DumpRequest:
    """What a dump is asked for; the fields are the options of the module."""

    source: Endpoint
    databases: list[str]
    dest: str
    name: str = "postgresql"
    jobs: int = 2
    bin_dir: str | None = None
    compression: str = "auto"
    format: str = "directory"
    seal: Seal | None = None
    capture_file: str | None = None
    digests: bool = False
    reuse: str | None = None
    keep: int = 0
    expires: int = 0
    migration_id: str | None = None
    progress_file: str | None = None
    application_name: str = "dihya"

    def log(self, name: str) -> str:
        """The 0600 file that keeps what the tool ``name`` prints."""
        base = os.path.splitext(self.progress_file)[0] if self.progress_file else os.path.join(self.dest, ".last")
        return f"{base}.{name}.log"

    @property
    def archive(self) -> str:
        """What the backup consists of: ``directory`` archives, one ``plain`` file, or ``sealed`` streams."""
        return "sealed" if self.seal else self.format

    @property
    def policy(self) -> Policy:
        """Which earlier backups stay."""
        return Policy(self.dest, self.name, KIND, self.migration_id, self.keep, self.expires)


def plan_workers(sizes: dict[str, int], jobs: int) -> list[tuple[str, int]]:
    """Databases, the largest first, each with its number of workers; a large one gets all of them."""
    ordered = sorted(sizes, key=lambda name: (-sizes[name], name))
    alone = len(ordered) == 1
    return [(name, jobs if alone or sizes[name] >= SMALL else 1) for name in ordered]


@contextlib.contextmanager
def exported_snapshot(request: DumpRequest, database: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """A snapshot that dump and digests share, as long as the context: ``id`` with what else tells its moment, and its session.

    That is ``transactions`` (the snapshot as the server prints it), ``lsn`` (of just before it, None where the server tells
    none) and ``time`` (the server's, RFC 3339).
    """
    with contextlib.closing(connect(request.source, database, request.application_name)) as connection:
        pin_session(connection)
        lsn = _lsn(connection)
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        transactions = "pg_current_snapshot" if connection.server_version >= 130000 else "txid_current_snapshot"
        yield dict(rows(connection, MOMENT.format(transactions=transactions))[0], lsn=lsn), connection


def _lsn(connection: Any) -> str | None:
    try:
        return rows(connection, LSN)[0]["lsn"]
    except import_psycopg2().Error:  # some services have no such function
        return None


def read_capture(request: DumpRequest, cluster: dict[str, Any]) -> dict[str, Any]:
    """Owners, ACLs and settings: those captured before a freeze when given, else as they are now.

    Raises :class:`MigrationError` when what was captured lacks a database that is dumped.
    """
    if not request.capture_file:
        return take_capture(request.source, cluster["databases"], request.application_name)
    try:
        taken = read_json(request.capture_file)
        missing = sorted(set(cluster["databases"]) - set(taken["databases"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MigrationError(f"the capture {request.capture_file} cannot be read: {type(error).__name__}") from None
    if missing:
        raise MigrationError(f"the capture {request.capture_file} was made without database {missing[0]}: a backup that takes "
                             "owners and privileges from it could not be restored. Dump only what was captured, or leave it out",
                             subject="capture_file")
    return taken


def digest_all(request: DumpRequest, snapshots: dict[str, str], progress: Progress) -> dict[str, Any]:
    """Row counts and digests of every table, by database, in the snapshots that were dumped; empty when not wanted."""
    return {name: digest_database(request.source, name, jobs=request.jobs, snapshot=snapshot,
                                  application_name=request.application_name, progress=progress)
            for name, snapshot in snapshots.items() if request.digests}


@contextlib.contextmanager
def kept_catalogs(request: DumpRequest, snapshots: dict[str, str], staging: str) -> Iterator[None]:
    """Keep the catalogs of the snapshots as a part of the backup, where digests are wanted; the context is their dump."""
    if not request.digests:
        yield
        return
    kept = read_all(request.source, snapshots, request.application_name)
    yield
    note_use(kept, request.source, request.application_name)
    keep_part(request.seal, staging, PART, whole(kept))


def encoding_option(cluster: dict[str, Any], name: str) -> list[str]:
    """What tells pg_dump to copy the bytes of a database without an encoding as they are: as UTF-8 they may be none."""
    frames = {frame["name"]: frame for frame in cluster["globals"]["databases"]}
    return ["--encoding=SQL_ASCII"] if frames[name]["encoding"] == "SQL_ASCII" else []


def sizes_of(cluster: dict[str, Any]) -> dict[str, int]:
    return {name: sum(one["bytes"] for one in relations) for name, relations in cluster["relations"].items()}


def tables_of(cluster: dict[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    return {name: {f"{one['schema']}.{one['name']}": {"bytes": one["bytes"], "index_bytes": one["index_bytes"]}
                   for one in relations if one["kind"] in "rpm"} for name, relations in cluster["relations"].items()}
