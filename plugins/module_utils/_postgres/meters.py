# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far pg_dump and pg_restore are, in bytes: what a table holds counts when it was read, what an index holds when it was built.

Nothing here fails the work that it watches: where neither server nor system tells how far a table is, it counts at its end.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import Running
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

# A COPY tells neither its end nor its size as text. Rows against the planner's count of them are the better measure, where there is one.
UNDER_WAY = """
SELECT pg_stat_clear_snapshot();
SELECT n.nspname || '.' || c.relname, p.tuples_processed / nullif(greatest(c.reltuples, 0), 0), p.bytes_processed
FROM pg_stat_progress_copy p JOIN pg_stat_activity a ON a.pid = p.pid
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.datname = current_database() AND p.command = 'COPY TO'
  AND a.usename = current_user AND a.application_name = current_setting('application_name')
"""
# An error would end the snapshot that is being dumped.
APART = "SAVEPOINT progress;"
BACK = "ROLLBACK TO SAVEPOINT progress; RELEASE SAVEPOINT progress"
TELLS = 140000  # the first version that says how far a COPY is


class Log:
    """What a tool prints, read as it grows."""

    def __init__(self, path: str) -> None:
        self.path, self._read = path, 0

    def more(self) -> str:
        """The lines that were printed since the last call; nothing while there is no file."""
        try:
            with open(self.path, "rb") as stream:
                stream.seek(self._read)
                text = stream.read()
        except FileNotFoundError:
            return ""
        whole = text[:text.rfind(b"\n") + 1]  # the tools print a line in several pieces
        self._read += len(whole)
        return whole.decode("utf-8", "replace")


@dataclass
class Dumped:
    """One database under a pg_dump with ``workers``: its relations (of ``read_relations``), and the session that holds its snapshot."""

    log: Log
    relations: list[dict[str, Any]]
    workers: int
    connection: Any
    begun: list[str] = field(default_factory=list)
    waited: int = 0  # how many of them had begun at the look before


class DumpMeter:
    """Tells, while it is entered, how many bytes of tables were read: whole tables, and of those under way what was copied."""

    BEGUN = re.compile(r'dumping contents of table "(.*)"\n')

    def __init__(self, dumps: Iterable[Dumped], progress: Progress) -> None:
        self._dumps = list(dumps)
        # No row of a materialized view is dumped.
        self._sizes = [{_plain(f"{one['schema']}.{one['name']}"): one["bytes"] for one in dump.relations if one["kind"] != "m"}
                       for dump in self._dumps]
        self._progress = progress
        self._over = threading.Event()
        self._teller = threading.Thread(target=self._tell, daemon=True)

    @property
    def total(self) -> int:
        """Bytes of all tables."""
        return sum(sum(sizes.values()) for sizes in self._sizes)

    def __enter__(self) -> None:
        for dump in self._dumps:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(dump.log.path)  # of an earlier dump
        self._teller.start()

    def __exit__(self, *_error: Any) -> None:
        self._over.set()
        self._teller.join()

    def _tell(self) -> None:
        while not self._over.wait(Progress.INTERVAL):
            self._progress.approach(sum(self._read(dump, sizes) for dump, sizes in zip(self._dumps, self._sizes)))

    def _read(self, dump: Dumped, sizes: dict[str, int]) -> int:
        dump.waited = len(dump.begun)
        dump.begun += map(_plain, self.BEGUN.findall(dump.log.more()))
        copied = self._copied(dump) if dump.begun else None
        if copied is None:  # each worker may be at the last one it began
            return sum(sizes.get(name, 0) for name in dump.begun[:-dump.workers])
        # One that has just begun may not be copied yet.
        over = [name for name in dump.begun[:dump.waited] if name not in copied]
        whole = sum(sizes.get(name, 0) for name in over)
        return whole + sum(min(size, int(size * rows) if rows is not None else done)
                           for name, (rows, done) in copied.items() for size in [sizes.get(name, 0)])

    def _copied(self, dump: Dumped) -> dict[str, tuple[float | None, int]] | None:
        """The tables under way: the share of rows that were copied, None where unknown, and bytes; None where nobody tells."""
        if dump.connection is None or dump.connection.server_version < TELLS:
            return None
        error = import_psycopg2().Error
        try:
            with dump.connection.cursor() as cursor:
                try:
                    cursor.execute(APART + UNDER_WAY)
                    return {_plain(name): (rows, done) for name, rows, done in cursor.fetchall()}
                finally:
                    cursor.execute(BACK)
        except error:
            dump.connection = None
            return None


def _plain(name: str) -> str:
    return name.replace('"', "")


@dataclass
class Filled:
    """One database under a pg_restore with ``workers``, whose archive has ``files`` bytes; sizes are those it had on the source.

    ``indexes`` is how many are built, None where that is not known: then they count at the end.
    """

    log: Log
    workers: int
    files: int
    tables: int
    index_bytes: int
    indexes: int | None
    begun: int = 0
    done: int = 0

    def look(self, running: Running) -> None:
        """Take what system and log tell now."""
        self.begun += len(RestoreMeter.BUILT.findall(self.log.more()))
        # Each worker may still be at the last one it began.
        built = max(0, self.begun - self.workers) / self.indexes if self.indexes else 0
        data = min(1.0, bytes_read(running.processes[0].pid) / self.files) if self.files else 0
        self.done = max(self.done, int(self.tables * data) + min(self.index_bytes, int(self.index_bytes * built)))


class RestoreMeter:
    """Adds up how many bytes of tables and of indexes are restored."""

    BUILT = re.compile(r"^pg_restore: creating (?:INDEX|CONSTRAINT) ", re.MULTILINE)

    def __init__(self, filled: Iterable[Filled], progress: Progress) -> None:
        self._filled = {one.log.path: one for one in filled}
        self._begun: set[str] = set()
        self._progress = progress

    @property
    def total(self) -> int:
        """Bytes of all."""
        return sum(one.tables + one.index_bytes for one in self._filled.values())

    def look(self, running: Sequence[Running]) -> None:
        """Take how far those are that run; who ran and does no longer is done."""
        now = {each.work.log: each for each in running}
        self._begun.update(now)
        for log in self._begun:
            one = self._filled[log]
            if log in now:
                one.look(now[log])
            else:
                one.done = one.tables + one.index_bytes
        self._progress.approach(sum(one.done for one in self._filled.values()))


def bytes_read(pid: int) -> int:
    """How much a process and its children, also those that ended, have read of files; 0 where the system does not tell.

    What came over the network is not counted: a tool that restores an archive reads nothing else to speak of.
    """
    return sum(int(words[0]) for one in (pid, *_children(pid)) for words in [_numbers(f"/proc/{one}/io")] if words)


def _children(pid: int) -> Iterator[int]:
    return map(int, _numbers(f"/proc/{pid}/task/{pid}/children"))


def _numbers(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as stream:
            return re.findall(r"\d+", stream.read())
    except OSError:  # it is over, or the kernel keeps no account
        return []
