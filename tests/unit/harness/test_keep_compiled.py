# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Code out of zip files is compiled once, and no other code is ever run for it."""

from __future__ import annotations

import sys
import zipfile
import zipimport

import pytest

from dev import keep_compiled


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The directory of what is kept, empty; zip files are read as in ``.venv``."""
    monkeypatch.setattr(keep_compiled, "KEPT", str(tmp_path / "kept"))
    monkeypatch.setattr(zipimport, "_compile_source", keep_compiled.compile_source)
    return tmp_path / "kept"


def code_of(path, source):
    """The code that Python takes from a zip file at ``path`` with ``source`` in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.py", source)
    return zipimport.zipimporter(str(path)).get_code("inside")


def value_of(code):
    """What ``code`` leaves in ``value``."""
    names = {}
    exec(code, names)
    return names["value"]


def test_the_second_reader_compiles_nothing_and_names_its_own_file(tmp_path, kept, monkeypatch):
    assert value_of(code_of(tmp_path / "one.zip", "value = 1\n")) == 1
    monkeypatch.setattr(keep_compiled, "_compile", None)
    code = code_of(tmp_path / "two.zip", "value = 1\n")
    assert value_of(code) == 1 and code.co_filename == str(tmp_path / "two.zip" / "inside.py")


def test_another_source_of_the_same_length_gives_its_own_code(tmp_path, kept):
    assert [value_of(code_of(tmp_path / f"{number}.zip", f"value = {number}\n")) for number in (1, 2)] == [1, 2]


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x00"])
def test_what_is_damaged_is_compiled_anew(tmp_path, kept, damage):
    code_of(tmp_path / "one.zip", "value = 1\n")
    file, = kept.iterdir()
    file.write_bytes(damage)
    assert value_of(code_of(tmp_path / "two.zip", "value = 1\n")) == 1
    assert file.read_bytes() != damage


def test_the_environment_of_the_tests_keeps_what_it_compiles():
    assert "keep_compiled" in sys.modules, "dev/setup.py did not put it into this environment"
