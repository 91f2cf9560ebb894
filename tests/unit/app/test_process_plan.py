# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decisions about processes, and reading /proc, without any process."""

from __future__ import annotations

import io
import os
import socket
import subprocess

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app import process_table, restart
from ansible_collections.dihya.migration.plugins.module_utils._app.process import decide, previous_of, read_record
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._processes import parse_stat

MINE = {"name": "new", "pid": 7, "start": 1, "boot": "b", "digest": "d"}
OLD = {"name": "old", "pid": 6, "start": 1, "boot": "b", "digest": "o"}


@pytest.mark.parametrize(("state", "record", "alive", "digest", "action"), [
    ("observed", MINE, True, None, "none"),
    ("started", None, False, "d", "start"),
    ("started", MINE, False, "d", "start"),
    ("started", MINE, True, "d", "none"),
    ("started", MINE, True, "other", "restart"),
    ("started", OLD, True, "d", "restart"),
    ("started", {**MINE, "name": "old"}, True, "d", "restart"),
    ("stopped", None, False, None, "none"),
    ("stopped", MINE, True, None, "stop"),
    ("stopped", MINE, False, None, "stop"),
    ("stopped", {**MINE, "stopped": True}, False, None, "none"),
    ("stopped", OLD, True, None, "none"),
    ("resumed", None, False, None, "none"),
    ("resumed", MINE, True, None, "none"),
    ("resumed", {**MINE, "stopped": True}, False, None, "resume"),
    ("reverted", OLD, True, None, "none"),
    ("reverted", None, False, None, "none"),
    ("reverted", MINE, True, None, "revert"),
    ("reverted", {**MINE, "stopped": True, "previous": OLD}, False, None, "revert"),
])
def test_every_state_has_one_plan_and_another_release_is_left_alone(state, record, alive, digest, action):
    assert decide(state, "new", record, alive, digest).action == action


def test_what_runs_unwatched_is_started_anew():
    plans = {state: decide(state, "new", MINE, True, "d", False).action for state in ("started", "resumed", "observed")}
    assert plans == {"started": "restart", "resumed": "resume", "observed": "none"}


def test_what_watches_a_program_outlives_a_log_that_takes_nothing_more(monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(restart.sys, "stderr", io.TextIOWrapper(full, write_through=True))
        restart.tell("the process ended by itself")
        with pytest.raises(OSError):
            full.write(b"no room")


def test_a_restart_of_the_same_release_keeps_what_ran_before_it():
    assert previous_of("new", {**MINE, "previous": OLD}, True) == OLD
    assert previous_of("new", {**OLD, "previous": {"name": "older"}}, True) == OLD
    assert previous_of("new", OLD, False) is None


def test_a_stat_line_with_blanks_and_parentheses_in_the_program_name_is_read():
    fields = " ".join(str(number) for number in range(4, 53))
    stat = parse_stat(f"42 (a) b (c) S {fields}\n")
    assert (stat.pid, stat.state, stat.session, stat.start) == (42, "S", 6, 22)


def test_only_listening_sockets_of_the_port_count():
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
        "   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n"
        "   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n"
    )
    assert process_table.listening_inodes(table, 8080) == {"111"}


def test_a_port_is_foreign_unless_one_of_ours_has_it_or_hides_what_it_has(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server, subprocess.Popen(["sleep", "60"]) as other:
        port = server.getsockname()[1]
        assert [process_table.port_holder(port, ours) for ours in ([os.getpid()], [other.pid], [])] == ["own", "foreign", "foreign"]

        def hidden(path):  # as a container's processes are for a user of the group docker
            raise PermissionError(path)
        monkeypatch.setattr(process_table.os, "listdir", hidden)
        assert [process_table.port_holder(port, ours) for ours in ([other.pid], [])] == ["own", "foreign"]
        other.kill()


@pytest.mark.parametrize("content", ["1234\n", "[]", '{"pid": 1}', "\x00"])
def test_a_pid_file_of_another_program_is_refused(tmp_path, content):
    path = tmp_path / "app.pid"
    path.write_text(content)
    with pytest.raises(MigrationError, match="no record of this module"):
        read_record(str(path))
