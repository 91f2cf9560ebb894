# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filled cluster of the old site, kept below .tools until ``make demo-clean``, so that a second demo need not fill it again.

It is a copy of a stopped server, named by the sha256 of everything that it was made from: other sources, another copy.
The superuser's password beside it is the copy's own; every password is replaced when a copy is put to use.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from pathlib import Path

from demo.layout import APP, DEMO, KEPT, ROOT, write_private
from demo.postgres_server import PostgresServer, set_password

MADE_FROM = (APP / "backend", APP / "roles.sql", APP / "rows.sql", DEMO / "database.py", DEMO / "postgres_server.py", DEMO / "saved.py")
PASSWORD = "superuser"


def place(cluster: PostgresServer) -> Path:
    """Where the copy is, or would be, of what the sources of today make of ``cluster``."""
    digest = hashlib.sha256(str(cluster.bin.resolve()).encode())
    for root in MADE_FROM:
        for path in sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]:
            if path.suffix != ".pyc":
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return KEPT / f"old-database-{digest.hexdigest()[:16]}"


def take(cluster: PostgresServer) -> str | None:
    """Put the copy where ``cluster`` is to be, not yet started; returns its superuser's password, None when there is no copy."""
    kept = place(cluster)
    if cluster.sheltered or not kept.exists():
        return None
    shutil.copytree(kept / "data", cluster.directory, symlinks=True)
    return (kept / PASSWORD).read_text(encoding="utf-8")


def keep(cluster: PostgresServer) -> str:
    """Copy the running ``cluster``, which is stopped for it; returns the superuser's password that holds from then on."""
    kept = place(cluster)
    if cluster.sheltered or kept.exists():
        return cluster.password
    password = secrets.token_urlsafe(24)
    connection = cluster.connect()
    with contextlib.closing(connection), connection.cursor() as cursor:
        set_password(cursor, "postgres", password)
    cluster.stop()
    for earlier in KEPT.glob("old-database-*"):  # made from other sources, or left by a demo that was killed
        shutil.rmtree(earlier, ignore_errors=True)
    unfinished = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
    unfinished.mkdir(mode=0o700, parents=True)
    shutil.copytree(cluster.directory, unfinished / "data", symlinks=True)
    write_private(unfinished / PASSWORD, password)
    with contextlib.suppress(OSError):  # another demo was faster
        unfinished.rename(kept)
    shutil.rmtree(unfinished, ignore_errors=True)
    cluster.start()
    return password


def forget() -> None:
    """Remove every copy."""
    for copy in KEPT.glob("old-database-*"):
        shutil.rmtree(copy)
    if KEPT.exists() and not any(KEPT.iterdir()):
        KEPT.rmdir()
