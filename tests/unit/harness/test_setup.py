# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where set-up or demo cannot go on, one sentence says exactly what is missing and what to do, and the exit status is not 0."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import subprocess
import sys
import venv
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from demo import caddy, run, sites

ROOT = pathlib.Path(__file__).parents[3]
Say = Callable[[], str]


@pytest.fixture(name="setup")
def fixture_setup(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """dev/setup.py, which is a program and not a module, with all that it writes below the test's directory."""
    monkeypatch.syspath_prepend(str(ROOT / "dev"))
    sys.modules.pop("setup", None)
    import setup
    for name in ("VENV", "TOOLS"):
        monkeypatch.setattr(setup, name, tmp_path / name.lower())
    monkeypatch.setattr(setup, "NEEDED_MB", 0)
    yield setup
    del sys.modules["setup"]


@pytest.fixture(name="refused")
def fixture_refused(setup: Any, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs the set-up, which must not go on, and returns the sentence."""
    def told() -> str:
        assert setup.main([]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("setup: cannot go on: ")
        return line
    return told


def stand_in(setup: Any, monkeypatch: pytest.MonkeyPatch, program: str, says: str) -> None:
    """Instead of all commands: ``program`` fails with ``says`` in the log, the others succeed and do nothing."""
    def instead(argv: list[str], stdout: Any = None, **_options: Any) -> subprocess.CompletedProcess[str]:
        fails = hasattr(stdout, "write") and any(word.endswith(program) for word in argv[1:3])
        if fails:
            stdout.write(says.encode())
        return subprocess.CompletedProcess(argv, int(fails), "", "")
    instead_of(setup, monkeypatch, instead)


def instead_of(setup: Any, monkeypatch: pytest.MonkeyPatch, function: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """``function`` for subprocess.run, in these two programs and nowhere else."""
    ours = SimpleNamespace(**{**vars(subprocess), "run": function})
    monkeypatch.setattr(setup, "subprocess", ours)
    monkeypatch.setitem(setup.install.__globals__, "subprocess", ours)


def test_no_venv_module(refused: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "venv", None)
    assert "this Python has no venv module. Install it (Debian, Ubuntu: sudo apt-get install python3-venv)" in refused()


def test_neither_ensurepip_nor_pip(setup: Any, refused: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    instead_of(setup, monkeypatch, lambda argv, **_options: subprocess.CompletedProcess(argv, 1))
    assert "neither ensurepip nor pip. Install one (Debian, Ubuntu: sudo apt-get install python3-venv)" in refused()
    assert not setup.VENV.exists()


def test_a_python_that_is_too_old(setup: Any, refused: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(**{**vars(sys), "version_info": (3, 9, 2), "version": "3.9.2 (default)"})
    monkeypatch.setattr(setup, "sys", old)
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    said = refused()
    assert "Python 3.11 or newer is needed" in said and "is 3.9.2" in said and "make PYTHON=/path/to/python3.12" in said
    begun: list[list[str]] = []
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "python3.12" else None)
    monkeypatch.setattr(setup.os, "execv", lambda program, argv: begun.append([program, *argv]))
    with pytest.raises(setup.Missing):  # a real execv does not come back
        setup.use_new_enough_python()
    assert begun[0][:2] == ["/usr/bin/python3.12", "/usr/bin/python3.12"]


def test_too_little_room_before_anything_is_made(setup: Any, refused: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "NEEDED_MB", 1500)
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda path: SimpleNamespace(free=90 << 20))
    assert f"1500 MB are needed under {ROOT}, 90 MB are free. Free some space." in refused()
    assert not setup.TOOLS.exists()


@pytest.mark.parametrize(("number", "words"), [
    (errno.ENOSPC, "the disk is full. Free some space"), (errno.EROFS, "cannot be written. Make it this user's own"),
])
def test_a_disk_that_is_full_or_not_ours_under_way(refused: Say, monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def create(directory: str, **_options: Any) -> None:
        raise OSError(number, os.strerror(number), directory)
    monkeypatch.setattr(venv, "create", create)
    assert words in refused()


# What pip 25 and npm 11 say.
NO_NETWORK = ("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(Failed to establish a new connection: "
              "[Errno -3] Temporary failure in name resolution')\nERROR: No matching distribution found for ansible-core==2.19.14\n")
NPM_OFFLINE = "npm error code EAI_AGAIN\nnpm error request to https://registry.npmjs.org/vite failed, reason: getaddrinfo EAI_AGAIN\n"
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(("program", "says", "words"), [
    ("pip", NO_NETWORK, "there is no network, or no way to the package registry. Connect, or configure your proxy or mirror"),
    ("pip", "ProxyError('Cannot connect to proxy.')", "configure your proxy"),
    ("pip", FULL, "the disk is full. Free some space"),
    ("pip", "ERROR: No matching distribution found for x==1\n", "no build for this Python or machine"),
    ("pip", "[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
    ("ensurepip", FULL, "the disk is full. Free some space"),
    ("npm", NPM_OFFLINE, "there is no network"),
    ("npm", "npm error code ENOSPC\n", "the disk is full. Free some space"),
])
def test_a_command_that_fails_says_why_and_where_its_output_is(setup: Any, refused: Say, monkeypatch: pytest.MonkeyPatch, program: str,
                                                              says: str, words: str) -> None:
    monkeypatch.setattr(setup, "keep_compiled", lambda python: None)
    stand_in(setup, monkeypatch, program, says)
    said = refused()
    assert f"{program} failed: " in said and words in said and str(setup.TOOLS / "setup.log") in said
    assert not list(setup.VENV.glob("stamp-frontend")) and not (setup.TOOLS / "stamp-frontend").exists()


def test_a_step_is_done_again_only_when_what_it_reads_changed_or_it_failed(setup: Any, tmp_path: pathlib.Path,
                                                                            capsys: pytest.CaptureFixture[str]) -> None:
    stamp, done = tmp_path / "stamp", []

    def fail() -> None:
        raise setup.Missing("no luck")

    for wanted in ("first", "first", "second"):
        setup.step("a step", stamp, wanted, lambda: done.append(len(done)))
    assert done == [0, 1]
    assert re.sub(r"\d+ s", "n s", capsys.readouterr().out).splitlines() == [
        "setup: a step", "setup: a step: done in n s", "setup: a step: ready", "setup: a step", "setup: a step: done in n s"]
    with pytest.raises(setup.Missing):
        setup.step("a step", stamp, "third", fail)
    setup.step("a step", stamp, "second", lambda: done.append(len(done)))
    assert done == [0, 1, 2]  # what failed half-way may have broken what was there


def test_a_second_set_up_does_nothing_and_says_that_all_is_ready(setup: Any, monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    written: list[list[str]] = []

    def instead(argv: list[str], stdout: Any = None, **_options: Any) -> subprocess.CompletedProcess[str]:
        if hasattr(stdout, "write"):
            written.append(argv)
        return subprocess.CompletedProcess(argv, 0, str(setup.TOOLS) if "sysconfig" in argv[-1] else "", "")
    instead_of(setup, monkeypatch, instead)
    assert setup.main(["test"]) == 0
    first, commands = capsys.readouterr().out, len(written)
    assert commands >= 3 and first.count(": done in ") == 4
    assert setup.main(["test"]) == 0
    assert len(written) == commands
    assert [line for line in capsys.readouterr().out.splitlines() if not line.endswith(": ready")] == []


def test_a_port_that_is_taken_and_a_disk_too_small_are_told_together(monkeypatch: pytest.MonkeyPatch,
                                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(caddy, "listens", lambda port: port == sites.PORTS["old page"])
    monkeypatch.setattr(sites.shutil, "disk_usage", lambda path: SimpleNamespace(free=7 << 20))
    monkeypatch.setattr(sites, "start", sites.check_room)
    assert run.main(["success"]) == 2
    said = capsys.readouterr().err
    assert f"port {sites.PORTS['old page']} (old page) is taken; " in said
    assert " MB are needed under " in said and ", 7 MB are free. " in said
    assert f"choose other ports: DEMO_PORT_BASE={sites.FIRST_PORT + 100} make demo. Free some space\n" in said


def test_a_disk_that_fills_while_the_demo_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def start() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/demo/state")
    monkeypatch.setattr(sites, "start", start)
    assert run.main(["success"]) == 2
    assert "No space left on device: '/demo/state'. Free some space, and make demo starts over\n" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["http", "80", "65530"])
def test_a_base_that_is_no_port(given: str) -> None:
    done = subprocess.run([sys.executable, "demo/run.py", "success"], cwd=ROOT, env={**os.environ, "DEMO_PORT_BASE": given}, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    remedy = "is no port with six more behind it. Give a number from 1024 to 65529\n"
    assert done.returncode != 0 and done.stderr == f"demo: cannot go on: DEMO_PORT_BASE={given} {remedy}"
