# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""lighthouse leaves nothing behind; that it measures and compares is shown by the role that uses it (test_measured_role.py)."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

import pytest

from tests.support.page_tools import BIN
from tests.support.website import write_site


@pytest.fixture(name="room")
def fixture_room(monkeypatch):
    """Where temporary files go; its path is short, because a browser has a socket in it."""
    with tempfile.TemporaryDirectory(prefix="room-") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield pathlib.Path(directory)


def test_a_run_that_takes_too_long_leaves_neither_browser_nor_directory(room, run_module, tools, chromium, authority, serve, tmp_path):
    late = run_module("lighthouse", url=serve(write_site(tmp_path / "site")), ca=str(authority[0]), chromium=chromium, timeout=1,
                      node=str(BIN / "node"), package=str(tools / "node_modules" / "lighthouse"), dest=str(tmp_path / "scores.json"))
    assert late["failed"] and "did not end within 1 s and was stopped: raise timeout" in late["msg"]
    commands = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            commands.append(path.read_bytes())
    assert not [command for command in commands if str(room).encode() in command]
    assert list(room.iterdir()) == [] and not (tmp_path / "scores.json").exists()
