# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies that build on the one before: what is unchanged becomes a further name of it."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

from tests.support.tmpfs import tmpfs

from .conftest import copy, facts


def test_incremental_copy_links_what_is_unchanged_to_the_copy_before_and_never_to_the_source(hard_tree: pathlib.Path,
                                                                                           tmp_path: pathlib.Path) -> None:
    first = copy(hard_tree, tmp_path / "backup")
    (hard_tree / "-dash").write_bytes(b"6 and more")
    times = os.stat(hard_tree / "!first")
    (hard_tree / "!first").write_bytes(b"9")  # as long as before, and as old: only its bytes tell
    os.utime(hard_tree / "!first", ns=(times.st_atime_ns, times.st_mtime_ns))
    second = copy(hard_tree, tmp_path / "backup", incremental=True)
    old, new = (pathlib.Path(result["path"]) / "tree" for result in (first, second))
    assert facts(new) == facts(hard_tree)
    assert second["sha256"] == copy(hard_tree, tmp_path / "whole")["sha256"]
    shared = {name for name in os.listdir(new) if (new / name).is_file() and os.path.samefile(new / name, old / name)}
    assert "-dash" not in shared and "!first" not in shared and {"plain", "new\nline", " lead"} <= shared
    assert not any(os.path.samefile(new / name, hard_tree / name) for name in shared)
    shutil.rmtree(old)
    assert copy(hard_tree, tmp_path / "backup")["reused"]


def test_incremental_copy_on_a_damaged_one_is_refused(hard_tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first = pathlib.Path(copy(hard_tree, tmp_path / "backup")["path"]) / "tree/ lead"
    times = os.stat(first)
    first.write_bytes(b"X")
    os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))
    (hard_tree / "-dash").write_bytes(b"6 and more")
    with pytest.raises(MigrationError, match="what an incremental copy was built on"):
        copy(hard_tree, tmp_path / "backup", incremental=True)


def test_incremental_copy_asks_room_for_what_it_writes_alone(tmp_path: pathlib.Path) -> None:
    source, small = tmp_path / "source", tmp_path / "small"
    source.mkdir()
    small.mkdir()
    (source / "film").write_bytes(os.urandom(8 << 20))
    with tmpfs(small, "size=28m"):
        first = copy(source, small / "backup")
        (source / "page").write_text("new")
        for check_mode in (True, False):
            with pytest.raises(MigrationError, match="bytes free, the copy needs"):
                copy(source, small / "backup", check_mode=check_mode)
            second = copy(source, small / "backup", incremental=True, check_mode=check_mode)
            assert second["changed"] and not second["reused"]
        assert os.path.samefile(f"{first['path']}/tree/film", f"{second['path']}/tree/film")
        assert facts(pathlib.Path(second["path"]) / "tree") == facts(source)
