# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``pull``: the receiving host fetches one tree over SSH. What is sent is decided by the forced command of the key, not here."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from ansible_collections.dihya.migration.plugins.module_utils._command import environment, find_tool, kill_group
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._transport.receive import Received, receive
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import Entry, first_names

# What ssh says on its own behalf (C locale), and what that means to the reader.
SSH_SAYS = (
    (b"Host key verification failed", "its host key is not the pinned one"),
    (b"Permission denied", "it does not accept the key of this run"),
    (b"Connection refused", "nothing listens there"),
    (b"timed out", "it does not answer"),
    (b"Could not resolve", "its name is unknown"),
    (b"No route to host", "there is no route to it"),
)
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

    def argv(self) -> list[str]:
        """The ssh command: only this key, only the pinned host key, no configuration of the user's, no question ever."""
        options = {
            "IdentitiesOnly": "yes", "IdentityAgent": "none", "BatchMode": "yes", "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts, "GlobalKnownHostsFile": "/dev/null", "UpdateHostKeys": "no", "ConnectTimeout": "20",
            "ServerAliveInterval": "15", "ServerAliveCountMax": "4", "ForwardAgent": "no", "ClearAllForwardings": "yes", "RequestTTY": "no",
        }
        settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        place = ["-i", self.identity, "-p", str(self.port), "-l", self.user, "--", self.host]
        return [find_tool("ssh"), "-F", "/dev/null", *settings, *place, "tree"]


def pull_tree(host: PullHost, target: bytes, exclude: Sequence[str], progress: Progress,
              owner: tuple[int, int] | None = None, meanwhile: Callable[[list[Entry]], None] = lambda entries: None) -> list[Entry]:
    """Receive the tree that ``host`` sends into ``target`` (its parent exists), prove it on the disk, return its entries.

    Raises :class:`MigrationError` when the host cannot be reached, the stream is cut or hostile, or the tree changed while it was sent.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # pylint: disable=consider-using-with  # its group is killed in finally
            host.argv(), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        try:
            if process.stdout is None:
                raise AssertionError("process.stdout is set before")
            progress.begin("receive")
            try:
                received = receive(process.stdout, target, exclude, progress, owner, host.outside_links)
            except EOFError:
                raise _broken(host, process.wait(timeout=30), errors) from None
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise MigrationError(f"{host.host} did not end its stream") from None
        finally:
            kill_group(process)
            if process.stdout is not None:
                process.stdout.close()
        if status != 0:
            raise _broken(host, status, errors)
    _require_quiet(host, received)
    copying.finish(target, received.entries, owner)
    copying.sync(target)
    copying.prove(target, received.entries, progress, lambda: meanwhile(received.entries))
    return received.entries


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
    reasons = {0: "its stream ended early", 1: "the source changed while it was sent", 2: "it could not read all of the tree",
               3: "the tree is missing there", 127: "a program is missing there (GNU tar, find)"}
    return MigrationError(f"{host.host} did not send a whole tree: {reasons.get(status, f'its command ended with status {status}')}")
