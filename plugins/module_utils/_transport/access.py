# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``pull_access``: the key on the receiving host, the line on the sending one, and their removal."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import pwd
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_directory, private_directory, publish
from ansible_collections.dihya.migration.plugins.module_utils._transport import authorized
from ansible_collections.dihya.migration.plugins.module_utils._tree import system
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import raw

LEFTOVERS = (".key-", ".publish-", ".authorized_keys-")
KEY, PUBLIC, KNOWN_HOSTS = "id_ed25519", "id_ed25519.pub", "known_hosts"


@dataclass
class Request:
    """What is asked for; the options of the module of the same names."""

    side: str
    state: str
    run_id: str
    migration_id: str | None = None
    dir: str | None = None
    known_hosts: str | None = None
    path: str | None = None
    exclude: list[str] = field(default_factory=list)
    public_key: str | None = None
    user: str | None = None
    authorized_keys: str | None = None
    host: str | None = None
    port: int = 22
    host_key_files: list[str] = field(default_factory=list)
    check_mode: bool = False


def pull_access(request: Request) -> dict[str, Any]:
    """Do what ``request`` says and return the module's result. Raises :class:`MigrationError`."""
    authorized.require_run(request.run_id)
    with system.plain_errors():
        result = _receiver(request) if request.side == "receiver" else _sender(request)
    result["journal"] = {"summary": f"Pull access, {request.side}: {result['msg']}."[:300], "changed": result["changed"]}
    return result


def _receiver(request: Request) -> dict[str, Any]:
    directory = request.dir or ""
    identity, public, known = (os.path.join(directory, name) for name in (KEY, PUBLIC, KNOWN_HOSTS))
    if request.state == "absent":
        there = [path for path in (identity, public, known) if os.path.lexists(path)]
        if not request.check_mode and os.path.isdir(directory):
            _remove_key(directory, there)
        return {"changed": bool(there), "msg": "the key is removed" if there else "there is no key"}
    made = not os.path.exists(identity)
    changed = made or (request.known_hosts is not None and _read(known) != request.known_hosts.encode())
    if not request.check_mode:
        with system.locked(raw(private_directory(directory))):
            system.sweep(directory, LEFTOVERS)
            if made:
                _make_key(directory, request.run_id)
            elif not os.path.exists(public):
                publish(public, run([find_tool("ssh-keygen"), "-y", "-f", identity]).stdout.encode())
            if request.known_hosts is not None and changed:
                publish(known, request.known_hosts.encode())
    key = _read(public).decode("ascii", "replace")
    return {"changed": changed, "msg": "the key is made" if made else "the key is there", "identity": identity, "known_hosts_file": known,
            "public_key": " ".join(key.split()[:2]) or None}


def _make_key(directory: str, run_id: str) -> None:
    """Both halves appear whole, the private one last: it is what says that there is a key."""
    with tempfile.TemporaryDirectory(prefix=".key-", dir=directory) as work:
        fresh = os.path.join(work, KEY)
        run([find_tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", f"dihya/{run_id}", "-f", fresh])
        os.replace(fresh + ".pub", os.path.join(directory, PUBLIC))
        os.replace(fresh, os.path.join(directory, KEY))
    fsync_directory(directory)


def _remove_key(directory: str, paths: Sequence[str]) -> None:
    with system.locked(raw(directory)):
        system.sweep(directory, LEFTOVERS)
        for path in paths:
            os.unlink(path)
        fsync_directory(directory)
        if not os.listdir(directory):
            os.rmdir(directory)


def _sender(request: Request) -> dict[str, Any]:
    account = _account(request.user)
    path = request.authorized_keys or os.path.join(account.pw_dir, ".ssh", "authorized_keys")
    edited: Callable[[bytes], bytes]
    whose: dict[str, Any] = {"run_id": request.run_id, "migration_id": request.migration_id}
    if request.state == "absent":
        edited = functools.partial(authorized.without_lines, public_key=request.public_key, **whose)
        said, told = {True: "the line is removed", False: "there is no line of it"}, {}
    else:
        if not (request.path and request.public_key):
            raise MigrationError("path and public_key are required on the sender", subject="path")
        edited = functools.partial(authorized.with_line, line=_line(request), public_key=request.public_key, **whose)
        said, told = {True: "the line is added", False: "the line is there"}, _host_keys(request)
    before = _read(path)
    changed = edited(before) != before
    linked = [place for place in (os.path.dirname(path), path) if os.path.islink(place)]
    if linked and (changed or request.state == "present"):
        raise MigrationError(f"{linked[0]} is a link: name the real file in authorized_keys", subject="authorized_keys")
    if changed and not request.check_mode:
        # Read again under the lock: another migration may have its line in the same file.
        with system.locked(raw(_own_directory(os.path.dirname(path), account))):
            before = _read(path)
            changed = edited(before) != before
            if changed:
                _rewrite(path, account, edited(before))
    return {"changed": changed, "authorized_keys": path, "msg": said[changed], **told}


def _line(request: Request) -> bytes:
    path = authorized.require_path(request.path or "")
    if not os.path.isdir(path):
        raise MigrationError(f"path {path} is not a directory here", subject="path")
    if "GNU tar" not in run([find_tool("tar"), "--version"]).stdout:
        raise MigrationError("the tar of this host is not GNU tar, which the pull needs")
    find_tool("find")
    return authorized.key_line(path, request.public_key or "", request.run_id, request.exclude, request.migration_id)


def _account(user: str | None) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise MigrationError("user does not exist on this host", subject="user") from None


def _host_keys(request: Request) -> dict[str, Any]:
    """The public keys that the receiving host must see; a host without any cannot be pinned, and so not pulled from."""
    files = request.host_key_files or sorted(glob.glob("/etc/ssh/ssh_host_*_key.pub"))
    keys = [" ".join(line.split()[:2]) for path in files for line in _read(path).decode("ascii", "replace").splitlines() if line.strip()]
    if not keys:
        raise MigrationError("no public host key found: name them in host_key_files", subject="host_key_files")
    pinned = "".join(authorized.known_hosts_line(request.host, request.port, key) for key in keys) if request.host else None
    return {"host_keys": keys, "known_hosts": pinned}


def _own_directory(directory: str, account: pwd.struct_passwd) -> str:
    """``directory``, made as the account's own, private, where it is missing."""
    if not os.path.isdir(directory):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
            os.chown(directory, account.pw_uid, account.pw_gid)
    return directory


def _rewrite(path: str, account: pwd.struct_passwd, after: bytes) -> None:
    """Replace the file in one step with its mode and owner; a new one belongs to the account, private."""
    directory = os.path.dirname(path)
    system.sweep(directory, LEFTOVERS[2:])
    there = os.stat(path) if os.path.exists(path) else None
    descriptor, temporary = tempfile.mkstemp(prefix=".authorized_keys-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchown(stream.fileno(), there.st_uid if there else account.pw_uid, there.st_gid if there else account.pw_gid)
            os.fchmod(stream.fileno(), there.st_mode & 0o7777 if there else 0o600)
            stream.write(after)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    fsync_directory(directory)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""
