# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pulling a tree over a real SSH server, with access that does this one thing."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import socket
import stat
import subprocess
import threading
import types
from typing import IO, Any, cast

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._transport import pull as transport
from ansible_collections.dihya.migration.plugins.module_utils._transport import receive
from ansible_collections.dihya.migration.plugins.module_utils._transport.access import Request as Access
from ansible_collections.dihya.migration.plugins.module_utils._transport.access import pull_access
from ansible_collections.dihya.migration.plugins.module_utils._transport.pull import PullHost
from ansible_collections.dihya.migration.plugins.module_utils._tree import copying
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request, build_copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.release import Request as ReleaseRequest
from ansible_collections.dihya.migration.plugins.module_utils._tree.release import release

from tests.support.needs import require_root
from tests.support.nobody import NOBODY, open_directory
from tests.support.tmpfs import tmpfs

from .conftest import Grant, Sshd, facts


def pull(tree: pathlib.Path, dest: pathlib.Path, host: dict, **options: Any) -> dict:
    return build_copy(Request(str(tree), str(dest), source_host=host, **options))


def test_pulled_copy_is_the_source_exactly(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant) -> None:
    before = facts(hard_tree)
    host = grant(hard_tree)
    result = pull(hard_tree, tmp_path / "backup", host)
    assert facts(pathlib.Path(result["path"]) / "tree") == before
    local = build_copy(Request(str(hard_tree), str(tmp_path / "local")))
    assert result["sha256"] == local["sha256"]
    again = pull(hard_tree, tmp_path / "backup", host)
    assert (again["changed"], again["path"]) == (False, result["path"])


def test_excluded_names_do_not_arrive(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant) -> None:
    unwanted = ["sub/", "/!first", "bad*", "quote'\"`$(id)", "*line"]
    result = pull(hard_tree, tmp_path / "backup", grant(hard_tree, tuple(unwanted)), exclude=unwanted)
    names = facts(pathlib.Path(result["path"]) / "tree")
    assert b"plain" in names and not {b"sub", b"!first", b"bad-\xff\xfe", b"quote'\"`$(id)", b"new\nline"} & names.keys()
    local = build_copy(Request(str(hard_tree), str(tmp_path / "local"), exclude=unwanted))
    assert local["sha256"] == result["sha256"]


def test_hard_link_to_an_excluded_name_is_refused_not_lost(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant) -> None:
    with pytest.raises(MigrationError, match="or is excluded"):
        pull(hard_tree, tmp_path / "backup", grant(hard_tree), exclude=["plain"])
        pull(hard_tree, tmp_path / "backup", grant(hard_tree), exclude=["sub"])


def test_release_can_be_pulled(tmp_path: pathlib.Path, grant: Grant) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built/index.html").write_text("new")
    result = release(ReleaseRequest(str(tmp_path / "app"), "present", "1", source_host=grant(tmp_path / "built")))
    assert (tmp_path / "app/releases/1/index.html").read_text() == "new" and result["changed"]
    again = release(ReleaseRequest(str(tmp_path / "app"), "present", "1", source_host=grant(tmp_path / "built")))
    assert not again["changed"] and again["sha256"] == result["sha256"]
    (tmp_path / "built/index.html").write_text("newer")
    with pytest.raises(MigrationError, match="another tree"):  # a name alone does not stand for what is in it
        release(ReleaseRequest(str(tmp_path / "app"), "present", "1", source_host=grant(tmp_path / "built")))
    (tmp_path / "live/assets").mkdir(parents=True)
    (tmp_path / "live/assets/old.js").write_text("old")
    lent = grant(pathlib.Path(build_copy(Request(str(tmp_path / "live"), str(tmp_path / "backup")))["path"]))
    kept = {"keep_assets": ["assets"], "assets_host": lent}
    result = release(ReleaseRequest(str(tmp_path / "app"), "present", "2", src=str(tmp_path / "built"), **kept))
    assert (tmp_path / "app/releases/2/assets/old.js").read_text() == "old" and result["inherited"] == 1
    assert sorted(os.listdir(tmp_path / "app/releases")) == ["1", "2"]


def test_links_that_lead_outside_are_refused_unless_accepted(tmp_path: pathlib.Path, grant: Grant) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "python").symlink_to("/usr/bin/python3")
    host = grant(tree)
    with pytest.raises(MigrationError, match="leads outside"):
        pull(tree, tmp_path / "backup", host)
    assert os.listdir(tmp_path / "backup") == []
    result = pull(tree, tmp_path / "backup", dict(host, outside_links=True))
    assert os.readlink(pathlib.Path(result["path"]) / "tree/python") == "/usr/bin/python3"


def test_source_that_changes_while_it_is_sent_is_refused(tmp_path: pathlib.Path, grant: Grant) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"first")
    (tree / "z").write_bytes(bytes(64 << 20))
    (tree / "touched").write_bytes(bytes(64 << 20))
    host = grant(tree)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.wait(0.002):
            number += 1
            (tree / "a").write_text(str(number % 10))
            os.utime(tree / "touched")  # tar itself sees that
    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(MigrationError, match="changed while"):
            pull(tree, tmp_path / "backup", host)
        assert os.listdir(tmp_path / "backup") == []
        # A first pass over a tree in use takes what holds still, and leaves the rest to the pass under the freeze.
        first = pull(tree, tmp_path / "backup", host, tolerate_changes=True)
    finally:
        stop.set()
        writer.join()
    assert (first["left_out"], os.listdir(pathlib.Path(first["path"]) / "tree")) == (2, ["z"])
    second = pull(tree, tmp_path / "backup", host, incremental=True)
    assert facts(pathlib.Path(second["path"]) / "tree") == facts(tree)
    assert second["since_before"] == {"added": 2, "changed": 0, "removed": 0}


def test_sockets_are_refused_although_tar_leaves_them_out(tmp_path: pathlib.Path, grant: Grant) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "sock"))
        with pytest.raises(MigrationError, match="socket: sock"):
            pull(tree, tmp_path / "backup", grant(tree))


def test_unreadable_files_are_no_whole_tree(sshd: Sshd, tmp_path: pathlib.Path, grant: Grant) -> None:
    require_root()
    with open_directory() as place:
        (place / "tree").mkdir()
        (place / "tree/closed").write_text("x")
        (place / "tree/closed").chmod(0)
        host = grant(place / "tree")
        # The account of the tests is root's, who reads everything: its command runs as nobody, as that of another account would.
        line = sshd.authorized_keys.read_bytes()
        sshd.authorized_keys.write_bytes(line.replace(
            b"exec /bin/sh", f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups /bin/sh".encode()))
        with pytest.raises(MigrationError, match="could not read all of the tree"):
            pull(place / "tree", tmp_path / "backup", host)
        assert os.listdir(tmp_path / "backup") == []


def test_disk_full_is_said_before_anything_travels_and_leaves_nothing(tmp_path: pathlib.Path, grant: Grant,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    tree, small = tmp_path / "tree", tmp_path / "small"
    for path in (tree, tree / "left out", small):
        path.mkdir()
    (tree / "film").write_bytes(os.urandom(8 << 20))
    (tree / "left out/film").write_bytes(bytes(32 << 20))
    host = grant(tree, ("left out",))
    with tmpfs(small, "size=20m"):
        (small / "app").mkdir()
        for work in (lambda: pull(tree, small / "backup", host, exclude=["left out"]),
                     lambda: release(ReleaseRequest(str(small / "app"), "present", "1", source_host=host, exclude=["left out"]))):
            with monkeypatch.context() as patch:
                patch.setattr(transport, "receive", None)
                with pytest.raises(MigrationError, match=r"bytes free, the copy needs 25\d{6}:"):
                    work()
        with monkeypatch.context() as patch:
            patch.setattr(copying, "MARGIN", -(8 << 20))
            subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
            with pytest.raises(MigrationError, match="could not be written: No space left"):
                pull(tree, small / "backup", host, exclude=["left out"])
        assert os.listdir(small / "backup") == os.listdir(small / "app/releases") == []
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        with pytest.raises(MigrationError, match="cannot be written to: Read-only file system"):
            pull(tree, small / "backup", host)


def test_key_can_do_nothing_but_send_its_tree(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant) -> None:
    host = PullHost.from_options(grant(hard_tree))
    done = subprocess.run([*host.argv()[:-1], f"touch {tmp_path}/owned"], capture_output=True, check=False)
    assert not (tmp_path / "owned").exists() and b"new\nline" in done.stdout
    argv = [part.replace("ClearAllForwardings=yes", "ClearAllForwardings=no") for part in host.argv()]
    forward = [argv[0], "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:1", *argv[1:]]
    assert subprocess.run(forward, capture_output=True, check=False).returncode == 255


def test_other_host_key_is_refused(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant) -> None:
    host = grant(hard_tree)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    pathlib.Path(host["known_hosts"]).write_text(f"[127.0.0.1]:{host['port']} {other}\n")
    with pytest.raises(MigrationError, match="not the pinned one"):
        pull(hard_tree, tmp_path / "backup", host)


def test_access_ends_with_the_run_and_other_lines_stay(hard_tree: pathlib.Path, tmp_path: pathlib.Path, sshd: Sshd, grant: Grant) -> None:
    other = b'# mine\nrestrict,command="x" ssh-ed25519 AAAA dihya/run-12\nssh-rsa BBBB me@home'
    sshd.authorized_keys.write_bytes(other)
    sshd.authorized_keys.chmod(0o640)
    host = grant(hard_tree)
    content = sshd.authorized_keys.read_bytes()
    assert content.startswith(other + b"\n") and stat.S_IMODE(sshd.authorized_keys.stat().st_mode) == 0o640
    grant(hard_tree)
    assert sshd.authorized_keys.read_bytes() == content
    gone = Access("sender", "absent", "run-1", authorized_keys=str(sshd.authorized_keys))
    assert pull_access(gone)["changed"] and not pull_access(gone)["changed"]
    assert sshd.authorized_keys.read_bytes() == other + b"\n"
    with pytest.raises(MigrationError, match="does not accept the key"):
        pull(hard_tree, tmp_path / "backup", host)
    assert pull_access(Access("receiver", "absent", "run-1", dir=str(tmp_path / "pull")))["changed"]
    assert not (tmp_path / "pull").exists()


def test_key_is_private_and_made_once(tmp_path: pathlib.Path) -> None:
    ask = Access("receiver", "present", "run-1", dir=str(tmp_path / "pull"))
    first, again = pull_access(ask), pull_access(ask)
    assert (first["changed"], again["changed"], first["public_key"]) == (True, False, again["public_key"])
    assert stat.S_IMODE(os.stat(first["identity"]).st_mode) == 0o600 and stat.S_IMODE(os.stat(tmp_path / "pull").st_mode) == 0o700
    secret = pathlib.Path(first["identity"]).read_text().split("\n")[2]
    assert secret not in str(first) + str(again)


def test_nobody_there_is_said(tmp_path: pathlib.Path, grant: Grant, hard_tree: pathlib.Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(MigrationError, match="nothing listens there"):
        pull(hard_tree, tmp_path / "backup", dict(grant(hard_tree), port=port))


def change(tree: pathlib.Path) -> None:
    """What users do to uploaded files: new ones, other content (as long and as old as before, too), other mode, gone."""
    times = os.stat(tree / "!first")
    (tree / "!first").write_bytes(b"9")
    os.utime(tree / "!first", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tree / "empty/new").write_bytes(b"new")
    (tree / "-dash").write_bytes(b"6 and more")
    (tree / "back\\slash\\n").chmod(0o600)
    (tree / " lead").unlink()


def test_second_pass_brings_only_what_changed_and_equals_a_whole_copy(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    host = grant(hard_tree)
    first = pull(hard_tree, tmp_path / "backup", host)
    kept = facts(pathlib.Path(first["path"]))
    change(hard_tree)
    travelled: list[int] = []
    real = receive.receive

    def counted(stream: IO[bytes], *arguments: Any) -> receive.Received:
        def read(size: int) -> bytes:
            data = stream.read(size)
            travelled.append(len(data))
            return data
        return real(cast(Any, types.SimpleNamespace(read=read)), *arguments)
    monkeypatch.setattr(transport, "receive", counted)
    second = pull(hard_tree, tmp_path / "backup", host, incremental=True)
    tree = pathlib.Path(second["path"]) / "tree"
    assert facts(tree) == facts(hard_tree)
    assert second["sha256"] == pull(hard_tree, tmp_path / "whole", host)["sha256"]
    assert sum(travelled[:travelled.index(0) + 1]) < 200_000  # the tree has 3 MB
    assert os.path.samefile(tree / "sub/big", pathlib.Path(first["path"]) / "tree/sub/big")
    assert not os.path.samefile(tree / "-dash", pathlib.Path(first["path"]) / "tree/-dash")
    assert {name: fact[4] for name, fact in facts(pathlib.Path(first["path"])).items()} == {name: fact[4] for name, fact in kept.items()}


def test_second_pass_without_a_change_keeps_the_copy(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant) -> None:
    host = grant(hard_tree)
    first = pull(hard_tree, tmp_path / "backup", host)
    again = pull(hard_tree, tmp_path / "backup", host, incremental=True)
    assert again["path"] == first["path"], again["msg"]


def test_change_between_the_list_and_what_travels_is_refused(hard_tree: pathlib.Path, tmp_path: pathlib.Path, grant: Grant,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    host = grant(hard_tree)
    pull(hard_tree, tmp_path / "backup", host)
    real = transport.parse_list

    def meddle(data: bytes) -> Any:
        (hard_tree / "sub/big").write_bytes(b"other")
        return real(data)
    monkeypatch.setattr(transport, "parse_list", meddle)
    with pytest.raises(MigrationError, match="changed while it was copied .*sub/big"):
        pull(hard_tree, tmp_path / "backup", host, incremental=True)
    assert len(os.listdir(tmp_path / "backup")) == 1


def test_migrations_that_share_an_account_do_not_lose_each_others_lines(tmp_path: pathlib.Path, sshd: Sshd) -> None:
    def come(number: int) -> None:
        key = pull_access(Access("receiver", "present", f"run-{number}", dir=str(tmp_path / f"pull{number}")))["public_key"]
        pull_access(Access("sender", "present", f"run-{number}", path=str(tmp_path), public_key=key,
                           authorized_keys=str(sshd.authorized_keys), host_key_files=[str(sshd.host_key)]))
    sshd.authorized_keys.unlink(missing_ok=True)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(8)))
    assert len(sshd.authorized_keys.read_text().splitlines()) == 8
