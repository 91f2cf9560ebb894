# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad input: a clear error that names the variable or host and the remedy, before anything is touched."""

from __future__ import annotations

import re

import pytest

# The run in which the case occurs; what must be named; words of the finding; words of the remedy.
CASES = {
    "id with a slash": ("malformed", "migration_id", "is malformed", "use 1 to 63 characters a-z, 0-9 and -"),
    "unknown strategy": ("malformed", "migration_strategy", "is none of its choices", "choose one of offline"),
    "strategy that a stack does not have": ("malformed", "frontend_strategy", "is none of its choices", "choose one of offline"),
    "colour without the strategy that knows colours": ("malformed", "backend_colour", "has no effect while backend_strategy is offline",
                                                       "remove it, or set backend_strategy to blue_green"),
    "strategy of which the mover is not told": ("malformed", "backend_strategy", "is not the same on the mover and on all target hosts",
                                                "set it once, in group_vars/all"),
    "path that climbs": ("malformed", "migration_backup_dir", "climbs with ..", "give an absolute path without .."),
    "misspelt variable of the migration": ("malformed", "migration_backup_dirs", "is not a variable", "did you mean migration_backup_dir?"),
    "misspelt variable of a stack": ("malformed", "postgresql_databasse", "is not a variable", "did you mean postgresql_databases?"),
    "misspelt key": ("malformed", "postgresql_source.pasword", "is not an option", "did you mean postgresql_source.password?"),
    "port out of range": ("malformed", "postgresql_source.port", "is no port", "give a number from 1 to 65535"),
    "port that is no number": ("malformed", "postgresql_target.port", "is not a valid int", "a value of type int"),
    "window that is no moment": ("malformed", "migration_window.start", "is no moment in time", "write it as 2026-11-28T22:00:00+01:00"),
    "no id": ("missing", "migration_id", "is required and not set", "set migration_id"),
    "no source": ("missing", "postgresql_source", "is required and not set", "set postgresql_source"),
    "no target": ("missing", "postgresql_target", "is required and not set", "set postgresql_target"),
    "no databases": ("missing", "postgresql_databases", "is required and not set", "set postgresql_databases"),
    "no way to freeze": ("missing", "postgresql_freeze", "is required and not set", "set postgresql_freeze"),
    "local state host under AWX": ("awx", "state", "which AWX or Automation Controller throws away", "put a lasting host in"),
    "wrong password of the source": ("one", "postgresql_source", "the password of user postgres was refused", "correct the password"),
    "target that does not answer": ("one", "postgresql_target", "nothing answers there", "start the server, open its port, or"),
    "missing client tool": ("one", "postgresql_bin_dir", "pg_restore", "install PostgreSQL's client tools (pg_restore) on the mover"),
    "unwritable backup directory": ("one", "migration_backup_dir", "cannot be written", "name a directory that the user of the mover may"),
    "expired window": ("one", "checklist: window", "failed: ended at", "set migration_window"),
    "host name of nobody": ("other", "postgresql_source", "nothing answers there", "start the server, open its port, or"),
    "wrong password of the target": ("other", "postgresql_target", "the password of user postgres was refused", "correct the password"),
    "window to come": ("other", "checklist: window", "failed: opens only at", "set migration_window"),
    "target database not empty": ("occupied", "postgresql_target", "exists on the target and is not empty", "remove or rename it"),
    "client older than the target": ("occupied", "postgresql_bin_dir", "pg_restore is of version 16, older than the target's 18",
                                     "install the client tools of version 18"),
    "window too short": ("occupied", "checklist: window", "s left, 86", "set migration_window"),
    "too small a disk": ("tiny", "migration_backup_dir", "free, 2 dumps and copies of", "make room, or name a directory"),
    "too small a disk for the restore": ("tiny", "postgresql_target", "free, the restore may take", "make room on the target"),
    "too small a disk for both applications together": ("tiny", "backend_path, frontend_path", "40 MiB are free where 42 MiB are needed",
                                                        "free space, or choose another file system"),
    "one server under two names": ("same", "postgresql_target", "are the same server", "name the new server as the target"),
    "one tree under two names": ("same", "frontend_path", "it is where frontend_source_path of source_host leads, the tree that is left",
                                 "name the new machine in the group target, or give the new site a directory of its own"),
    "release with no build": ("same", "frontend_release_path", "is no build: index.html is missing", "build the release first"),
    "client older than the source": ("old_tools", "postgresql_bin_dir", "pg_dump is of version 15, older than the source's 16",
                                     "install the client tools of version 16"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_named_with_its_remedy_and_nothing_was_touched(refusals, case):
    change, subject, finding, remedy = CASES[case]
    refusal = refusals(change)
    assert refusal.done.rc != 0
    assert "nothing was changed" in refusal.text.lower(), refusal.done.output[-3000:]
    told = rf"{re.escape(subject)}(?: \([^)]*\))?: [^>]*{re.escape(finding)}[^>]*-> [^>]*{re.escape(remedy)}"
    assert re.search(told, refusal.text), refusal.done.output[-3000:]
    assert refusal.touched == []


@pytest.mark.parametrize("change", ["malformed", "one", "other"])
def test_no_value_is_shown_that_could_be_a_secret(refusals, change):
    assert "Zq9" not in refusals(change).text
