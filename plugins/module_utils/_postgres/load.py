# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fill the new databases of a restore: pg_restore for each, tablespaces, owners from the capture, statistics."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from ansible_collections.dihya.migration.plugins.module_utils._age import opening
from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool
from ansible_collections.dihya.migration.plugins.module_utils._files import publish
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import left_members
from ansible_collections.dihya.migration.plugins.module_utils._postgres.archive import listed, without
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import plan_workers
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import connect, database_argument, libpq_environment
from ansible_collections.dihya.migration.plugins.module_utils._postgres.load_settings import SILENT
from ansible_collections.dihya.migration.plugins.module_utils._postgres.meters import Filled, Log, RestoreMeter
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import moves
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_plan import RestorePlan
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import Backup, RestoreRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_roles import execute
from ansible_collections.dihya.migration.plugins.module_utils._postgres.settle import settle
from ansible_collections.dihya.migration.plugins.module_utils._postgres.statistics import analyze
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import Work, run_all
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress

EMPTY, REST = ("--section=pre-data",), ("--section=data", "--section=post-data")


@dataclass(frozen=True)
class Load:
    """The databases of ``plan``, each of which is empty under its name in ``working``; the login may be no ``superuser``."""

    request: RestoreRequest
    backup: Backup
    plan: RestorePlan
    working: dict[str, str]
    superuser: bool

    def run(self, progress: Progress) -> None:
        """Fill them all; raises :class:`MigrationError` at the first error."""
        request = self.request
        ordered = plan_workers({one.source: one.bytes for one in self.plan.databases}, request.jobs)
        moved = {name: moves(self.backup.placed(name), request.tablespaces) for name, _workers in ordered}
        numbered = list(enumerate(ordered, 1))
        try:
            self._fill(numbered, moved, progress)
        finally:
            for number, _one in numbered:
                for label in (f"{number}.tables", str(number)):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self._list(label))
        version = self.backup.manifest["capture"]["server_version"]
        for name in self.working if request.settles(self.backup) else ():
            settle(request.target, self.working[name], self.backup.captured[name], version, request.application_name)
        progress.begin("statistics", len(numbered), "databases")
        for name, _workers in ordered:
            analyze(request.target, self.working[name], f"statistics of database {name}", request.jobs, request.application_name)
            progress.advance(1)

    def _fill(self, numbered: list[tuple[int, tuple[str, int]]], moved: dict[str, tuple[list[str], list[str]]], progress: Progress) -> None:
        request = self.request
        # Tables are moved while they are empty.
        empty = [self._work(f"{number}.tables", name, workers, EMPTY) for number, (name, workers) in numbered if moved[name][0]]
        full = [self._work(str(number), name, workers, REST if moved[name][0] else ()) for number, (name, workers) in numbered]
        meter = RestoreMeter([self._filled(work, name) for work, (_number, (name, _workers)) in zip(full, numbered)], progress)
        progress.begin("restore", meter.total, "bytes")
        run_all(empty, request.jobs)
        for name, (tables, _indexes) in moved.items():
            self._move(name, tables)
        run_all(full, request.jobs, meter.look)
        for name, (_tables, indexes) in moved.items():
            self._move(name, indexes)

    def _work(self, label: str, name: str, workers: int, sections: tuple[str, ...]) -> Work:
        """The pg_restore that fills the database ``name``, whole or by ``sections``; ``label`` tells its files from those of others."""
        request, settled = self.request, self.request.settles(self.backup)
        environment = libpq_environment(request.target, request.application_name)
        if self.superuser:
            # An unknown one would refuse the login.
            environment["PGOPTIONS"] = " ".join(f"-c {setting}={value}" for setting, value in SILENT.items())
        path = os.path.join(self.backup.directory, next(one.directory for one in self.plan.databases if one.source == name))
        bare = ["--no-owner", "--no-privileges"] if request.roles == "skip" or settled else []
        argv = [find_tool("pg_restore", request.bin_dir), "--exit-on-error", "--verbose", "--no-password", "--no-tablespaces", *bare,
                *self._chosen(name, path, label), *sections, f"--dbname={database_argument(self.working[name])}"]
        if settled and self.backup.change.limits.plain:  # what it makes is the database owner's, until it is given to others
            argv.append(f"--role={self.backup.captured[name]['owner']}")
        log = request.log(f"pg_restore.{label}")
        if self.backup.manifest.get("encryption"):  # a stream: neither parallel nor kept, and its log holds no value of a row
            return Work(opening(path, str(request.identity)), environment, log, f"database {name}", then=argv, harmless=True)
        return Work([*argv, f"--jobs={workers}", path], environment, log, f"database {name}", workers)

    def _filled(self, work: Work, name: str) -> Filled:
        """What tells how far ``work`` is."""
        planned = next(one for one in self.plan.databases if one.source == name)
        manifest = self.backup.manifest
        files = sum(entry["size"] for entry in manifest["files"] if (entry["path"] + "/").startswith(planned.directory + "/"))
        return Filled(Log(work.log), work.workers, files, planned.bytes,
                      sum(table["index_bytes"] for table in manifest["tables"][name].values()), manifest["databases"][name].get("indexes"))

    def _chosen(self, name: str, archive: str, label: str) -> list[str]:
        """The option that leaves out what is not to be restored, with its list in a 0600 file beside the logs that is removed after use."""
        request = self.request
        if not request.leave_out:
            return []
        path = self._list(label)
        listing = listed(archive, bool(self.backup.manifest.get("encryption")), request.identity, request.bin_dir)
        publish(path, without(listing, request.leave_out, left_members(self.backup.captured[name], request.leave_out)).encode())
        return [f"--use-list={path}"]

    def _list(self, label: str) -> str:
        return os.path.splitext(self.request.log(f"entries.{label}"))[0]

    def _move(self, name: str, statements: list[str]) -> None:
        """Move relations to their tablespaces."""
        if statements:
            with contextlib.closing(connect(self.request.target, self.working[name], self.request.application_name)) as connection:
                execute(connection, statements, f"tablespaces of database {name}")
