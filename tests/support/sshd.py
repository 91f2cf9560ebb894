# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A private SSH server on loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.needs import cannot_run


@dataclass
class Sshd:
    """A server of our own: its port, its authorized_keys, its public host key, who to log in as."""

    port: int
    authorized_keys: pathlib.Path
    host_key: pathlib.Path
    user: str

    def alias(self, name: str, directory: pathlib.Path) -> pathlib.Path:
        """A directory for the front of PATH whose ``ssh`` knows ``name``: a stand-in for the ~/.ssh/config of an operator."""
        directory.mkdir()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "key")], check=True)
        with self.authorized_keys.open("a") as stream:
            stream.write((directory / "key.pub").read_text())
        (directory / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {self.host_key.read_text()}")
        (directory / "config").write_text(f"Host {name}\n HostName 127.0.0.1\n Port {self.port}\n User {self.user}\n"
                                          f" IdentityFile {directory}/key\n UserKnownHostsFile {directory}/known_hosts\n")
        (directory / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {directory}/config "$@"\n')
        (directory / "ssh").chmod(0o755)
        return directory


@contextlib.contextmanager
def serve(home: pathlib.Path) -> Iterator[Sshd]:
    """A real sshd on loopback with its own keys and configuration in ``home``, ended afterwards."""
    program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        cannot_run("NOT TESTED: going over SSH, sshd is not installed here")
    if pwd.getpwuid(os.geteuid()).pw_shell.endswith(("nologin", "false")):
        cannot_run("NOT TESTED: going over SSH, this account has no login shell and sshd refuses it")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / "host")], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "config").write_text(f"""
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host
PidFile {home}/pid
AuthorizedKeysFile {home}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
""")
    with open(home / "log", "wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(home / "config")], stderr=log)
    try:
        for _attempt in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        else:
            pytest.fail("sshd did not start: " + (home / "log").read_text())
        yield Sshd(port, home / "authorized_keys", home / "host.pub", getpass.getuser())
    finally:
        process.terminate()
        process.wait(10)
