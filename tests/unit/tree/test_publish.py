# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that appear whole or not at all, and leave nothing behind when their writer is killed."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from ansible_collections.dihya.migration.plugins.module_utils import _files

KILLED = """
import os, sys
from ansible_collections.dihya.migration.plugins.module_utils import _files
os.replace = lambda *names: os.kill(os.getpid(), 9)
_files.publish(sys.argv[1], b"half")
"""


def test_what_a_killed_publication_left_is_removed_by_the_next_one(tmp_path: pathlib.Path) -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], env=environment, check=False)
    assert done.returncode == -9 and len(os.listdir(tmp_path)) == 1
    _files.publish(str(tmp_path / "b"), b"whole")
    assert os.listdir(tmp_path) == ["b"]


def test_what_may_still_be_written_stays(tmp_path: pathlib.Path) -> None:
    pid = os.getpid()
    living = tmp_path / f".publish-{_files._world()}-{pid}-{_files.start_time(pid)}-x"
    elsewhere, forgotten, foreign = (tmp_path / name for name in (".publish-00000000-1-1-1-x", ".publish-00000000-1-1-1-y", ".publish-x"))
    for path in (living, elsewhere, forgotten, foreign):
        path.touch()
    os.utime(forgotten, (1, 1))
    _files.publish(str(tmp_path / "b"), b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"b", living.name, elsewhere.name, foreign.name}
