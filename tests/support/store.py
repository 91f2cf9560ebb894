# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real S3 endpoint on loopback, and buckets in it: ``rclone serve s3``, or the server that ``BUCKET_SERVER`` names."""

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
class Kind:
    """How a server is started (``{port}``, ``{directory}``), how it is told its key, and what rclone calls it."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    provider: str


# No caches: tests look into the buckets, and spoil what is in them, on the disk.
KINDS = {
    "rclone": Kind(("serve", "s3", "--addr=127.0.0.1:{port}", "--dir-cache-time=1ms", "--poll-interval=0", "{directory}"),
                   {"RCLONE_AUTH_KEY": f'"mover,{SECRET}"'}, "Rclone"),
    "versitygw": Kind(("--port=127.0.0.1:{port}", "posix", "{directory}"),
                      {"ROOT_ACCESS_KEY": "mover", "ROOT_SECRET_KEY": SECRET}, "Other"),
    "minio": Kind(("server", "--address=127.0.0.1:{port}", "{directory}"),
                  {"MINIO_ROOT_USER": "mover", "MINIO_ROOT_PASSWORD": SECRET}, "Minio"),
}


@dataclass(frozen=True)
class Store:
    """The endpoint and one bucket: the directory of its buckets, its port, the bucket's name, a private configuration of rclone, and
    what rclone calls such a server."""

    directory: pathlib.Path
    port: int
    name: str
    config: pathlib.Path
    provider: str
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
        store.configure()
        return store

    def configure(self) -> None:
        """Write the configuration of rclone."""
        self.config.touch(mode=0o600)
        self.config.write_text(f"[store]\ntype = s3\nprovider = {self.provider}\nendpoint = http://127.0.0.1:{self.port}\n"
                               f"access_key_id = mover\nsecret_access_key = {self.secret}\n")

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
    rclone = shutil.which("rclone", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}") or require_program("rclone")
    program = os.environ.get("BUCKET_SERVER") or rclone
    kind = KINDS[os.path.basename(program)]
    kept = home / "kept"
    kept.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [program, *(word.format(port=port, directory=kept) for word in kind.argv)]
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **kind.environment})
    try:
        for _attempt in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"{program} did not start: " + (home / "log").read_text())
        store = Store(kept, port, "", home / "rclone.conf", kind.provider)
        with contextlib.nullcontext(store) if program == rclone else mounted(store, rclone, home / "buckets") as seen:
            yield seen
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def mounted(store: Store, rclone: str, place: pathlib.Path) -> Iterator[Store]:
    """``store`` with its buckets as directories at ``place`` (rclone, FUSE): other servers keep more than the files that are in them."""
    store.configure()
    place.mkdir()
    subprocess.run([rclone, f"--config={store.config}", "mount", "--daemon", "--dir-cache-time=1ms", "--attr-timeout=0s", "store:",
                    str(place)], check=True)
    try:
        yield replace(store, directory=place)
    finally:
        subprocess.run(["umount", str(place)], check=True)
