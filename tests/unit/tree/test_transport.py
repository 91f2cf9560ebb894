# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a sender may say, and the line that allows it: no network."""

from __future__ import annotations

import io
import os
import pathlib
import shlex
import shutil
import subprocess
import tarfile

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._progress import Progress
from ansible_collections.dihya.migration.plugins.module_utils._transport import authorized, pull
from ansible_collections.dihya.migration.plugins.module_utils._transport.pull import PullHost
from ansible_collections.dihya.migration.plugins.module_utils._transport.receive import END, mtime_ns, receive, safe_path, stays_inside

KEY = "ssh-ed25519 " + "A" * 68


@pytest.mark.parametrize("name, path", [(b"./a//b/", b"a/b"), (b".", b"."), (b"./", b"."), (b"a..b", b"a..b")])
def test_safe_names(name: bytes, path: bytes) -> None:
    assert safe_path(name) == path


@pytest.mark.parametrize("name", [b"/etc/passwd", b"../x", b"a/../../x", b"a/..", b"a\0b"])
def test_names_outside_are_refused(name: bytes) -> None:
    with pytest.raises(MigrationError, match="outside"):
        safe_path(name)


@pytest.mark.parametrize("path, target, inside", [
    (b"l", b"a", True), (b"d/l", b"../a", True), (b"d/e/l", b"../../a/./b", True), (b"l", b"../a", False), (b"d/l", b"../../a", False),
    (b"l", b"/etc", False), (b"l", b"", False),
    # Through a link to "." or deeper these lead out although their text seems to stay inside.
    (b"l", b"d/../../x", False), (b"d/l", b"a/../x", False),
])
def test_links_stay_inside(path: bytes, target: bytes, inside: bool) -> None:
    assert stays_inside(path, target) is inside


def stream(*members: tuple, end: bytes = END) -> io.BytesIO:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, content in [(".", tarfile.DIRTYPE, ""), *members]:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            if kind == tarfile.REGTYPE:
                info.size = len(content)
            else:
                info.linkname = content
            archive.addfile(info, io.BytesIO(content.encode()))
    return io.BytesIO(data.getvalue() + end)


def take(tmp_path: pathlib.Path, data: io.BytesIO, outside_links: bool = False) -> list[bytes]:
    return [e.path for e in receive(data, bytes(tmp_path / "t"), (), Progress(None), outside_links=outside_links).entries]


def test_plain_stream_arrives(tmp_path: pathlib.Path) -> None:
    assert take(tmp_path, stream(("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, "x"), ("h", tarfile.LNKTYPE, "./d/f"))) == [
        b".", b"d", b"d/f", b"h"]
    assert (tmp_path / "t/d/f").read_text() == "x"


@pytest.mark.parametrize("members, said", [
    ([("../f", tarfile.REGTYPE, "x")], "outside"), ([("/f", tarfile.REGTYPE, "x")], "outside"),
    ([("l", tarfile.SYMTYPE, ".."), ("l/f", tarfile.REGTYPE, "x")], "leads outside"),
    ([("d", tarfile.DIRTYPE, ""), ("l", tarfile.SYMTYPE, "d"), ("l/f", tarfile.REGTYPE, "x")], "not a directory"),
    ([("h", tarfile.LNKTYPE, "/etc/passwd")], "outside"), ([("h", tarfile.LNKTYPE, "nothing")], "not a file"),
    ([("l", tarfile.SYMTYPE, "d"), ("h", tarfile.LNKTYPE, "l")], "not a file"), ([("d/f", tarfile.REGTYPE, "x")], "not a directory"),
    ([("f", tarfile.REGTYPE, "x"), ("f", tarfile.REGTYPE, "y")], "twice"), ([("p", tarfile.FIFOTYPE, "")], "cannot be copied"),
    ([("c", tarfile.CHRTYPE, "")], "cannot be copied"),
])
def test_hostile_streams_are_refused_and_write_nothing_outside(tmp_path: pathlib.Path, members: list[tuple], said: str) -> None:
    with pytest.raises(MigrationError, match=said):
        take(tmp_path, stream(*members))
    assert {path.name for path in tmp_path.iterdir()} <= {"t"}


def test_accepted_outside_links_are_still_not_written_through(tmp_path: pathlib.Path) -> None:
    assert b"l" in take(tmp_path, stream(("l", tarfile.SYMTYPE, "/etc")), outside_links=True)
    with pytest.raises(MigrationError, match="not a directory"):
        (tmp_path / "x").mkdir()
        take(tmp_path / "x", stream(("l", tarfile.SYMTYPE, str(tmp_path)), ("l/f", tarfile.REGTYPE, "x")), outside_links=True)


@pytest.mark.parametrize("cut", [10, 600, 1500, 2100, -1])
def test_cut_streams_are_no_trees(tmp_path: pathlib.Path, cut: int) -> None:
    whole = stream(("f", tarfile.REGTYPE, "x" * 700)).getvalue()
    with pytest.raises(EOFError):
        take(tmp_path, io.BytesIO(whole[:cut]))


def test_trailer_tells_what_changed_and_which_sockets_there_are(tmp_path: pathlib.Path) -> None:
    found = receive(stream(end=END + b"changed ./a\nb\0socket ./s\0changed ./logs/x\0"), bytes(tmp_path / "t"), ["logs"], Progress(None))
    assert (found.moved, found.unsupported) == ([b"a\nb"], [b"s"])


def test_times_are_exact() -> None:
    info = tarfile.TarInfo("x")
    info.pax_headers = {"mtime": "1700000000.123456789"}
    assert mtime_ns(info) == 1_700_000_000_123_456_789


@pytest.mark.parametrize("name", ["plain", "with space", "quote'\"`", "$(touch owned)", "back\\slash\\", "-dash", "% *?", "; touch owned"])
def test_forced_command_sends_this_tree_and_runs_nothing_else(tmp_path: pathlib.Path, name: str) -> None:
    tree = tmp_path / name
    tree.mkdir()
    (tree / "f").write_text("x")
    line = authorized.key_line(str(tree), KEY, "r1").decode()
    # As sshd reads the option: up to the next quote without a backslash, a backslash before a quote dropped.
    option, rest, at = "", line[len('restrict,command="'):], 0
    while rest[at] != '"':
        at += rest[at:at + 2] == '\\"'
        option += rest[at]
        at += 1
    assert rest[at:] == f'" {KEY} dihya/r1\n'
    done = subprocess.run(["sh", "-c", option], capture_output=True, cwd=tmp_path, check=True)
    stream = io.BytesIO(done.stdout)
    assert 1 <= pull.parse_size(stream.readline()) <= 20480
    entries = receive(stream, bytes(tmp_path / "copy"), (), Progress(None)).entries
    assert [entry.path for entry in entries] == [b".", b"f"]
    assert {path.name for path in tmp_path.iterdir()} == {name, "copy"}
    assert shlex.split(option)[:3] == ["exec", "/bin/sh", "-c"]


@pytest.mark.parametrize("incremental", [False, True])
def test_write_that_is_stamped_by_a_clock_behind_ours_is_told(tmp_path: pathlib.Path, incremental: bool) -> None:
    tree, tools = tmp_path / "tree", tmp_path / "tools"
    tree.mkdir()
    tools.mkdir()
    (tree / "f").write_text("before")
    # A kernel stamps files by a clock that is up to a tick behind the one of date; here that one is ahead by more than any tick.
    write = f"printf after > {shlex.quote(str(tree / 'f'))}"
    scripts = {"date": "exec REAL -d '+0.03 seconds' \"$@\""}
    if incremental:
        scripts["sha256sum"] = f'REAL "$@"; {write}'
    else:
        scripts["tar"] = f'case "$*" in *totals*) ;; *) {write} ;; esac; exec REAL "$@"'
    for name, script in scripts.items():
        (tools / name).write_text("#!/bin/sh\n" + script.replace("REAL", shutil.which(name) or ""))
        (tools / name).chmod(0o755)

    def ask(words: str) -> bytes:
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SSH_ORIGINAL_COMMAND": words}
        return subprocess.run(["sh", "-c", authorized.forced_command(str(tree))], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, check=True).stdout
    sent = ask("rest " + pull.parse_list(ask("list"))[0] if incremental else "tree")
    assert b"changed ./f\0" in sent


@pytest.mark.parametrize("path, key, run_id", [
    ("relative", KEY, "r"), ("/a\nssh-ed25519 X", KEY, "r"), ("/a", KEY, "r\n"), ("/a", "ssh-rsa AAAA", "r"), ("/a", KEY, "a b"),
    ("/a", KEY[:-8] + "\\n" + KEY, "r"),
])
def test_nothing_that_could_become_another_line_is_accepted(path: str, key: str, run_id: str) -> None:
    with pytest.raises(MigrationError):
        authorized.key_line(path, key, run_id)


def test_other_lines_stay_byte_for_byte() -> None:
    line = authorized.key_line("/srv", KEY, "r1")
    other = b'\xff\r\n\n# x\nrestrict,command="x" ssh-ed25519 B dihya/r11\nssh-rsa C dihya/r1'
    added = authorized.with_line(other, line, KEY, "r1")
    assert added == other + b"\n" + line == authorized.with_line(added, line, KEY, "r1")
    moved = authorized.with_line(added, authorized.key_line("/opt", KEY, "r1"), KEY, "r1")
    assert moved.count(b"dihya/r1\n") == 2 and b"/srv" not in moved
    assert authorized.without_lines(added, "r1") == other + b"\n" and authorized.without_lines(added, "r2") == added
    assert authorized.without_lines(added, "r1", "ssh-ed25519 " + "B" * 68) == added


def test_lines_of_a_migrations_killed_runs_go_and_those_of_others_stay() -> None:
    one, two = ("ssh-ed25519 " + letter * 68 for letter in "AB")
    lines = {(run, whose): authorized.key_line("/srv", one, run, migration_id=whose)
             for run, whose in (("r1", "m"), ("r2", "m"), ("r1", "m-2"), ("r1", None))}
    others = lines["r1", "m-2"] + lines["r1", None] + b"# dihya/m/r1\n"
    left = lines["r1", "m"] + others
    opened = authorized.with_line(left, lines["r2", "m"], one, "r2", "m")
    assert opened == others + lines["r2", "m"]
    second = authorized.key_line("/opt", two, "r2", migration_id="m")
    both = authorized.with_line(opened, second, two, "r2", "m")
    assert both == opened + second  # two trees of one run
    assert authorized.without_lines(lines["r1", "m"] + both, "r3", migration_id="m") == others


@pytest.mark.parametrize("patterns", [["a\\b"], ["/"], ["a\nb"]])
def test_exclusions_that_tar_would_read_otherwise_are_refused(patterns: list[str]) -> None:
    with pytest.raises(MigrationError, match="exclude"):
        authorized.tar_excludes(patterns)


def test_every_wrong_part_of_source_host_is_named_at_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(MigrationError, match="host, user, identity, known_hosts, port"):
        PullHost.from_options({"host": "-oProxyCommand=x", "user": "a b", "identity": str(tmp_path), "known_hosts": "", "port": 70000})


def test_pinned_names_are_what_ssh_looks_up() -> None:
    assert authorized.known_hosts_line("h", 22, "K") == "h K\n" and authorized.known_hosts_line("h", 2222, "K") == "[h]:2222 K\n"


def test_list_of_the_sender_is_read_whole_or_not_at_all() -> None:
    row = b"644 0 7 3 1700000000.1234567890 ./a b\nc\xff"
    data = b"\0".join([b"dihya-since 1700000001.5", row, b"dihya-digests", b"00ff  ./a b\nc\xff", b"dihya-end", b""])
    name = b"a b\nc\xff"
    assert pull.parse_list(data) == ("1700000001.5", {name: (0o644, 0, 7, 3, 1_700_000_000_123_456_789)}, {name: "00ff"})
    assert pull.parse_list(b"dihya-since 1.5\0dihya-digests\0dihya-end\0") == ("1.5", {}, {})
    for wrong in (data[:-1], data[:40], b"", data.replace(b"1700000001.5", b"x; rm"), data.replace(b"644 0", b"644")):
        with pytest.raises(EOFError):
            pull.parse_list(wrong)
    with pytest.raises(MigrationError, match="outside"):
        pull.parse_list(data.replace(b"./a b", b"../a b"))
