# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""build_copy with ``encrypt``: the secrets of a tree are read by their recipients alone, everything else is as in any copy."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts
from ansible_collections.dihya.migration.plugins.module_utils._tree import sealing
from ansible_collections.dihya.migration.plugins.module_utils._tree.backup import Request, build_copy
from ansible_collections.dihya.migration.plugins.module_utils._tree.placing import Request as Place
from ansible_collections.dihya.migration.plugins.module_utils._tree.placing import tree_place

from .conftest import Grant, facts

CANARY = b"canary-of-the-application"
SECRETS = {b".env": 0o600, b"config/api.key": 0o440, b"config/secrets/deep/token": 0o644}
PATTERNS = [".env", "*.key", "config/secrets"]


@pytest.fixture
def source(hard_tree: pathlib.Path) -> pathlib.Path:
    """The difficult tree, with secrets in it."""
    base = os.fsencode(hard_tree)
    os.makedirs(base + b"/config/secrets/deep")
    for number, (name, mode) in enumerate(SECRETS.items()):
        path = os.path.join(base, name)
        with open(path, "wb") as stream:
            stream.write(CANARY * (1 + number * 60_000))
        os.chmod(path, mode)
    os.symlink(b"api.key", base + b"/config/link.key")
    return hard_tree


@pytest.fixture
def encrypt(identities: list[tuple[str, str]], tmp_path: pathlib.Path) -> dict[str, Any]:
    """The option for two people, the second named in a file."""
    (tmp_path / "operators").write_text(identities[1][1] + "\n")
    return {"patterns": PATTERNS, "recipients": [identities[0][1]], "recipients_files": [str(tmp_path / "operators")]}


def copy(source: pathlib.Path, dest: pathlib.Path, encrypt: dict[str, Any] | None, **options: Any) -> dict:
    return build_copy(Request(str(source), str(dest), "code", encrypt=encrypt, **options))


def opened(path: bytes, identity: str) -> bytes:
    return subprocess.run([b"age", b"--decrypt", b"--identity", os.fsencode(identity), path], check=True, capture_output=True).stdout


def require_sealed(result: dict, source: pathlib.Path, identities: list[tuple[str, str]]) -> None:
    """Everything but the secrets is as at the source, and each of these is opened by each of the two, and only by them."""
    before, after = facts(source), facts(pathlib.Path(result["path"]) / "tree")
    for name, mode in SECRETS.items():
        assert name not in after
        kept, there = after.pop(name + b".age"), before.pop(name)
        assert kept[:4] == there[:4] and there[0].endswith(f"{mode:o}")
        stored = os.path.join(os.fsencode(result["path"]), b"tree", name + b".age")
        assert [opened(stored, path) for path, _recipient in identities[:2]] == [there[4][0]] * 2
        with pytest.raises(subprocess.CalledProcessError):
            opened(stored, identities[2][0])
    assert before == after and result["encrypted"] == 3
    assert not any(CANARY in data for data in contents(pathlib.Path(result["path"])))


def contents(root: pathlib.Path) -> list[bytes]:
    files = (pathlib.Path(os.fsdecode(folder), os.fsdecode(name)) for folder, _below, names in os.walk(os.fsencode(root)) for name in names)
    return [path.read_bytes() for path in files if not path.is_symlink()]


@pytest.mark.parametrize("pulled", [False, True], ids=["local", "pulled"])
def test_secrets_are_opened_by_their_recipients_alone_and_an_unchanged_source_is_known_again(
        source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict, identities: list, grant: Grant, pulled: bool) -> None:
    options: dict[str, Any] = {"source_host": grant(source)} if pulled else {}
    made = copy(source, tmp_path / "backup", encrypt, **options)
    require_sealed(made, source, identities)
    assert "3 of them encrypted" in made["journal"]["evidence"][0]["observed"]
    manifest = _manifest.read_manifest(made["path"], "tree")
    assert _manifest.damaged_files(made["path"], manifest["files"]) == []
    again = copy(source, tmp_path / "backup", encrypt, **options)
    assert (again["changed"], again["path"], again["encrypted"]) == (False, made["path"], 3)

    path = os.path.join(os.fsencode(source), b".env")
    times = os.stat(path)
    with open(path, "wb") as stream:
        stream.write(CANARY.replace(b"canary", b"parrot"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    third = copy(source, tmp_path / "backup", encrypt, incremental=True, **options)
    assert third["changed"], "the same size and time, but another secret"
    require_sealed(third, source, identities)


def test_what_was_copied_in_clear_is_not_taken_over_once_it_is_to_be_encrypted(
        source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict, identities: list, grant: Grant) -> None:
    for name, options in (("local", {}), ("pulled", {"source_host": grant(source)})):
        clear = copy(source, tmp_path / name, None, **options)
        assert sum(CANARY in data for data in contents(pathlib.Path(clear["path"]))) == 3  # what the search would find
        require_sealed(copy(source, tmp_path / name, encrypt, incremental=True, **options), source, identities)


def test_other_readers_get_another_copy(source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict, identities: list) -> None:
    made = copy(source, tmp_path / "backup", encrypt)
    fewer = copy(source, tmp_path / "backup", {**encrypt, "recipients_files": []})
    assert fewer["changed"] and fewer["path"] != made["path"]
    with pytest.raises(subprocess.CalledProcessError):
        opened(os.fsencode(fewer["path"]) + b"/tree/.env.age", identities[1][0])


def test_second_copies_and_check_mode_hold_no_secret_either(source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict) -> None:
    planned = copy(source, tmp_path / "backup", encrypt, check_mode=True)
    assert planned["changed"] and not (tmp_path / "backup").exists()
    made = copy(source, tmp_path / "backup", encrypt, copies=[str(tmp_path / "second")])
    second = pathlib.Path(made["copies"][0]["path"])
    assert facts(second / "tree") == facts(pathlib.Path(made["path"]) / "tree")
    assert not any(CANARY in data for data in contents(second))
    assert not copy(source, tmp_path / "backup", encrypt, copies=[str(tmp_path / "second")])["changed"]


def test_damage_to_an_encrypted_file_is_found(source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict) -> None:
    made = copy(source, tmp_path / "backup", encrypt)
    stored = pathlib.Path(made["path"]) / "tree/.env.age"
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    times = os.stat(stored)
    stored.write_bytes(data)
    os.utime(stored, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = copy(source, tmp_path / "backup", encrypt)
    assert again["changed"] and ".env.age" in again["warnings"][0]


def test_the_manifest_lets_nobody_guess_a_short_secret(tmp_path: pathlib.Path, encrypt: dict) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.env").write_bytes(b"1234")
    made = copy(tmp_path / "tree", tmp_path / "backup", encrypt)
    said = (pathlib.Path(made["path"]) / "manifest.json").read_text()
    digest = hashlib.sha256(b"1234").hexdigest()
    assert digest not in said and digest not in json.dumps(made)
    facts_ = json.loads(said)["sealed"]
    assert facts_["scrypt"] == sealing.token({b".env": digest}, facts_["salt"])
    other = copy(tmp_path / "tree", tmp_path / "elsewhere", encrypt)
    assert json.loads((pathlib.Path(other["path"]) / "manifest.json").read_text())["sealed"]["scrypt"] != facts_["scrypt"]


@pytest.mark.parametrize("change, said", [
    ({"recipients": ["AGE-SECRET-KEY-1QQQ"]}, "recipient 1 is a secret key"),
    ({"recipients": ["age1nonsense"]}, "recipient 1 is not valid"),
    ({"recipients": [], "recipients_files": []}, "no recipient is named"),
    ({"recipients_files": ["/nowhere/operators"]}, "is no readable file of recipients"),
])
def test_wrong_recipients_are_refused_before_anything_is_written(
        source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict, change: dict, said: str) -> None:
    with pytest.raises(MigrationError, match=said) as error:
        copy(source, tmp_path / "backup", {**encrypt, **change})
    assert error.value.facts["subject"] == "recipients"
    assert "SECRET-KEY-1" not in error.value.message and not (tmp_path / "backup").exists()


@pytest.mark.parametrize("pulled", [False, True], ids=["local", "pulled"])
@pytest.mark.parametrize("obstacle, said", [("link", "several names"), ("taken", "is there already")])
def test_a_secret_that_cannot_be_stored_encrypted_is_refused_and_nothing_stays(
        source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict, grant: Grant, pulled: bool, obstacle: str, said: str) -> None:
    if obstacle == "link":
        os.link(source / ".env", source / "zz-other-name")
    else:
        (source / ".env.age").write_bytes(b"x")
    with pytest.raises(MigrationError, match=said):
        copy(source, tmp_path / "backup", encrypt, **({"source_host": grant(source)} if pulled else {}))
    assert not any(CANARY in data for data in contents(tmp_path / "backup"))
    assert [name for name in os.listdir(tmp_path / "backup") if not name.startswith(".")] == []


@pytest.mark.parametrize("options", [{"tolerate_changes": True}, {"dest": ""}])
def test_what_cannot_be_combined_is_refused(source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict, options: dict) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text("[r]\ntype = local\n")
    config.chmod(0o600)
    request = {"dest": str(tmp_path / "backup"), "buckets": [{"remote": "r:b", "config": str(config)}], **options}
    with pytest.raises(MigrationError, match="encrypt needs dest"):
        build_copy(Request(str(source), encrypt=encrypt, **request))


def test_a_copy_with_encrypted_files_is_not_put_where_an_application_runs(
        source: pathlib.Path, tmp_path: pathlib.Path, encrypt: dict) -> None:
    made = copy(source, tmp_path / "stage", encrypt)
    with pytest.raises(MigrationError, match="holds encrypted files"):
        tree_place(Place(str(tmp_path / "app"), str(tmp_path / "record"), sha256=made["sha256"], copy=made["path"],
                         stage=str(tmp_path / "stage")))
    assert not (tmp_path / "app").exists()


def test_secrets_in_a_copy_in_clear_are_counted_and_told(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (source / "server.pem").write_bytes(CANARY)
    (source / ".env.production").symlink_to(".env")
    told = "that no secret lies in clear in the copy of code: 3 files have names of secrets, and no recipient of age is named"
    second = str(tmp_path / "second")
    for reused in (False, True):
        result = copy(source, tmp_path / "backup", None, tell_secrets=True, copies=[second])
        assert (result["journal"]["not_proved"], result["reused"]) == ([told], reused)
    check_facts("backend", "backup", result["journal"])
    assert "not_proved" not in copy(source, tmp_path / "backup", None)["journal"]
    for path in (source / ".env", source / "config/api.key", source / "server.pem"):
        path.unlink()
    assert "not_proved" not in copy(source, tmp_path / "backup", None, tell_secrets=True)["journal"]


def test_copy_whose_secrets_are_encrypted_tells_nothing_of_them(source: pathlib.Path, tmp_path: pathlib.Path,
                                                                encrypt: dict[str, Any]) -> None:
    result = copy(source, tmp_path / "backup", encrypt, tell_secrets=True, copies=[str(tmp_path / "second")])
    assert result["encrypted"] == 3 and "not_proved" not in result["journal"]
