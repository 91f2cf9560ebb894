# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``pull``: the receiving host fetches one tree over SSH. What is sent is decided by the forced command of the key, not here."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from ansible_collections.dihya.migration.plugins.module_utils._command import environment, find_tool, kill_group
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._transport.receive import Received, receive, safe_path
from ansible_collections.dihya.migration.plugins.module_utils._tree import content, copying
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import ROOT, Entry, first_names
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import excluder, hidden
from ansible_collections.dihya.migration.plugins.module_utils._tree.sealing import Sealing

# What ssh says on its own behalf (C locale), and what that means to the reader.
SSH_SAYS = (
    (b"Host key verification failed", "its host key is not the pinned one"),
    (b"Permission denied", "it does not accept the key of this run"),
    (b"Connection refused", "nothing listens there"),
    (b"timed out", "it does not answer"),
    (b"Could not resolve", "its name is unknown"),
    (b"No route to host", "there is no route to it"),
)
CHANGED = 1
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}\Z")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")


@dataclass(frozen=True)
class PullHost:
    """Where to pull from: ``identity`` and ``known_hosts`` are paths of files on this host."""

    host: str
    user: str
    identity: str
    known_hosts: str
    port: int = 22
    outside_links: bool = False

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> PullHost:
        """Check the module's option and return it; raises :class:`MigrationError` naming every wrong part."""
        host = cls(options.get("host") or "", options.get("user") or "", options.get("identity") or "", options.get("known_hosts") or "",
                   options.get("port") or 22, bool(options.get("outside_links")))
        wrong = [name for name, form in (("host", HOST), ("user", USER)) if not form.match(getattr(host, name))]
        wrong += [name for name in ("identity", "known_hosts") if not os.path.isfile(getattr(host, name))]
        if not 0 < host.port < 65536:
            wrong.append("port")
        if wrong:
            raise MigrationError(f"source_host: {', '.join(wrong)} missing, malformed, or not a file on this host", subject="source_host")
        return host

    def argv(self, asked: str = "tree") -> list[str]:
        """The ssh command that asks for the ``tree``, the ``list`` or the ``rest``.

        Only this key, only the pinned host key, no configuration of the user's, no question ever.
        """
        options = {
            "IdentitiesOnly": "yes", "IdentityAgent": "none", "BatchMode": "yes", "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts, "GlobalKnownHostsFile": "/dev/null", "UpdateHostKeys": "no", "ConnectTimeout": "20",
            "ServerAliveInterval": "15", "ServerAliveCountMax": "4", "ForwardAgent": "no", "ClearAllForwardings": "yes", "RequestTTY": "no",
        }
        settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        place = ["-i", self.identity, "-p", str(self.port), "-l", self.user, "--", self.host]
        return [find_tool("ssh"), "-F", "/dev/null", *settings, *place, asked]


def pull_tree(host: PullHost, target: bytes, exclude: Sequence[str], progress: Progress,
              owner: tuple[int, int] | None = None, meanwhile: Callable[[list[Entry]], None] = lambda entries: None,
              base: copying.Base | None = None, left_out: list[bytes] | None = None, sealing: Sealing | None = None) -> list[Entry]:
    """Receive the tree that ``host`` sends into ``target`` (its parent exists), prove it on the disk, return its entries.

    With ``base``, an earlier copy, only what is not in it travels: the sender says the digest of every file it has now.
    What ``sealing`` covers is stored encrypted, and never taken from ``base``.
    With ``left_out`` files that change meanwhile are no reason to fail: they are left out and added to it.
    Raises :class:`MigrationError` when the host cannot be reached, the stream is cut or hostile, or the tree changed while it was sent.
    """
    since, same = _ask_for_list(host, base, [*exclude, *(sealing.patterns if sealing else ())]) if base is not None else ("", [])
    asked = f"rest {since}" if base is not None else "tree"
    progress.begin("receive")
    with _asking(host, asked, b"".join(b"./" + entry.path + b"\0" for entry in same), left_out is not None) as stream:
        if base is None:
            copying.require_bytes(os.path.dirname(target), parse_size(stream.readline(64)))
        received = receive(stream, target, exclude, progress, owner, host.outside_links, sealing)
    if left_out is not None:
        left_out += copying.leave_out(target, received.entries, received.moved)
        received.moved = []
    _require_quiet(host, received)
    if base is not None:
        _take_from(base, same, received, target)
    copying.finish(target, received.entries, owner)
    if sealing is not None:
        sealing.store(target, received.entries)
    copying.sync(target)
    copying.prove(target, received.entries, progress, lambda: meanwhile(received.entries), owner)
    return received.entries


@contextlib.contextmanager
def _asking(host: PullHost, asked: str, said: bytes = b"", tolerant: bool = False) -> Iterator[IO[bytes]]:
    """What ``host`` answers when it is asked, having been told ``said``; raises unless it ends well and is read to its end.

    ``tolerant`` of a tree that changes while it is sent: the stream itself names what did.
    """
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as told:
        told.write(said)
        told.seek(0)
        process = subprocess.Popen(  # its group is killed in finally
            host.argv(asked), env=environment(), stdin=told, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        try:
            if process.stdout is None:
                raise AssertionError("process.stdout is set before")
            try:
                yield process.stdout
            except EOFError:
                raise _broken(host, process.wait(timeout=30), errors) from None
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise MigrationError(f"{host.host} did not end its stream") from None
        finally:
            kill_group(process)
            if process.stdout is not None:
                process.stdout.close()
        if status not in ((0, CHANGED) if tolerant else (0,)):
            raise _broken(host, status, errors)


def parse_size(line: bytes) -> int:
    """How many bytes the sender says that its archive takes. ``EOFError`` when it says nothing."""
    found = re.fullmatch(rb"dihya-size ([0-9]{1,18})\n", line)
    if found is None:
        raise EOFError
    return int(found[1])


def _ask_for_list(host: PullHost, base: copying.Base, exclude: Sequence[str]) -> tuple[str, list[Entry]]:
    """The moment of the sender's list, and the entries of ``base`` whose files are the same there now, by attributes and digest."""
    excluded = excluder(exclude)
    with _asking(host, "list") as stream:
        since, attributes, digests = parse_list(stream.read())
    same = [entry for entry in base.entries.values() if entry.is_file and entry.link_of is None
            and attributes.get(entry.path) == (entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns)
            and digests.get(entry.path) == entry.sha256 and not hidden(entry.path, excluded)]
    return since, same


_Attributes = dict[bytes, tuple[int, int, int, int, int]]


def parse_list(data: bytes) -> tuple[str, _Attributes, dict[bytes, str]]:
    """The sender's list: its moment, mode, uid, gid, size and time of each file, and their digests. ``EOFError`` when it is not whole."""
    head, _mark, tail = data.partition(b"\0dihya-digests\0")
    first, *rows = head.split(b"\0")
    since = first.removeprefix(b"dihya-since ").decode("ascii", "replace")
    if not tail.endswith(b"dihya-end\0") or not re.fullmatch(r"\d+\.\d+", since):
        raise EOFError
    attributes: _Attributes = {}
    try:
        for row in rows:
            mode, uid, gid, size, time, name = row.split(b" ", 5)
            moment = int(Decimal(time.decode()) * 1_000_000_000)
            attributes[safe_path(name)] = (int(mode, 8), int(uid), int(gid), int(size), moment)
    except (ValueError, InvalidOperation):
        raise EOFError from None
    digests = {safe_path(name): digest.decode("ascii", "replace") for digest, _space, name in (
        row.partition(b"  ") for row in tail.split(b"\0")[:-2])}
    return since, attributes, digests


def _take_from(base: copying.Base, same: list[Entry], received: Received, target: bytes) -> None:
    """Give the files that did not travel one more name each, below directories that did."""
    there = {entry.path for entry in received.entries}
    for entry in same:
        if entry.path in there or (os.path.dirname(entry.path) or ROOT) not in there:
            raise MigrationError("the stream does not fit the list before it: what was to be left out is there, or its directory is not")
        try:
            os.link(content.place(base.root, entry.path), content.place(target, entry.path), follow_symlinks=False)
        except OSError as error:
            raise content.cannot_write(entry.path, error) from None
    received.entries = sorted([*received.entries, *same], key=lambda entry: entry.path)


def _require_quiet(host: PullHost, received: Received) -> None:
    if received.unsupported:
        raise MigrationError(f"the tree on {host.host} holds what cannot be copied (socket: {first_names(received.unsupported)})")
    if received.moved:
        raise MigrationError(
            f"the source on {host.host} changed while it was copied ({first_names(received.moved)}): stop what writes there, or exclude it")


def _broken(host: PullHost, status: int, errors: IO[bytes]) -> MigrationError:
    """Why there is no whole stream, told by the exit status and by what ssh itself says; the sender's own words are not shown."""
    errors.seek(0)
    said = errors.read(1 << 16)
    if status == 255:
        reason = next((meaning for words, meaning in SSH_SAYS if words in said), "the connection failed or was cut")
        return MigrationError(f"{host.user}@{host.host} port {host.port} cannot be pulled from: {reason}")
    reasons = {0: "its stream ended early", CHANGED: "the source changed while it was sent", 2: "it could not read all of the tree",
               3: "the tree is missing there", 4: "it does not send parts of a tree", 127: "a program is missing there (GNU tar, find)"}
    return MigrationError(f"{host.host} did not send a whole tree: {reasons.get(status, f'its command ended with status {status}')}")
