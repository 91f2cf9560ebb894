# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs of the system: installed where we may, all at once; else named in one sentence, and nothing is tried."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from dev.testing import system
from dev.testing.system import Need

NEEDS = [Need("/nonexistent/sbin/proxy", "proxy-light"), Need("sh"), Need("no-such-program")]


@pytest.fixture(name="ran")
def fixture_ran(monkeypatch):
    """Commands that were run; those whose first word is in ``failing`` fail."""
    ran = SimpleNamespace(commands=[], failing=set())

    def run(argv, **_options):
        ran.commands.append(argv)
        return subprocess.CompletedProcess(argv, int(bool({*argv} & ran.failing)), "E: no such luck\n", "")

    monkeypatch.setattr(system.subprocess, "run", run)
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(system, "QUIETING", {})
    monkeypatch.setattr(system.shutil, "which", lambda name, path=None: f"/bin/{name}" if name in ("sh", "sudo", "apt-get") else None)
    return ran


def test_without_root_and_without_sudo_one_sentence_names_all_that_is_missing(ran, capsys):
    ran.failing.add("sudo")
    system.install(NEEDS)
    assert capsys.readouterr().out == (
        "  system packages missing: no-such-program proxy-light; not installed (needs apt and root or sudo without a password): "
        "what needs them is skipped\n")
    assert ran.commands == [["sudo", "-n", "true"]]  # and no question was asked


def test_with_sudo_all_is_installed_at_once_and_one_by_one_where_that_fails(ran, capsys):
    system.install(NEEDS)
    assert [argv[:2] for argv in ran.commands] == [["sudo", "-n"]] * 3 and ran.commands[-1][-2:] == ["no-such-program", "proxy-light"]
    ran.failing.add("no-such-program")
    system.install(NEEDS)
    assert [argv[-1] for argv in ran.commands[-2:]] == ["no-such-program", "proxy-light"]
    assert "  --no-install-recommends no-such-program: E: no such luck\n" in capsys.readouterr().out


def test_root_needs_no_sudo_and_what_is_there_is_not_asked_for(ran, monkeypatch):
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    system.install(NEEDS[1:2])
    assert ran.commands == []
    system.install(NEEDS)
    assert [argv[:2] for argv in ran.commands] == [["env", "DEBIAN_FRONTEND=noninteractive"]] * 2
