# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Journal and locks on disk: what is durable when, and who may write at the same time.

``<state_dir>/<migration_id>/`` holds ``journal.jsonl``, ``head`` and set-aside torn lines (``torn-…``);
``<state_dir>/.locks/`` holds one file per migration and per source or target identity. Directories are 0700, files
0600. Writers exclude each other by ``flock`` on the directory, which the kernel releases however they die.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import (
    fsync_directory,
    private_directory,
    publish,
    publish_json,
    read_json,
)
from ansible_collections.dihya.migration.plugins.module_utils._journal import chain
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import RUN
from ansible_collections.dihya.migration.plugins.module_utils._manifest import utc_now

Draft = dict  # an event without seq, prev_hash and hash


@contextlib.contextmanager
def exclusive(directory: str, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold ``directory`` (created when missing) against every other writer; waits for its turn."""
    private_directory(os.path.dirname(directory))  # makedirs gives missing parents the umask's mode
    private_directory(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


class Journal:
    """The journal of one migration."""

    def __init__(self, state_dir: str, migration_id: str) -> None:
        self.directory = os.path.join(state_dir, migration_id)
        self.migration_id = migration_id
        self._path = os.path.join(self.directory, "journal.jsonl")
        self._head = os.path.join(self.directory, "head")

    def read(self) -> chain.Reading:
        """Everything that is on disk, checked. Head first: a writer that is faster only makes lines beyond it."""
        head: Any = None
        try:
            head = read_json(self._head)
        except FileNotFoundError:
            pass
        except ValueError:
            head = {}
        try:
            with open(self._path, "rb") as stream:
                data = stream.read()
        except FileNotFoundError:
            data = b""
        return chain.read(data, head if head is None or isinstance(head, dict) else {})

    def read_shared(self) -> chain.Reading:
        """As :meth:`read`, while nobody writes."""
        if not os.path.isdir(self.directory):
            return chain.Reading()
        with exclusive(self.directory, fcntl.LOCK_SH):
            return self.read()

    def read_intact(self) -> chain.Reading:
        """As :meth:`read`; raises :class:`MigrationError` when the journal was changed: nothing is built on it."""
        reading = self.read()
        if reading.problem:
            raise MigrationError(
                f"the journal {self._path} was changed outside of a run: {reading.problem}; keep it and find out who did this",
                chain=reading.verdict(),
            )
        return reading

    def append(self, drafts: Iterable[Draft], run: dict[str, Any]) -> list[dict[str, Any]]:
        """Write ``drafts`` durably, after a ``torn_write`` event for each torn line set aside; returns all written events.

        ``run`` gives ``run_id``, ``attempt`` and ``host`` of the torn_write events. The caller holds :func:`exclusive`
        on ``directory``.
        """
        reading = self.read_intact()
        if reading.torn:
            self._set_aside(reading.torn)
        events = chain.seal([*self._torn_drafts(reading.events, run), *drafts], reading.head)
        if events:
            self._write(chain.encode(events), reading.head)
            publish_json(self._head, {"seq": events[-1]["seq"], "hash": events[-1]["hash"]})
        return events

    def draft(self, run: dict[str, Any], stack: str, verb: str, status: str, facts: dict[str, Any], **more: Any) -> Draft:
        """An event of now; ``run`` gives ``run_id``, ``attempt`` and ``host``, all of which ``more`` may replace."""
        what = {"stack": stack, "verb": verb, "status": status, "facts": facts}
        own = {key: run[key] for key in ("run_id", "attempt", "host")}
        return {"time": utc_now(), "migration_id": self.migration_id, **what, **own, **more}

    def _write(self, data: bytes, head: dict[str, Any]) -> None:
        if not os.path.exists(self._head):
            publish_json(self._head, head)  # before the first line: lines without a head are tampering
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                written = 0
                while written < len(data):
                    written += os.write(descriptor, data[written:])
                os.fsync(descriptor)
            except OSError as error:
                os.ftruncate(descriptor, size)
                raise MigrationError(f"the journal {self._path} cannot be written: {error.strerror}") from None
        finally:
            os.close(descriptor)
        if size == 0:
            fsync_directory(self.directory)

    def _set_aside(self, torn: bytes) -> None:
        """Move an unterminated last line to a file of its own; a repetition after a crash does the same again."""
        name = f"torn-{hashlib.sha256(torn).hexdigest()}"
        publish(os.path.join(self.directory, name), torn)
        size = os.path.getsize(self._path)
        os.truncate(self._path, size - len(torn))
        with open(self._path, "rb") as stream:
            os.fsync(stream.fileno())

    def _torn_drafts(self, events: list[dict[str, Any]], run: dict[str, Any]) -> list[Draft]:
        """One draft per set-aside line that no event mentions yet, so that a crash after setting aside loses nothing."""
        known = {event["facts"]["digests"]["line"] for event in events if (event["stack"], event["verb"]) == (RUN, "torn_write")}
        drafts = []
        for name in sorted(entry for entry in os.listdir(self.directory) if entry.startswith("torn-")):
            path, digest = os.path.join(self.directory, name), name[len("torn-"):]
            if digest not in known:
                facts = {
                    "summary": "A writer died while it wrote its last line; the line was set aside, it had not been committed",
                    "counts": {"bytes": os.path.getsize(path)}, "digests": {"line": digest},
                    "proofs": [{"kind": "torn_write", "path": path, "sha256": digest}],
                }
                drafts.append(self.draft(run, RUN, "torn_write", "ok", facts))
        return drafts


class Locks:
    """The lock files of a state directory."""

    def __init__(self, state_dir: str) -> None:
        self.directory = os.path.join(state_dir, ".locks")

    def read(self, name: str) -> dict[str, Any] | None:
        """The holder in lock file ``name``; None when nobody holds it. A malformed file is held by somebody unknown."""
        try:
            holder = read_json(os.path.join(self.directory, name))
        except FileNotFoundError:
            return None
        except ValueError:
            holder = {}
        return holder if isinstance(holder, dict) else {}

    def write(self, names: Iterable[str], holder: dict[str, Any]) -> None:
        """Make ``holder`` the holder of ``names``. The caller holds :func:`exclusive` on ``directory``."""
        for name in names:
            publish_json(os.path.join(self.directory, name), holder)

    def release(self, run_id: str) -> None:
        """Remove every lock file of ``run_id``, no other. The caller holds :func:`exclusive` on ``directory``."""
        for name in os.listdir(self.directory):
            if name.endswith(".json") and (self.read(name) or {}).get("run_id") == run_id:
                os.unlink(os.path.join(self.directory, name))
        fsync_directory(self.directory)
