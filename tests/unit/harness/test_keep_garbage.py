# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible's processes keep their garbage, and no other program does."""

from __future__ import annotations

import gc
import subprocess
import sys

from dev.keep_garbage import SELDOM

TELL = "import gc; print(gc.get_threshold())"


def told(*arguments: str, given: str = "") -> str:
    done = subprocess.run([sys.executable, *arguments], input=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_module_on_standard_input_collects_seldom_and_another_program_as_ever():
    assert told(given=TELL) == str(SELDOM)
    assert told("-c", TELL) == str(gc.get_threshold())


def test_a_worker_that_ansible_forks_does_not_collect_and_its_controller_does(tmp_path):
    program = "import gc, os, sys\nif os.fork() == 0:\n    print('worker', gc.isenabled(), flush=True)\n    os._exit(0)\nos.wait()\n" \
              "print('controller', gc.isenabled(), gc.get_threshold())\n"
    for name, worker, threshold in (("ansible-playbook", False, SELDOM), ("gunicorn", True, gc.get_threshold())):
        (tmp_path / name).write_text(program)
        assert told(str(tmp_path / name)).splitlines() == [f"worker {worker}", f"controller True {threshold}"]
