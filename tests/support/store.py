# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real S3 endpoint on loopback (``rclone serve s3``), and buckets in it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.support.needs import require_program

SECRET = "canary-of-the-bucket-5f2c"


@dataclass(frozen=True)
class Store:
    """The endpoint and one bucket: the directory of its buckets, its port, the bucket's name, a private configuration of rclone."""

    directory: pathlib.Path
    port: int
    name: str
    config: pathlib.Path
    secret: str = SECRET

    @property
    def remote(self) -> str:
        """The bucket as rclone writes it."""
        return f"store:{self.name}"

    @property
    def bucket(self) -> pathlib.Path:
        """Where the endpoint keeps what is in the bucket."""
        return self.directory / self.name

    def another(self, home: pathlib.Path) -> Store:
        """A new bucket, its configuration in ``home``."""
        store = replace(self, name=f"bucket-{time.monotonic_ns()}", config=home / "rclone.conf")
        store.bucket.mkdir()
        store.config.touch(mode=0o600)
        store.config.write_text(f"[store]\ntype = s3\nprovider = Rclone\nendpoint = http://127.0.0.1:{self.port}\n"
                                f"access_key_id = mover\nsecret_access_key = {self.secret}\n")
        return store

    def options(self) -> list[dict[str, str]]:
        """The option ``buckets``."""
        return [{"remote": self.remote, "config": str(self.config)}]

    def path(self) -> str:
        """A PATH on which there is rclone."""
        return f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"

    def fetch(self, name: str, target: pathlib.Path) -> pathlib.Path:
        """Bring a copy back as its documentation says: rclone and GNU tar."""
        target.mkdir()
        command = ["rclone", f"--config={self.config}"]
        with subprocess.Popen([*command, "cat", f"{self.remote}/{name}/tree.tar"], stdout=subprocess.PIPE) as source:
            subprocess.run(["tar", "--extract", "--preserve-permissions", "--xattrs", "--xattrs-include=*", "--warning=no-unknown-keyword"],
                           stdin=source.stdout, cwd=target, check=True)
        assert source.returncode == 0
        subprocess.run([*command, "copy", f"{self.remote}/{name}/manifest.json", str(target)], check=True)
        return target


@contextlib.contextmanager
def endpoint(home: pathlib.Path) -> Iterator[Store]:
    """The endpoint with its state in ``home``, ended afterwards; it asks for its key."""
    program = shutil.which("rclone", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}") or require_program("rclone")
    buckets = home / "buckets"
    buckets.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # No caches: tests look into the buckets, and spoil what is in them, on the disk.
    argv = [program, "serve", "s3", f"--addr=127.0.0.1:{port}", "--dir-cache-time=1ms", "--poll-interval=0", str(buckets)]
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(argv, stderr=log, env={**os.environ, "RCLONE_AUTH_KEY": f'"mover,{SECRET}"'})
    try:
        for _attempt in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        else:
            pytest.fail("rclone serve s3 did not start: " + (home / "log").read_text())
        yield Store(buckets, port, "", home)
    finally:
        process.terminate()
        process.wait(10)
