# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
r"""The guide's single ``backup.sql``: roles, then every database behind a ``\connect``, restored by ``psql -v ON_ERROR_STOP=1 -f``.

What pg_dumpall writes stops there at its first statement on almost every server (``CREATE ROLE postgres``), and sets the
password of the very login that restores. So the roles and the frames of the databases are written here, a role that exists
is left as it is, and the contents come from pg_dump, each database in a snapshot of its own that its digests share.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import ALGORITHM
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import (
    DumpRequest,
    digest_all,
    encoding_option,
    exported_snapshot,
    kept_catalogs,
    read_capture,
    sizes_of,
    tables_of,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import database_argument, libpq_environment
from ansible_collections.dihya.migration.plugins.module_utils._postgres.everybody import owed
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import (
    create_database,
    frame_statements,
    grant_membership,
    identifier,
    literal,
    parameter,
    role_statements,
    set_statements,
    with_capture,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import Work, major_of, run_all, tool_version
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

FILE = "backup.sql"
END = "-- PostgreSQL database cluster dump complete"
PART_END = "-- PostgreSQL database dump complete"
GIVEN = ("postgres", "template1")  # databases that every server has: filled, not created, as pg_dumpall does
SESSION = "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n"
KEY_FILE = ".restrict-key"


def dump_plain(request: DumpRequest, cluster: dict[str, Any], staging: str) -> dict[str, Any]:
    """Write ``backup.sql`` below ``staging`` and see that it is whole; returns the facts for the manifest."""
    broken = [name for name in cluster["databases"] if "\n" in name or "\r" in name]
    if broken:
        raise MigrationError(f"psql cannot connect to {len(broken)} databases with a line break in their name: use format directory")
    path = os.path.join(staging, FILE)
    captured = read_capture(request, cluster)
    source = with_capture(cluster["globals"], captured)
    version = major_of(tool_version("pg_dump", request.bin_dir)) * 10000
    progress = Progress(request.progress_file, "dump", sum(sizes_of(cluster).values()), "bytes")
    restrict = restrict_option(request)
    append(path, "-- PostgreSQL database cluster dump\n" + SESSION + roles_text(source, cluster["server"]["version_num"]))
    with contextlib.ExitStack() as stack:
        moments = {name: stack.enter_context(exported_snapshot(request, name))[0] for name in cluster["databases"]}
        snapshots = {name: moment["id"] for name, moment in moments.items()}
        with kept_catalogs(request, snapshots, staging):
            for number, name in enumerate(cluster["databases"], 1):
                append(path, opening_text(source, name, version))
                # Not --verbose: it would write the time into the file.
                work = Work([find_tool("pg_dump", request.bin_dir), "--format=plain", "--no-tablespaces", "--no-password",
                             *restrict, *encoding_option(cluster, name), f"--snapshot={snapshots[name]}",
                             f"--dbname={database_argument(name)}"],
                            libpq_environment(request.source, request.application_name), request.log(f"pg_dump.{number}"),
                            f"database {name}", output=path)
                run_all([work], 1, lambda _running: progress.approach(os.path.getsize(path)))
                check_complete(path, PART_END)
                append(path, closing_text(source, name))
        digests = digest_all(request, snapshots, progress)
    append(path, f"{everybody_text(captured)}--\n{END}\n--\n")
    check_complete(path)
    frames = {frame["name"]: frame for frame in cluster["globals"]["databases"]}
    return {"databases": {name: dict(frames[name], objects=cluster["objects"][name], needs=cluster["needs"][name])
                          for name in cluster["databases"]},
            "compression": "none", "tables": tables_of(cluster), "capture": captured, "snapshot": moments, "digests": digests,
            "digest_algorithm": ALGORITHM if request.digests else None}


def append(path: str, text: str) -> None:
    """Append ``text`` to the file ``path`` of mode 0600 and make it durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def roles_text(source: dict[str, Any], version: int) -> str:
    """SQL that makes the roles which are missing, with all that is their own, and grants the memberships."""
    text = "".join(unless_exists(f"pg_catalog.pg_roles WHERE rolname = {literal(role['name'])}", role_statements(source, role))
                   for role in source["roles"])
    return text + "".join(grant_membership(membership, version) + ";\n" for membership in source["memberships"])


def everybody_text(captured: dict[str, Any]) -> str:
    """SQL that gives every role what it had (settings of all are not in what pg_dumpall writes); a setting of its own the server keeps.

    It comes last: the sessions that restore would have it too.
    """
    given = owed(captured, {"settings": []})
    own = "pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) v WHERE s.setdatabase = 0 AND s.setrole = 0" \
        " AND pg_catalog.split_part(v, '=', 1) = "
    settings = "".join(unless_exists(own + literal(value.partition("=")[0]), set_statements("ALTER ROLE ALL", [value]))
                       for value in given.settings)
    grants = "".join(f"GRANT {privilege} ON PARAMETER {parameter(name)} TO PUBLIC;\n" for name, privilege in given.privileges)
    return f"--\n-- Every role\n--\n{settings}{grants}" if given.settings or given.privileges else ""


def unless_exists(what: str, statements: list[str]) -> str:
    """``statements`` in a block that does nothing where there is a row of ``what``, all that follows FROM."""
    body = "".join(statement + ";\n" for statement in statements)
    number = 1
    while f"$r{number}$" in body:
        number += 1
    return f"DO $r{number}$\nBEGIN\nIF NOT EXISTS (SELECT FROM {what}) THEN\n{body}END IF;\nEND\n$r{number}$;\n"


def opening_text(source: dict[str, Any], name: str, version: int) -> str:
    """What stands before the contents of a database: its creation and the change to it."""
    frame = next(frame for frame in source["databases"] if frame["name"] == name)
    made = "" if name in GIVEN else create_database(frame, name, frame["owner"], version, closed=False) + ";\n"
    return f"{made}\\connect -reuse-previous=on {identifier(database_argument(name))}\n{SESSION}"


def closing_text(source: dict[str, Any], name: str) -> str:
    """What stands after its contents: comment, settings, privileges, limits; they must not act on the restore itself."""
    if name in GIVEN:
        return ""
    frame = next(frame for frame in source["databases"] if frame["name"] == name)
    known = {role["name"] for role in source["roles"]}
    return "".join(statement + ";\n" for statement in frame_statements(source, frame, name, known))


def restrict_option(request: DumpRequest) -> list[str]:
    r"""The same ``\restrict`` key for every dump into ``dest``, where the client takes one: equal data, equal bytes.

    Whoever administers the source must not guess it, or a name there could leave the restricted mode: it is random.
    """
    if "--restrict-key" not in run([find_tool("pg_dump", request.bin_dir), "--help"], timeout=20).stdout:
        return []
    path = os.path.join(request.dest, KEY_FILE)
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            key = stream.read().strip()
    except FileNotFoundError:
        key = ""
    if not re.fullmatch(r"[0-9A-Za-z]{32,}", key):
        key = secrets.token_hex(32)
        publish(path, key.encode())
    return [f"--restrict-key={key}"]


def check_complete(path: str, end: str = END) -> None:
    """Raise :class:`MigrationError` unless the plain dump ``path`` ends with the completion marker ``end``."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - 4096))
        tail = stream.read().decode("utf-8", "replace")
    after = tail.rpartition(end)[2].split()
    if end not in tail or any(word != "--" and not re.match(r"\\?unrestrict$|^[A-Za-z0-9]{20,}$", word) for word in after):
        raise MigrationError(f"{os.path.basename(path)} does not end with its completion marker: the dump was cut short")
