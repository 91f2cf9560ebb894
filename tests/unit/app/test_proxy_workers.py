# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A proxy is found while it writes its pid file anew, as HAProxy does whenever it reloads."""

from __future__ import annotations

import os
import threading

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._processes import parse_stat
from ansible_collections.dihya.migration.plugins.module_utils._proxy import workers


@pytest.mark.parametrize("meanwhile", [None, "", "4194304\n"], ids=["absent", "empty", "a process that ended"])
def test_a_pid_file_that_is_written_anew_is_waited_for(tmp_path, meanwhile):
    path = tmp_path / "pid"
    if meanwhile is not None:
        path.write_text(meanwhile)
    writing = threading.Timer(0.2, path.write_text, [f"{os.getpid()}\n"])
    writing.start()
    assert workers.master(str(path)) == os.getpid()
    writing.join()


@pytest.mark.parametrize("content, why", [("", "names no process"), ("4194304\n", "does not run")])
def test_one_that_stays_so_is_refused(tmp_path, monkeypatch, content, why):
    monkeypatch.setattr(workers, "REWRITTEN", 0.1)
    (tmp_path / "pid").write_text(content)
    with pytest.raises(MigrationError, match=why):
        workers.master(str(tmp_path / "pid"))


def test_a_worker_of_before_is_at_work_whether_it_sleeps_or_not(monkeypatch):
    asleep, awake, new = (parse_stat(f"{pid} (nginx) {state} 1 9 9 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0")
                          for pid, state in ((70, "S"), (70, "R"), (71, "S")))
    monkeypatch.setattr(workers, "children", lambda parent: [awake, new])
    assert workers.leaving("nginx", 1, [asleep]) == workers.leaving("haproxy", 1, [asleep]) == 1
