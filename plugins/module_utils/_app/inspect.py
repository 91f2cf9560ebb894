# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be known about an application's place before anything changes: looks, never writes, finds everything at once."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import stat
import subprocess
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._age import Seal, problems
from ansible_collections.dihya.migration.plugins.module_utils._app import output, process_table, runtime_looks
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Finding, Look, free_room
from ansible_collections.dihya.migration.plugins.module_utils._app.process import read_record
from ansible_collections.dihya.migration.plugins.module_utils._command import environment
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import boot_id, machine
from ansible_collections.dihya.migration.plugins.module_utils._transport.bucket import Bucket
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying, naming
from ansible_collections.dihya.migration.plugins.module_utils._tree.marker import read_marker
from ansible_collections.dihya.migration.plugins.module_utils._tree.release_plan import RELEASES, release_digest
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import excluder, scan

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
BLOCK = 4096


def path_problem(value: str) -> Finding:
    """An absolute, plain path below ``/``; pure."""
    if not isinstance(value, str) or not value.startswith("/"):
        return "it is not an absolute path", "give a path that begins with /"
    if "\0" in value or "\n" in value or ".." in value.split("/"):
        return "it contains '..' or a control character", "write the path without them"
    if os.path.normpath(value) in ("/", "/home", "/etc", "/usr", "/var", "/root", "/boot", "/opt", "/srv", "/tmp", "/bin", "/lib"):
        return "it is a directory of the system", "give the application a directory of its own"
    return None


def name_problem(value: str) -> Finding:
    """A name that is safe as one component of a path; pure."""
    if not isinstance(value, str) or not _NAME.match(value) or ".." in value:
        return "it is no valid name", "use letters, digits, '.', '_' and '-', beginning with a letter or digit, without '..' or '/'"
    return None


def _taken(look: Look) -> Finding:
    """A name that stands for a release of another migration, which a rollback of this one would take for its own."""
    if not look.releases or not os.path.lexists(os.path.join(look.releases, RELEASES, look.value)):
        return None
    found = read_marker(look.releases, look.value)
    if found is not None and found.made_for == look.made_for:
        return None
    return "what has this name on this host was not put there by this migration", "give the release another name"


def inspect(looks: list[Look]) -> list[dict[str, Any]]:
    """The findings of all ``looks``, each ``{subject, finding, remedy, blocking}``."""
    findings = []
    for look in looks:
        try:
            found = CHECKS[look.check](look)
        except MigrationError as error:
            found = (error.message, "correct it")
        if found:
            findings.append({"subject": look.subject, "finding": found[0], "remedy": found[1], "blocking": True})
    return findings


def _writable(look: Look) -> Finding:
    bad = path_problem(look.value)
    if bad:
        return bad
    parent = look.value
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent):
        return f"{parent} is no directory", "move the file away, or choose another path"
    if not os.access(parent, os.W_OK | os.X_OK) or os.statvfs(parent).f_flag & os.ST_RDONLY:
        return f"{parent} cannot be written by this user", "give the user write permission, use become, or choose another path"
    free = free_room(look, parent)
    look.facts["made_bytes"] = _made(look.made) if look.made else 0
    look.facts["places"] = [tree for tree in (_tree(look.value), _tree(os.path.join(look.value, "current"))) if tree]
    look.facts["identity"] = f"directory {os.path.realpath(look.value)} on {machine()}"[:300]
    if look.bytes and free < look.bytes * 1.2:
        return f"{free >> 20} MiB are free where {int(look.bytes * 1.2) >> 20} MiB are needed", "free space, or choose another file system"
    return None


def _made(pattern: str) -> int:
    """The room of what ``pattern`` finds, of copies of one name that of the newest."""
    return sum(map(_room, naming.newest_of_each(glob.glob(pattern))))


def _room(root: str) -> int:
    """The bytes in whole blocks of the tree at ``root``, as far as it can be read."""
    blocks = 0
    for folder, _directories, names in os.walk(root):
        blocks += 1
        for name in names:
            with contextlib.suppress(OSError):
                blocks += -(-os.lstat(os.path.join(folder, name)).st_size // BLOCK)
    return blocks * BLOCK


def _tree(path: str) -> str:
    """Which directory ``path`` leads to, the same by whatever name, link or mount on this machine; empty where there is none.

    By the running kernel and not by the machine's id: a copy of a machine has the same id, and the same inodes.
    """
    try:
        status = os.stat(path)
        return f"{boot_id()} {status.st_dev}:{status.st_ino}"
    except OSError:
        return ""


def _vacant(look: Look) -> Finding:
    """A directory that a tree is put into, absent or empty."""
    wrong = _replaceable(look)
    if wrong is None and os.path.isdir(look.value) and (not os.access(look.value, os.R_OK) or os.listdir(look.value)):
        return f"{look.value} holds something already", (
            "move away what is there, or let backend_media_overwrite say that it is to be replaced")
    return wrong


def _replaceable(look: Look) -> Finding:
    """The same, whatever is in it: it must be possible to put another directory in its place."""
    wrong = _writable(look)
    if wrong:
        return wrong
    look.facts["held"] = _room(look.value)
    if os.path.islink(look.value) or (os.path.lexists(look.value) and not os.path.isdir(look.value)):
        return f"{look.value} is no directory of its own", "name the directory itself, not a link to it"
    if os.path.ismount(look.value):
        return f"{look.value} is a mount point, which cannot be put in place in one step", "name a directory below it"
    if not os.access(os.path.dirname(look.value), os.W_OK | os.X_OK) and not (look.chdir and _is_below(look.value, look.chdir)):
        return f"{os.path.dirname(look.value)} is no directory that this user may write", "make it, or use become on this host"
    return None


def _is_below(path: str, directory: str) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(directory) + "/")


def _readable(look: Look) -> Finding:
    bad = path_problem(look.value)
    if bad:
        return bad
    if not os.path.isdir(look.value):
        return f"{look.value} is no directory on this host", "correct the path: it must hold the application's files"
    look.facts["tree"] = _tree(look.value)
    total = files = blocks = 0
    unreadable: list[str] = []
    closed: list[OSError] = []
    excluded, root = excluder(look.exclude), os.path.realpath(look.value)
    for folder, directories, names in os.walk(root, onerror=closed.append):
        inside = os.path.relpath(folder, root) if folder != root else ""
        directories[:] = [name for name in directories if not excluded(os.fsencode(os.path.join(inside, name)))]
        blocks += 1
        for name in names:
            if excluded(os.fsencode(os.path.join(inside, name))):
                continue
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:  # a live tree loses files and directories while it is walked
                continue
            files += 1
            if stat.S_ISLNK(status.st_mode):
                continue
            size = status.st_size
            total += size
            blocks += -(-size // BLOCK)
            if not os.access(path, os.R_OK) and os.path.lexists(path):
                unreadable.append(path)
    unreadable += [str(error.filename) for error in closed if not isinstance(error, FileNotFoundError)]
    look.facts.update(files=files, bytes=total, room=blocks * BLOCK)
    if unreadable:
        return f"{len(unreadable)} of its files cannot be read", "give the user read permission, or use become"
    if not files:
        return f"{look.value} holds no file", "build the release first, or correct the path"
    missing = [name for name in look.contains if not os.path.exists(os.path.join(look.value, name))]
    if missing:
        return f"{look.value} is no build: {', '.join(missing)} is missing", "build the release first, or correct the path"
    if look.digest:
        entries = scan(os.fsencode(root), look.exclude)
        copying.read_digests(os.fsencode(root), entries)
        look.facts["sha256"] = release_digest(entries)
    return None


def _output(look: Look) -> Finding:
    """What a command in ``chdir`` makes anew each time."""
    bad = path_problem(look.value)
    if bad:
        return bad
    try:
        output.place_of(look.value, look.chdir)
    except MigrationError as error:
        finding, _separator, remedy = error.message.partition(": ")
        return finding, remedy
    return None


def _program(look: Look) -> Finding:
    if look.stale and not output.is_stale(look.stale["made"], look.stale["source"], look.chdir):
        return None
    name = next(iter(look.value), None) if isinstance(look.value, list) else look.value
    if not name or not isinstance(name, str):
        return "no program is named", "give the program and its arguments as a list"
    path = os.path.join(look.chdir or "/", name) if "/" in name else shutil.which(name)
    if not path or not os.access(path, os.X_OK):
        return f"the program {name} cannot be executed on this host", "install it, or give its whole path"
    return None


def _python(look: Look) -> Finding:
    missing = _program(look)
    if missing:
        return missing
    script = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        done = subprocess.run([look.value, "-c", script], capture_output=True, text=True, timeout=30, env=environment(), check=False)
    except (OSError, subprocess.SubprocessError):
        done = None
    if done is None or done.returncode != 0:
        return f"{look.value} cannot make a virtual environment", "install its venv module (Debian: python3-venv), or name another one"
    look.facts["python"] = done.stdout.strip()
    return None


def _port(look: Look) -> Finding:
    try:
        port = int(look.value)
    except (TypeError, ValueError):
        port = 0
    if not 1 <= port <= 65535:
        return "it is no port number", "give a number from 1 to 65535"
    record = read_record(look.pid_file) if look.pid_file else None
    holder = process_table.port_holder(port, process_table.members(record) if record else ())
    look.facts["port"] = holder
    if holder == "foreign":
        return f"port {port} is held by another process on this host", "stop that process, or choose another port"
    return None


def _file(look: Look) -> Finding:
    if not os.path.isfile(look.value) or not os.access(look.value, os.R_OK):
        return f"{look.value} is no readable file on this host", "correct the path, or give the user read permission"
    size = os.path.getsize(look.value)
    look.facts.update(files=1, bytes=size, room=size)
    return None


def _backup(look: Look) -> Finding:
    """``value`` is ``DIRECTORY/NAME``: the newest complete copy of that name must have every byte of its manifest."""
    directory, name = os.path.split(look.value)
    copies = [path for path in glob.glob(os.path.join(glob.escape(directory), glob.escape(name) + "_*")) if _is_complete(path)]
    if not copies:
        return f"there is no complete backup {name} in {directory}", "run the backup again"
    newest = max(copies, key=lambda path: str(_manifest.read_manifest(path).get("created")))
    entries = [entry for entry in _manifest.read_manifest(newest)["files"] if "sha256" in entry]
    damaged = _manifest.damaged_files(newest, entries)
    look.facts.update(path=newest, files=len(entries))
    return (f"{len(damaged)} files of {newest} are not those of its manifest", "run the backup again") if damaged else None


def _bucket(look: Look) -> Finding:
    """``value`` is ``{remote, config}``: rclone can list it. Whether it may be written to is only known when it is."""
    try:
        (place,) = Bucket.from_options([look.value])
        place.names()
    except MigrationError as error:
        reason = error.message.removeprefix("buckets: ").removeprefix(f"{look.value['remote']} cannot be listed: ")
        return (f"the place {look.value['remote']} cannot be used: {reason}",
                "correct it or its configuration of rclone, or name another place")
    return None


def _is_complete(path: str) -> bool:
    return os.path.isfile(os.path.join(path, _manifest.NAME))


def _recipients(look: Look) -> Finding:
    """The first thing wrong with those for whom something is to be encrypted: age itself is tried."""
    found = problems(Seal(tuple(look.recipients)), None)
    return found[0][1:] if found else None


CHECKS: dict[str, Callable[[Look], Finding]] = {
    "path": lambda look: path_problem(look.value),
    "name": lambda look: name_problem(look.value) or _taken(look),
    "writable": _writable,
    "vacant": _vacant,
    "replaceable": _replaceable,
    "readable": _readable,
    "output": _output,
    "program": _program,
    "python": _python,
    "port": _port,
    "systemd": runtime_looks.systemd,
    "file": _file,
    "image": runtime_looks.image,
    "podman": runtime_looks.podman_engine,
    "compose": runtime_looks.compose_engine,
    "backup": _backup,
    "bucket": _bucket,
    "recipients": _recipients,
}
