# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One archive per database and the globals: parallel directories in clear, or one stream each through age.

pg_dump writes the files of a directory itself, in clear; so an encrypted archive is a single stream of the custom format.
It can only be restored from its beginning to its end by one worker, which is the price of having nothing in clear on disk.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import SUFFIX, check_sealed, version
from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import indexes_in
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import ALGORITHM
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_plain import check_complete
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import (
    DumpRequest,
    digest_all,
    encoding_option,
    exported_snapshot,
    kept_catalogs,
    plan_workers,
    read_capture,
    sizes_of,
    tables_of,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import database_argument, libpq_environment
from ansible_collections.dihya.migration.plugins.module_utils._postgres.meters import Dumped, DumpMeter, Log
from ansible_collections.dihya.migration.plugins.module_utils._postgres.sealed import keep_part
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import Work, compression_of, run_all
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress


def dump_archives(request: DumpRequest, cluster: dict[str, Any], staging: str) -> dict[str, Any]:
    """Write every database and the globals below ``staging``; returns the facts for the manifest."""
    os.mkdir(os.path.join(staging, "databases"), 0o700)
    keep_part(request.seal, staging, "globals.json", cluster["globals"])
    dump_globals(request, staging, cluster["globals"]["passwords"])
    compression = compression_of(request.bin_dir, request.compression)
    progress = Progress(request.progress_file, "dump")
    plan = plan_workers(sizes_of(cluster), request.jobs)
    ending = ".dump" + SUFFIX if request.seal else ""
    paths = {name: os.path.join("databases", f"{number}{ending}") for number, (name, _workers) in enumerate(plan, 1)}
    with contextlib.ExitStack() as stack:
        held = {name: stack.enter_context(exported_snapshot(request, name)) for name, _workers in plan}
        moments = {name: moment for name, (moment, _session) in held.items()}
        snapshots = {name: moment["id"] for name, moment in moments.items()}
        works = [dump_work(request, name, os.path.join(staging, paths[name]), workers,
                           [f"--compress={compression}", f"--snapshot={snapshots[name]}", *encoding_option(cluster, name)])
                 for name, workers in plan]
        dumps = [Dumped(Log(work.log), cluster["relations"][name], work.workers, held[name][1])
                 for work, (name, _workers) in zip(works, plan)]
        meter = DumpMeter(dumps, progress)
        progress.begin("dump", meter.total, "bytes")
        with kept_catalogs(request, snapshots, staging), meter:
            run_all(works, request.jobs)
        digests = digest_all(request, snapshots, progress)
    progress.begin("checksums", 0, "files")
    facts = {"databases": {name: describe(request, cluster, name, staging, paths[name]) for name in paths},
             "compression": compression, "tables": tables_of(cluster), "snapshot": moments, "digests": digests,
             "digest_algorithm": ALGORITHM if request.digests else None}
    captured = read_capture(request, cluster)
    if request.seal is None:
        return dict(facts, capture=captured)
    keep_part(request.seal, staging, "capture.json", captured)
    return dict(facts, encryption={"tool": f"age {version()}", "recipients": request.seal.keys()})


def dump_work(request: DumpRequest, name: str, path: str, workers: int, options: list[str]) -> Work:
    """The pg_dump that writes the archive ``path``, through age when it is to be encrypted."""
    argv = [find_tool("pg_dump", request.bin_dir), "--create", "--verbose", "--no-password", *options,
            f"--dbname={database_argument(name)}"]
    environment = libpq_environment(request.source, request.application_name)
    log = request.log(f"pg_dump.{os.path.basename(path).partition('.')[0]}")
    if request.seal:
        return Work([*argv, "--format=custom"], environment, log, f"database {name}", then=request.seal.argv(), output=path, harmless=True)
    return Work([*argv, "--format=directory", f"--jobs={workers}", f"--file={path}"], environment, log, f"database {name}", workers)


def dump_globals(request: DumpRequest, staging: str, passwords: bool) -> None:
    """Write ``globals.sql``: roles and their settings in SQL, for a restore by hand."""
    argv = [find_tool("pg_dumpall", request.bin_dir), "--globals-only", "--no-password", *([] if passwords else ["--no-role-passwords"])]
    environment = libpq_environment(request.source, request.application_name)
    path = os.path.join(staging, "globals.sql")
    if request.seal:
        run_all([Work(argv, environment, request.log("pg_dumpall"), "the roles", then=request.seal.argv(), output=path + SUFFIX,
                      harmless=True)], 1)
        check_sealed(path + SUFFIX, request.seal)
        return
    run_all([Work([*argv, f"--file={path}"], environment, request.log("pg_dumpall"), "the roles")], 1)
    check_complete(path)


def describe(request: DumpRequest, cluster: dict[str, Any], name: str, staging: str, path: str) -> dict[str, Any]:
    """What the manifest says of one database, after its archive was seen to be one."""
    frame = next(frame for frame in cluster["globals"]["databases"] if frame["name"] == name)
    facts = dict(frame, directory=path, objects=cluster["objects"][name], needs=cluster["needs"][name])
    if request.seal is None:
        return dict(facts, **list_archive(request, os.path.join(staging, path), name))
    check_sealed(os.path.join(staging, path), request.seal)
    facts.pop("comment")  # somebody's words; they are in the encrypted globals
    return facts


def list_archive(request: DumpRequest, directory: str, name: str) -> dict[str, int]:
    """How many ``entries`` pg_restore finds in an archive, and ``indexes`` among them: it must be able to read what pg_dump wrote."""
    listed = run([find_tool("pg_restore", request.bin_dir), "--list", directory], check=False)
    entries = [line for line in listed.stdout.splitlines() if line and not line.startswith(";")]
    if listed.status != 0 or not entries:
        raise MigrationError(f"pg_restore cannot read the archive of database {name} that was just written")
    return {"entries": len(entries), "indexes": indexes_in(listed.stdout)}
