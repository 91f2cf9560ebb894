# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Old backups go only when newer ones are verified, and nothing goes that we did not make."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import file_entry, utc_now, write_manifest
from ansible_collections.dihya.migration.plugins.module_utils._postgres import retention
from ansible_collections.dihya.migration.plugins.module_utils._postgres.retention import Found, Policy, expired, finish_removals, thin_out


def names(found: list[Found]) -> str:
    return " ".join(str(one.path) for one in found)


@pytest.mark.parametrize(
    ("backups", "keep", "expires", "gone"),
    [
        ("a9 b8 c7", 0, 0, ""),
        ("a9 b8 c7", 1, 0, "a b"),
        ("a9 b8 c7", 5, 0, ""),
        ("a9 b8 c7", 1, 9, "a"),
        ("a9 b8 c7", 0, 8, "a b"),
        ("a9 b8 c7", 0, 1, "a b"),
        ("a9 b8 c7", 3, 1, ""),
        ("a9 b8! c7", 2, 0, ""),
        ("a9 b8! c7 d6", 2, 0, "a b"),
        ("a9 b8 c7!", 1, 0, ""),
        ("a9! b8! c7!", 1, 1, ""),
        ("a9* b8* c7 d6", 1, 0, "a c"),
        ("a9* b8*! c7 d6", 1, 0, "b c"),
        ("a9* b8 c7*", 1, 0, "a b"),
    ],
)
def test_the_newest_verified_and_the_newest_drilled_backups_stay(backups, keep, expires, gone):
    """``!`` damaged, ``*`` restored in a drill, the number is the age in days."""
    given = [Found(one[0], float(one[1]), "*" in one) for one in backups.split()]
    damaged = {one[0] for one in backups.split() if "!" in one}
    assert names(expired(given, Policy("/", "pg", "postgresql", None, keep, expires), lambda one: one.path not in damaged)) == gone


@pytest.fixture
def root(tmp_path):
    return tmp_path / "backups"


@pytest.fixture
def policy(root):
    root.mkdir()
    return Policy(str(root), "pg", "postgresql", "crm", keep=1)


def make(root, day, migration="crm", name="pg"):
    path = root / f"pg_2026-01-0{day}_0000"
    (path / "databases").mkdir(parents=True)
    (path / "databases" / "f").write_bytes(b"x")
    write_manifest(
        str(path),
        "postgresql",
        [file_entry(str(path), "databases/f")],
        name=name,
        migration=migration,
        identity=retention.identity(path.stat()),
    )
    return path


def test_nothing_goes_while_the_newest_backup_is_damaged(root, policy):
    old, new = make(root, 1), make(root, 2)
    (new / "databases" / "f").write_bytes(b"y")
    assert thin_out(policy) == {"removed": [], "left": []}
    (new / "databases" / "f").write_bytes(b"x")
    assert thin_out(policy) == {"removed": [str(old)], "left": []}
    assert os.listdir(root) == [new.name]


def test_a_directory_that_was_not_made_here_stays_and_is_named(root, policy):
    make(root, 1, migration="other")
    make(root, 2, name="other")
    shutil.copytree(make(root, 3), root / "pg_2026-01-04_0000")
    (root / "pg_2026-01-05_0000").mkdir()
    elsewhere = make(root.parent, 6)
    (root / elsewhere.name).symlink_to(elsewhere)
    (root / "pg_notes").mkdir()
    make(root, 7)
    done = thin_out(policy)
    assert done["removed"] == [str(root / "pg_2026-01-03_0000")]
    assert done["left"] == [f"pg_2026-01-0{day}_0000 was not made here" for day in (1, 2, 4, 5, 6)]
    assert (elsewhere / "manifest.json").exists() and (root / "pg_notes").exists()


def test_a_backup_in_use_stays(root, policy):
    old, _new = make(root, 1), make(root, 2)
    with retention.in_use(str(old)):
        assert thin_out(policy) == {"removed": [], "left": [f"{old.name} is in use"]}
    assert thin_out(policy)["removed"] == [str(old)]
    with pytest.raises(MigrationError, match="cannot be opened"), retention.in_use(str(old)):
        pass


def test_a_removal_cut_short_shows_no_backup_and_is_finished_later(root, policy, monkeypatch):
    old, new = make(root, 1), make(root, 2)
    monkeypatch.setattr(retention.shutil, "rmtree", lambda _path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        thin_out(policy)
    monkeypatch.undo()
    dead = ".dead-" + old.name
    assert sorted(os.listdir(root)) == [dead, new.name] and (root / dead / "manifest.json").exists()
    (root / ".dead-pg_2026-01-08_0000").mkdir()
    foreign = root / ".dead-pg_2026-01-09_0000"
    foreign.mkdir()
    (foreign / "f").touch()
    assert finish_removals(policy) == [".dead-" + name for name in (old.name, "pg_2026-01-08_0000")]
    assert sorted(os.listdir(root)) == [foreign.name, new.name]


def test_what_would_go_counts_the_backup_that_is_not_made_yet(root, policy):
    assert retention.would_remove(Policy(str(root / "none"), "pg", "postgresql", keep=1)) == []
    old = make(root, 1)
    assert retention.would_remove(policy) == [str(old)] and old.exists()


def test_a_time_that_is_none_makes_no_backup_of_ours():
    assert retention.moment("yesterday") is None and retention.moment(None) is None
    assert retention.moment(utc_now()) is not None
