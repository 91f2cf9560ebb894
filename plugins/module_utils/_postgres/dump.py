# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dump the databases of a cluster into one verified backup directory.

Archives: one per database under ``databases/N``, ``globals.json`` for the restore and ``globals.sql`` for people (see
:mod:`dump_archives`, also for encrypted ones). Format ``plain``: one ``backup.sql``. The manifest is published last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import refuse
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import (
    NAME,
    damaged_files,
    file_entries,
    read_manifest,
    sha256_file,
    write_manifest,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.backup_dir import discard_stage, publish_stage, remove_stale, stage
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import ALGORITHM
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_archives import dump_archives
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_plain import dump_plain
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import (
    KIND,
    DumpRequest,
    plan_workers,
    read_capture,
    sizes_of,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    connect,
    describe_error,
    import_psycopg2,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.fence import digest_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import read_globals
from ansible_collections.dihya.migration.plugins.module_utils._postgres.needs import read_needs
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import (
    finish_removals,
    identity,
    thin_out,
    would_remove,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import problems
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import (
    count_objects,
    read_relations,
    read_server,
    resolve_databases,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import NEEDED, major_of, tool_version


def dump(request: DumpRequest, check_mode: bool = False) -> dict[str, Any]:
    """Make the backup, or find that ``reuse`` still is one; returns the module's result."""
    started = time.monotonic()
    request = dataclasses.replace(request, reuse=newest(request.reuse))
    if request.seal and request.format != "directory":
        raise MigrationError("only backups of format directory are encrypted", subject="encrypt")
    refuse(problems(request.seal, None))
    versions = {tool: tool_version(tool, request.bin_dir) for tool in NEEDED}
    cluster = read_cluster(request)
    if major_of(versions["pg_dump"]) < cluster["server"]["version_num"] // 10000:
        raise MigrationError(f"pg_dump {versions['pg_dump']} cannot dump a server of version {cluster['server']['version']}: "
                             "install newer client tools, or name their directory in bin_dir", subject="bin_dir")
    # One that does not fit is refused before anything is dumped. Of an encrypted backup the capture cannot be read here; its digest tells
    # whether it is the same one.
    captured = digest_of(read_capture(request, cluster)) if request.capture_file else None
    reusable = find_reusable(request, cluster, captured)
    if reusable:
        return result_of(request.reuse or "", reusable, False, started, "the earlier backup is intact")
    if check_mode:
        gone = would_remove(request.policy)
        would = f"would dump {len(cluster['databases'])} databases" + (f" and remove {len(gone)} older backups" if gone else "")
        if request.reuse and cluster["server"]["system_identifier"] is None:
            would += ": whether the earlier backup is of this server is not known, as the login may not execute pg_control_system()"
        return {"changed": True, "msg": would, "path": None, "databases": cluster["databases"], "expired_removed": gone,
                "diff": {"before": lines(gone), "after": plan_text(cluster, request)}}
    removed = remove_stale(request.dest) + finish_removals(request.policy)
    staging = stage(request.dest, request.name)
    try:
        make = dump_plain if request.format == "plain" else dump_archives
        facts = make(request, cluster, staging)
        files = file_entries(staging, _walk(staging))
        manifest = write_manifest(staging, KIND, files, name=request.name, migration=request.migration_id,
                                  identity=identity(os.stat(staging)), archive=request.archive, tools=versions,
                                  server=cluster["server"], globals_readable=cluster["globals"]["passwords"],
                                  given_capture=captured, restorable_on=[], **facts)
        path = publish_stage(staging, request.dest, request.name)
    except BaseException:
        discard_stage(staging)
        raise
    thinned = thin_out(request.policy)
    reason = "dumped" + (f", {len(thinned['removed'])} older ones removed" if thinned["removed"] else "")
    result = result_of(path, manifest, True, started, reason)
    told = dict(result["journal"], removed=[os.path.basename(gone) for gone in thinned["removed"]], skipped=thinned["left"])
    return dict(result, journal=told, stale_removed=removed, expired_removed=thinned["removed"], expired_left=thinned["left"],
                diff={"before": lines(thinned["removed"]), "after": lines([path])})


def read_cluster(request: DumpRequest) -> dict[str, Any]:
    """``server``, ``globals``, ``databases`` (the chosen names), ``relations``, ``objects`` and ``needs`` by database."""
    psycopg2 = import_psycopg2()
    try:
        with contextlib.closing(connect(request.source, application_name=request.application_name)) as connection:
            pin_session(connection)
            server, found = read_server(connection), read_globals(connection)
        empty = ["postgres"] if request.databases == ["all"] and not _read(request, "postgres")[1] else []
        chosen = resolve_databases(found["databases"], request.databases, empty)
        contents = {name: _read(request, name) for name in chosen}
    except psycopg2.Error as error:
        raise MigrationError(f"the source {request.source} cannot be read: {describe_error(error)}") from None
    return {"server": server, "globals": found, "databases": chosen, "relations": {name: contents[name][0] for name in chosen},
            "objects": {name: contents[name][1] for name in chosen}, "needs": {name: contents[name][2] for name in chosen}}


def _read(request: DumpRequest, database: str) -> tuple[list[dict[str, Any]], int, dict[str, Any]]:
    with contextlib.closing(connect(request.source, database, request.application_name)) as connection:
        pin_session(connection)
        return read_relations(connection), count_objects(connection), read_needs(connection)


def newest(path: str | None) -> str | None:
    """``path``, or the last one by name where its last part is a pattern with ``*``; None where nothing is meant or found."""
    directory, name = os.path.split(path or "")
    if "*" not in name:
        return path or None
    try:
        found = fnmatch.filter(os.listdir(directory), name)
    except OSError:
        return None
    return os.path.join(directory, max(found)) if found else None


def find_reusable(request: DumpRequest, cluster: dict[str, Any], captured: str | None = None) -> dict[str, Any] | None:
    """The manifest of ``reuse`` when that backup is whole and shows to be what is asked for.

    That is one of the same cluster, databases and format, with digests where they are wanted, and with the capture of which
    ``captured`` is the digest where one is given.
    """
    if not request.reuse:
        return None
    try:
        manifest = read_manifest(request.reuse, KIND)
    except MigrationError:
        return None
    known = cluster["server"]["system_identifier"]
    same = (known is not None and manifest["server"]["system_identifier"] == known
            and sorted(manifest["databases"]) == cluster["databases"] and manifest["archive"] == request.archive
            and (request.seal is None or sorted(manifest["encryption"]["recipients"]) == sorted(request.seal.keys()))
            and (not request.digests or manifest["digest_algorithm"] == ALGORITHM)
            and captured in (None, manifest.get("given_capture")))
    return manifest if same and not damaged_files(request.reuse, manifest["files"]) else None


def lines(paths: list[str]) -> str:
    """``paths`` one a line, for ``--diff``."""
    return "".join(path + "\n" for path in paths)


def plan_text(cluster: dict[str, Any], request: DumpRequest) -> str:
    """The plan as lines, for ``--diff``."""
    sizes = sizes_of(cluster)
    how = f", encrypted for {len(request.seal.keys())} recipients" if request.seal else ""
    return "".join(f"dump {name}: {sizes[name]} bytes, {1 if request.seal else workers} workers, below {request.dest}{how}\n"
                   for name, workers in plan_workers(sizes, request.jobs))


def result_of(path: str, manifest: dict[str, Any], changed: bool, started: float, reason: str) -> dict[str, Any]:
    """The module's result for a backup at ``path``."""
    sealed = sha256_file(os.path.join(path, NAME))
    duration = round(time.monotonic() - started, 3)
    counts = {"databases": len(manifest["databases"]), "tables": sum(map(len, manifest["tables"].values())),
              "files": len(manifest["files"]), "bytes": sum(entry["size"] for entry in manifest["files"])}
    journal = {
        "summary": f"{counts['databases']} databases with {counts['tables']} tables in {counts['bytes']} bytes of backup: {reason}",
        "duration": duration, "changed": changed, "counts": counts,
        "versions": {"source": manifest["server"]["version"], "pg_dump": manifest["tools"]["pg_dump"]},
        "proofs": [{"kind": "manifest", "path": os.path.join(path, NAME), "sha256": sealed}],
    }
    if not manifest["globals_readable"]:
        journal["not_proved"] = ["password hashes are not in the backup: the login may not read pg_authid"]
    return {"changed": changed, "msg": journal["summary"], "path": path, "manifest_sha256": sealed,
            "databases": sorted(manifest["databases"]), "counts": counts, "duration": duration,
            "versions": journal["versions"], "journal": journal}


def _walk(root: str) -> Iterator[str]:
    for directory, _directories, names in os.walk(root):
        for name in names:
            yield os.path.relpath(os.path.join(directory, name), root)
