# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection as users have it: built, installed, started from a directory of theirs with no configuration of ours."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.support.move import ROOT
from tests.support.playbook import Playbook

BIN = pathlib.Path(sys.executable).parent
SHIPPED = ("galaxy.yml", "README.md", "CHANGELOG.md", "LICENSE", "changelogs", "meta", "plugins", "roles", "playbooks")


class User:
    """A user with the installed collection, in a directory of its own."""

    def __init__(self, installed: pathlib.Path, directory: pathlib.Path) -> None:
        self.installed, self.directory = installed, directory
        self.path: pathlib.Path | None = None  # what comes first on PATH
        directory.mkdir(parents=True, exist_ok=True)

    def environment(self) -> Mapping[str, str]:
        """No setting but where the collection is."""
        playbook = Playbook(self.directory.with_name(f"{self.directory.name}-controller"))
        ours = {"ANSIBLE_CONFIG": no_settings(playbook.directory), "ANSIBLE_COLLECTIONS_PATH": str(self.installed)}
        path = {"PATH": f"{self.path}{os.pathsep}{os.environ['PATH']}"} if self.path else {}
        return playbook.environment({**ours, **path})

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a program of Ansible in the user's directory."""
        return subprocess.Popen([str(BIN / command[0]), *command[1:]], cwd=self.directory, env=self.environment(), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, *command: str) -> tuple[int, str]:
        """Exit status and output of a program of Ansible."""
        process = self.start(*command)
        output, _none = process.communicate(timeout=290)
        return process.returncode, output


@pytest.fixture(scope="session", name="installed")
def fixture_installed(tmp_path_factory) -> pathlib.Path:
    """The collection, built from what would be shipped and installed as users do."""
    stage, built, installed = (tmp_path_factory.mktemp(name) for name in ("stage", "built", "installed"))
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SHIPPED], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, stage / name)
    environment = {**os.environ, "ANSIBLE_CONFIG": no_settings(built)}
    galaxy = [str(BIN / "ansible-galaxy"), "collection"]
    for argv in (["build", str(stage), "--output-path", str(built)],
                 ["install", "dihya-migration.tar.gz", "-p", str(installed), "--no-deps", "--offline"]):
        done = subprocess.run([*galaxy, *argv], cwd=built, env=environment, text=True, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout[-2000:]
        for path in built.glob("dihya-migration-*.tar.gz"):
            path.rename(built / "dihya-migration.tar.gz")
    return installed


def no_settings(directory: pathlib.Path) -> str:
    """An empty configuration file in ``directory``."""
    path = directory / "empty.cfg"
    path.touch()
    return str(path)


@pytest.fixture(name="user")
def fixture_user(installed, tmp_path) -> User:
    """A user in an empty directory."""
    return User(installed, tmp_path / "user")
