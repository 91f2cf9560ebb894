# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tree with every difficult name there is, and access to it over SSH."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._transport.access import Request as Access
from ansible_collections.dihya.migration.plugins.module_utils._transport.access import pull_access
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request as Copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import build_copy

from tests.support.sshd import Sshd
from tests.support.store import Store, endpoint

Grant = Callable[..., dict]


def make_hard_tree(root: pathlib.Path) -> pathlib.Path:
    """Names with newline, quotes, non-UTF-8 bytes; dangling, looping and hard links; empty directories; modes."""
    base = os.fsencode(root)
    os.makedirs(base + b"/sub/deep")
    os.makedirs(base + b"/empty")
    for name, data in [
        (b"plain", b"x"), (b"new\nline", b"1"), (b"quote'\"`$(id)", b"2"), (b"bad-\xff\xfe", b"3"), ("aïn-ⵣ-ع".encode(), b"4"),
        (b" lead", b"5"), (b"-dash", b"6"), (b"back\\slash\\n", b"7"), (b"!first", b"8"), (b"a" * 200, b"long"),
        (b"sub/big", os.urandom(3 << 20)), (b"sub/deep/zero", b""),
    ]:
        with open(os.path.join(base, name), "wb") as stream:
            stream.write(data)
        os.utime(os.path.join(base, name), ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    os.link(base + b"/plain", base + b"/sub/hard")
    os.symlink(b"nowhere/at all", base + b"/dangling")
    os.symlink(b"loop", base + b"/loop")
    os.symlink(b"sub", base + b"/to-dir")
    os.symlink(b"../bad-\xff\xfe", base + b"/sub/up")
    os.chmod(base + b"/plain", 0o4751)
    os.chmod(base + b"/sub/big", 0o600)
    os.chmod(base + b"/sub/deep/zero", 0o440)
    os.chmod(base + b"/sub/deep", 0o555)
    os.chmod(base + b"/empty", 0o1777)
    with contextlib.suppress(OSError):
        os.setxattr(base + b"/plain", "user.note", b"\xff\x00=\n")
    os.utime(base + b"/empty", ns=(1_600_000_000_000_000_001, 1_600_000_000_000_000_001))
    return root


def copy(source: pathlib.Path, dest: pathlib.Path, **options: Any) -> dict:
    """The result of ``build_copy``."""
    return build_copy(Copy(str(source), str(dest), **options))


def facts(root: pathlib.Path) -> dict[bytes, tuple]:
    """What a tree is, by the means of the operating system alone."""
    found: dict[bytes, tuple] = {}
    inodes: dict[tuple[int, int], bytes] = {}
    base = os.fsencode(root)
    names = [base]
    for directory, below, files in os.walk(base):
        names += [os.path.join(directory, name) for name in below + files]
    for full in sorted(names):
        status = os.lstat(full)
        content: object = None
        if os.path.islink(full):
            content = os.readlink(full)
        elif os.path.isfile(full):
            first = inodes.setdefault((status.st_dev, status.st_ino), full)
            with open(full, "rb") as stream:
                content = (stream.read(), os.path.relpath(first, base), {n: os.getxattr(full, n) for n in os.listxattr(full)})
        found[os.path.relpath(full, base)] = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, content)
    return found


@pytest.fixture
def hard_tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """The tree of :func:`make_hard_tree`."""
    return make_hard_tree(tmp_path / "tree with space")


WATCH = """
import os, sys
print("ready", flush=True)
missing = looks = 0
while not os.path.exists(sys.argv[2]):
    for _turn in range(2000):
        looks += 1
        missing += not os.path.exists(sys.argv[1])
print(looks, missing)
"""


@contextlib.contextmanager
def never_missing(path: pathlib.Path, stop: pathlib.Path) -> Iterator[None]:
    """Another process looks at ``path`` all the time; it must never find it missing. ``stop`` is a free name."""
    with subprocess.Popen([sys.executable, "-c", WATCH, str(path), str(stop)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            stop.touch()
        looks, missing = map(int, process.stdout.readline().split())
    assert looks >= 2000 and missing == 0


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A real S3 endpoint, the same one for the whole session."""
    with endpoint(tmp_path_factory.mktemp("s3")) as store:
        yield store


@pytest.fixture
def s3(s3_endpoint: Store, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket of the test's own at the endpoint; the rclone of the test environment is on the PATH."""
    monkeypatch.setenv("PATH", s3_endpoint.path())
    return s3_endpoint.another(tmp_path)


@pytest.fixture
def grant(sshd: Sshd, tmp_path: pathlib.Path) -> Grant:
    """Gives access to one tree by the module's own means and returns the option source_host."""
    def give(tree: pathlib.Path, exclude: tuple[str, ...] = ()) -> dict:
        directory = str(tmp_path / "pull")
        receiver = pull_access(Access("receiver", "present", "run-1", dir=directory))
        sender = pull_access(Access(
            "sender", "present", "run-1", path=str(tree), exclude=list(exclude), public_key=receiver["public_key"],
            authorized_keys=str(sshd.authorized_keys), host="127.0.0.1", port=sshd.port, host_key_files=[str(sshd.host_key)]))
        pinned = pull_access(Access("receiver", "present", "run-1", dir=directory, known_hosts=sender["known_hosts"]))
        return {"host": "127.0.0.1", "user": sshd.user, "port": sshd.port, "identity": pinned["identity"],
                "known_hosts": pinned["known_hosts_file"]}
    return give


def make_files(root: pathlib.Path, number: int, size: int = 100) -> pathlib.Path:
    """So many files, with that many bytes each or somewhat fewer, in fifty directories."""
    for index in range(number):
        directory = root / f"d{index % 50}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{index}").write_bytes(f"{index} ".encode() * (size // 5))
    return root
