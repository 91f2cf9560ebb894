# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dump the databases of a cluster into one verified backup directory.

Format ``directory``: one parallel archive per database under ``databases/N``, ``globals.json`` for the restore and
``globals.sql`` for people. Format ``plain``: one ``backup.sql`` of pg_dumpall. The manifest is published last.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish_json, read_json
from ansible_collections.dihya.migration.plugins.module_utils._manifest import (
    NAME,
    damaged_files,
    file_entry,
    read_manifest,
    sha256_file,
    write_manifest,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.backup_dir import (
    discard_stage,
    publish_stage,
    remove_stale,
    stage,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import capture as take_capture
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import ALGORITHM, digest_database
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import (
    Endpoint,
    connect,
    database_argument,
    describe_error,
    import_psycopg2,
    libpq_environment,
    pin_session,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import identifier, read_globals, rows
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import (
    Policy,
    finish_removals,
    identity,
    thin_out,
    would_remove,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.server import (
    count_objects,
    read_relations,
    read_server,
    resolve_databases,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import (
    NEEDED,
    Work,
    compression_of,
    major_of,
    run_all,
    tool_version,
)
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

KIND = "postgresql"
SMALL = 64 << 20  # bytes below which a database gets one worker, so that several are dumped side by side
END = "-- PostgreSQL database cluster dump complete"


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
    def policy(self) -> Policy:
        """Which earlier backups stay."""
        return Policy(self.dest, self.name, KIND, self.migration_id, self.keep, self.expires)


def plan_workers(sizes: dict[str, int], jobs: int) -> list[tuple[str, int]]:
    """Databases, the largest first, each with its number of workers; a large one gets all of them."""
    ordered = sorted(sizes, key=lambda name: (-sizes[name], name))
    alone = len(ordered) == 1
    return [(name, jobs if alone or sizes[name] >= SMALL else 1) for name in ordered]


def dump(request: DumpRequest, check_mode: bool = False) -> dict[str, Any]:
    """Make the backup, or find that ``reuse`` still is one; returns the module's result."""
    started = time.monotonic()
    versions = {tool: tool_version(tool, request.bin_dir) for tool in NEEDED}
    cluster = read_cluster(request)
    if major_of(versions["pg_dump"]) < cluster["server"]["version_num"] // 10000:
        raise MigrationError(f"pg_dump {versions['pg_dump']} cannot dump a server of version {cluster['server']['version']}: "
                             "install newer client tools, or name their directory in bin_dir", subject="bin_dir")
    reusable = find_reusable(request, cluster)
    if reusable:
        return result_of(request.reuse or "", reusable, False, started, "the earlier backup is intact")
    if check_mode:
        gone = would_remove(request.policy)
        would = f"would dump {len(cluster['databases'])} databases" + (f" and remove {len(gone)} older backups" if gone else "")
        return {"changed": True, "msg": would, "path": None, "databases": cluster["databases"], "expired_removed": gone,
                "diff": {"before": lines(gone), "after": plan_text(cluster, request)}}
    removed = remove_stale(request.dest) + finish_removals(request.policy)
    staging = stage(request.dest, request.name)
    try:
        make = dump_plain if request.format == "plain" else dump_directories
        facts = make(request, cluster, staging)
        files = [file_entry(staging, path) for path in sorted(_walk(staging))]
        manifest = write_manifest(staging, KIND, files, name=request.name, migration=request.migration_id,
                                  identity=identity(os.stat(staging)), archive=request.format, tools=versions,
                                  server=cluster["server"], globals_readable=cluster["globals"]["passwords"],
                                  restorable_on=[], **facts)
        path = publish_stage(staging, request.dest, request.name)
    except BaseException:
        discard_stage(staging)
        raise
    thinned = thin_out(request.policy)
    gone = len(thinned["removed"])
    result = result_of(path, manifest, True, started, "dumped" + (f", {gone} older ones removed" if gone else ""))
    told = dict(result["journal"], removed=[os.path.basename(gone) for gone in thinned["removed"]], skipped=thinned["left"])
    return dict(result, journal=told, stale_removed=removed, expired_removed=thinned["removed"], expired_left=thinned["left"],
                diff={"before": lines(thinned["removed"]), "after": lines([path])})


def read_cluster(request: DumpRequest) -> dict[str, Any]:
    """``server``, ``globals``, ``databases`` (the chosen names), ``relations`` and ``objects`` by database."""
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
            "objects": {name: contents[name][1] for name in chosen}}


def _read(request: DumpRequest, database: str) -> tuple[list[dict[str, Any]], int]:
    with contextlib.closing(connect(request.source, database, request.application_name)) as connection:
        pin_session(connection)
        return read_relations(connection), count_objects(connection)


def find_reusable(request: DumpRequest, cluster: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of ``reuse`` when that backup is whole and of the same cluster, databases and format."""
    if not request.reuse:
        return None
    try:
        manifest = read_manifest(request.reuse, KIND)
    except MigrationError:
        return None
    same = (manifest["server"]["system_identifier"] == cluster["server"]["system_identifier"]
            and sorted(manifest["databases"]) == cluster["databases"] and manifest["archive"] == request.format)
    return manifest if same and not damaged_files(request.reuse, manifest["files"]) else None


def lines(paths: list[str]) -> str:
    """``paths`` one a line, for ``--diff``."""
    return "".join(path + "\n" for path in paths)


def plan_text(cluster: dict[str, Any], request: DumpRequest) -> str:
    """The plan as lines, for ``--diff``."""
    sizes = _sizes(cluster)
    return "".join(f"dump {name}: {sizes[name]} bytes, {workers} workers, below {request.dest}\n"
                   for name, workers in plan_workers(sizes, request.jobs))


def dump_directories(request: DumpRequest, cluster: dict[str, Any], staging: str) -> dict[str, Any]:
    """Write every database and the globals below ``staging``; returns the facts for the manifest."""
    os.mkdir(os.path.join(staging, "databases"), 0o700)
    publish_json(os.path.join(staging, "globals.json"), cluster["globals"])
    dump_globals(request, staging, cluster["globals"]["passwords"])
    compression = compression_of(request.bin_dir, request.compression)
    progress = Progress(request.progress_file, "dump", sum(_sizes(cluster).values()), "bytes")
    plan = plan_workers(_sizes(cluster), request.jobs)
    folders = {name: os.path.join("databases", str(number)) for number, (name, _workers) in enumerate(plan, 1)}
    with contextlib.ExitStack() as stack:
        snapshots = {name: stack.enter_context(exported_snapshot(request, name)) for name, _workers in plan}
        works = [Work([find_tool("pg_dump", request.bin_dir), "--format=directory", "--create", "--verbose", "--no-password",
                       f"--jobs={workers}", f"--compress={compression}", f"--snapshot={snapshots[name]}",
                       f"--file={os.path.join(staging, folders[name])}", f"--dbname={database_argument(name)}"],
                      libpq_environment(request.source, request.application_name),
                      request.log(f"pg_dump.{os.path.basename(folders[name])}"), f"database {name}", workers) for name, workers in plan]
        meter = DumpMeter({work.log: cluster["relations"][name] for work, (name, _workers) in zip(works, plan)}, progress)
        run_all(works, request.jobs, meter.look)
        digests = {}
        for name, _workers in plan if request.digests else []:
            digests[name] = digest_database(request.source, name, jobs=request.jobs, snapshot=snapshots[name],
                                            application_name=request.application_name, progress=progress)
    progress.begin("checksums", 0, "files")
    frames = {frame["name"]: frame for frame in cluster["globals"]["databases"]}
    databases = {name: dict(frames[name], directory=folders[name], objects=cluster["objects"][name],
                            entries=list_archive(request, os.path.join(staging, folders[name]), name)) for name in folders}
    return {"databases": databases, "compression": compression, "tables": _tables(cluster), "capture": read_capture(request, cluster),
            "digest_algorithm": ALGORITHM if request.digests else None, "digests": digests}


def dump_plain(request: DumpRequest, cluster: dict[str, Any], staging: str) -> dict[str, Any]:
    """Write the guide's ``backup.sql`` below ``staging`` and see that it is whole; returns the facts for the manifest."""
    progress = Progress(request.progress_file, "dump", 0, "bytes")
    path = os.path.join(staging, "backup.sql")
    frames = {frame["name"]: frame for frame in cluster["globals"]["databases"]}
    others = [name for name, frame in frames.items() if name not in cluster["databases"] and frame["allow_connections"]]
    argv = [find_tool("pg_dumpall", request.bin_dir), "--no-password", f"--file={path}",
            *([] if cluster["globals"]["passwords"] else ["--no-role-passwords"]),
            # The option takes a pattern; inside double quotes nothing of it is special but the quote itself.
            *(f"--exclude-database={identifier(name)}" for name in others if name != request.source.dbname)]
    run_all([Work(argv, libpq_environment(request.source, request.application_name), request.log("pg_dumpall"), "the cluster")],
            1, lambda: progress.reach(os.path.getsize(path) if os.path.exists(path) else 0))
    check_complete(path)
    return {"databases": {name: dict(frames[name], objects=cluster["objects"][name]) for name in cluster["databases"]},
            "compression": "none", "tables": _tables(cluster), "capture": read_capture(request, cluster), "digest_algorithm": None,
            "digests": {}}


def check_complete(path: str) -> None:
    """Raise :class:`MigrationError` unless the plain dump ``path`` ends with pg_dumpall's completion marker."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - 4096))
        tail = stream.read().decode("utf-8", "replace")
    after = tail.rpartition(END)[2].split()
    if END not in tail or any(word != "--" and not re.match(r"\\?unrestrict$|^[A-Za-z0-9]{20,}$", word) for word in after):
        raise MigrationError("pg_dumpall's file does not end with its completion marker: the dump was cut short")


def dump_globals(request: DumpRequest, staging: str, passwords: bool) -> None:
    """Write ``globals.sql``: roles and their settings in SQL, for a restore by hand."""
    run_all([Work([find_tool("pg_dumpall", request.bin_dir), "--globals-only", "--no-password",
                   f"--file={os.path.join(staging, 'globals.sql')}", *([] if passwords else ["--no-role-passwords"])],
                  libpq_environment(request.source, request.application_name), request.log("pg_dumpall"), "the roles")], 1)
    check_complete(os.path.join(staging, "globals.sql"))


def list_archive(request: DumpRequest, directory: str, name: str) -> int:
    """How many entries pg_restore finds in an archive: it must be able to read what pg_dump wrote."""
    listed = run([find_tool("pg_restore", request.bin_dir), "--list", directory], check=False)
    entries = [line for line in listed.stdout.splitlines() if line and not line.startswith(";")]
    if listed.status != 0 or not entries:
        raise MigrationError(f"pg_restore cannot read the archive of database {name} that was just written")
    return len(entries)


@contextlib.contextmanager
def exported_snapshot(request: DumpRequest, database: str) -> Iterator[str]:
    """A snapshot that dump and digests share, held open as long as the context."""
    with contextlib.closing(connect(request.source, database, request.application_name)) as connection:
        pin_session(connection)
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield rows(connection, "SELECT pg_catalog.pg_export_snapshot() AS id")[0]["id"]


def read_capture(request: DumpRequest, cluster: dict[str, Any]) -> dict[str, Any]:
    """Owners, ACLs and settings: those captured before a freeze when given, else as they are now."""
    if not request.capture_file:
        return take_capture(request.source, cluster["databases"], request.application_name)
    try:
        return read_json(request.capture_file)
    except (OSError, ValueError) as error:
        raise MigrationError(f"the capture {request.capture_file} cannot be read: {type(error).__name__}") from None


class DumpMeter:
    """Turns what pg_dump says while it works into bytes done: the sizes of the tables it has begun."""

    BEGUN = re.compile(r'dumping contents of table "(.*)"\n')

    def __init__(self, relations: dict[str, list[dict[str, Any]]], progress: Progress) -> None:
        self._sizes = {log: {f"{one['schema']}.{one['name']}": one["bytes"] for one in found} for log, found in relations.items()}
        self._read = dict.fromkeys(relations, 0)
        self._progress = progress

    def look(self) -> None:
        """Read what was printed since the last look."""
        for log, sizes in self._sizes.items():
            if not os.path.exists(log):
                continue
            with open(log, encoding="utf-8", errors="replace") as stream:
                stream.seek(self._read[log])
                text = stream.read()
                self._read[log] = stream.tell()
            self._progress.advance(sum(sizes.get(name.replace('"', ""), 0) for name in self.BEGUN.findall(text)))


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


def _sizes(cluster: dict[str, Any]) -> dict[str, int]:
    return {name: sum(one["bytes"] for one in relations) for name, relations in cluster["relations"].items()}


def _tables(cluster: dict[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    return {name: {f"{one['schema']}.{one['name']}": {"bytes": one["bytes"], "index_bytes": one["index_bytes"]}
                   for one in relations if one["kind"] in "rpm"} for name, relations in cluster["relations"].items()}


def _walk(root: str) -> Iterator[str]:
    for directory, _directories, names in os.walk(root):
        for name in names:
            yield os.path.relpath(os.path.join(directory, name), root)
