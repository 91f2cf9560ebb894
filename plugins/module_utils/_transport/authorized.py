# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one line of authorized_keys that lets a key pull one tree and do nothing else. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import PLACE_BOUND
from ansible_collections.dihya.migration.plugins.module_utils._tree.system import TICK

PUBLIC_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{60,100}={0,2}\Z")
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
PREFIX = b'restrict,command="'
# ACLs travel as the attributes that they are: by number, like the owners (--acls would name users that the receiver may not have).
TAR = " ".join(["tar --create --file=- --format=pax --xattrs", *(f"--xattrs-exclude={name}" for name in PLACE_BOUND)])
# The moment from which every write shows: the clock that stamps files may be behind the one of date, so nothing is read before it is past.
NOW = f"date +%s.%N; sleep {TICK / 10**9:g} || sleep 1"
# What the tree has: by name what an unchanged file is known by, then their digests. Files with several names always travel.
LIST = "; ".join([
    f"printf 'dihya-since %s\\0' $({NOW})", r"find . -type f -links 1 -printf '%m %U %G %s %T@ %p\0'", r"printf 'dihya-digests\0'",
    r"find . -type f -links 1 -print0 | xargs -0 -r sha256sum -z --", r"printf 'dihya-end\0'"])
# What it has beside the names on standard input, which are known to be unchanged since the moment of the list.
REST = '; '.join([
    't=${SSH_ORIGINAL_COMMAND#rest }', 'case "$t" in *[!0-9.]*) exit 4 ;; esac', 'k=$(mktemp) || exit 4', """trap 'rm -f "$k"' EXIT""",
    'sort -z > "$k"', 'find . -print0 | sort -z | comm -z -23 - "$k" | TAR --no-recursion --null --files-from=-; s=$?'])
# What the archive is going to hold; tar reads no file for it.
SIZE = r"printf 'dihya-size %s\n' $(TAR --totals . 2>&1 >/dev/null | sed -n 's/^Total bytes written: \([0-9]*\).*/\1/p')"
FIND = r'''find . \( -newerct "@$t" -printf 'changed %p\0' \) , \( -type s -printf 'socket %p\0' \)'''


def require_run(run_id: str) -> str:
    """``run_id`` when it can stand in a comment; raises otherwise."""
    if not RUN.match(run_id):
        raise MigrationError("run_id must be letters, digits and . _ - only", subject="run_id")
    return run_id


def require_key(public_key: str) -> str:
    """Type and body of an ed25519 public key, its comment dropped; raises on anything else."""
    key = " ".join(public_key.split()[:2])
    if not PUBLIC_KEY.match(key):
        raise MigrationError("public_key is not an ed25519 public key of one line", subject="public_key")
    return key


def require_path(path: str) -> str:
    """``path`` when it is absolute and can stand in one line; raises otherwise."""
    if not path.startswith("/") or not path.isprintable():
        raise MigrationError("path must be absolute and without control or undecodable characters", subject="path")
    return path


def tar_excludes(patterns: Sequence[str]) -> list[str]:
    """The options with which GNU tar leaves out what ``exclude`` means; raises on a pattern that cannot stand in the line."""
    wrong = [pattern for pattern in patterns if not pattern.strip("/") or "\\" in pattern or not pattern.isprintable()]
    if wrong:
        raise MigrationError(f"exclude: {wrong[0]!r} is empty, or has a backslash or control character", subject="exclude")
    return [
        f"--anchored --exclude={shlex.quote('./' + p.strip('/'))}" if "/" in p.rstrip("/") else
        f"--no-anchored --exclude={shlex.quote(p.rstrip('/'))}" for p in patterns]


def forced_command(path: str, exclude: Sequence[str] = ()) -> str:
    """The shell command that sends the tree at ``path``, whole, or (asked to ``list`` and then for the ``rest``) what the receiver lacks.

    Where all is sent, the bytes that it takes come first. Then comes the archive, then a mark that it is whole, then what changed
    meanwhile, and the sockets (tar leaves them out without failing). Exit status 1: changed under tar's eyes, and named in what changed;
    2: unreadable, 3: no such directory, 4: asked for what it does not do.
    """
    tar = " ".join([TAR, *tar_excludes(exclude)])
    script = "; ".join([
        "LC_ALL=C", "export LC_ALL", f"cd -- {shlex.quote(path)} || exit 3", f'case "$SSH_ORIGINAL_COMMAND" in list) {LIST}; exit 0 ;; '
        f'"rest "*) {REST.replace("TAR", tar)} ;; *) {SIZE.replace("TAR", tar.replace("--file=-", "--file=/dev/null"))}; '
        f't=$({NOW}); {tar} .; s=$? ;; esac', "[ $s -le 1 ] || exit $s",
        r"printf 'dihya-end\n'", f"{FIND} || exit $?", "exit $s",
    ])
    # Whatever the login shell is, sh reads the script.
    return f"exec /bin/sh -c {shlex.quote(script)}"


def comment(run_id: str, migration_id: str | None = None) -> str:
    """How a line says whose it is: ``dihya/RUN``, ``dihya/MIGRATION/RUN`` in a migration."""
    return "/".join(["dihya", *([require_run(migration_id)] if migration_id else []), require_run(run_id)])


def key_line(path: str, public_key: str, run_id: str, exclude: Sequence[str] = (), migration_id: str | None = None) -> bytes:
    """The line, with its newline. Inside the quotes of an option only ``"`` needs a backslash."""
    command = forced_command(require_path(path), exclude).replace('"', '\\"')
    return f'restrict,command="{command}" {require_key(public_key)} {comment(run_id, migration_id)}\n'.encode()


def with_line(content: bytes, line: bytes, public_key: str, run_id: str, migration_id: str | None = None) -> bytes:
    """``content`` with ``line`` in it once, in place of our other lines for the same key and run; all other lines byte for byte.

    What other runs of the migration left behind goes: it holds its lock, so they are dead.
    """
    mine = comment(run_id, migration_id).encode()
    if migration_id:
        content = _without(content, lambda _key, said: said != mine and _of_migration(said, migration_id))
    if line in content.splitlines(keepends=True):
        return content
    key = require_key(public_key).encode()
    kept = _without(content, lambda of, said: of == key and said == mine)
    return kept + (b"\n" if kept and not kept.endswith(b"\n") else b"") + line


def without_lines(content: bytes, run_id: str, public_key: str | None = None, migration_id: str | None = None) -> bytes:
    """``content`` without our lines of the run, of every run of a migration, or only without the one of this key."""
    mine, key = comment(run_id, migration_id).encode(), require_key(public_key).encode() if public_key else None
    return _without(content, lambda of, said: key in (None, of) and (_of_migration(said, migration_id) if migration_id else said == mine))


def _of_migration(said: bytes, migration_id: str) -> bool:
    head, _slash, run_id = said.rpartition(b"/")
    return head == f"dihya/{migration_id}".encode() and RUN.match(run_id.decode("ascii", "replace")) is not None


def _without(content: bytes, goes: Callable[[bytes, bytes], bool]) -> bytes:
    """``content`` without those of our lines of which ``goes`` says so, by key and comment."""
    def stays(line: bytes) -> bool:
        *_option, kind, body, said = [b"", b"", *line.rstrip(b"\r\n").split(b" ")]
        return not (line.startswith(PREFIX) and goes(kind + b" " + body, said))
    return b"".join(line for line in content.splitlines(keepends=True) if stays(line))


def known_hosts_line(host: str, port: int, key: str) -> str:
    """One line for known_hosts: the name as ssh looks it up."""
    return f"{host if port == 22 else f'[{host}]:{port}'} {key}\n"
