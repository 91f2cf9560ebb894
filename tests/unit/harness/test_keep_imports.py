# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible learns from what is kept of a source exactly what it would learn from the source."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import ansible.module_utils
import pytest
from ansible.executor.module_common import ModuleDepFinder

from dev import keep_imports

PLUGINS = Path(__file__).parents[3] / "plugins"
SOURCES = sorted([*Path(ansible.module_utils.__file__).parent.rglob("*.py"), *PLUGINS.glob("module*/**/*.py")])
NAME = "ansible_collections.dihya.migration.plugins.module_utils._any.name"
SOURCE = "import os\nfrom ansible.module_utils.basic import AnsibleModule\nif os:\n    import ansible.module_utils.urls\n"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The directory of what is kept, empty."""
    monkeypatch.setattr(keep_imports.keep_compiled, "KEPT", str(tmp_path / "kept"))
    return tmp_path / "kept"


def parse(_name, source):
    """As Ansible parses."""
    return compile(source, "any", "exec", ast.PyCF_ONLY_AST)


def learned(tree):
    """What Ansible takes out of a tree: which imports a module needs, and which it can do without."""
    finder = ModuleDepFinder(NAME, tree)
    return finder.submodules, finder.optional_imports


def test_of_every_source_the_kept_imports_tell_what_the_source_tells(kept):
    parse_imports = keep_imports.parse_kept(parse)
    for path in SOURCES:
        source = path.read_bytes()
        first, second = (learned(parse_imports("any", source)) for _time in range(2))
        assert first == second == learned(parse("any", source)), path
    assert len(SOURCES) > 150 and len(list(kept.iterdir())) > 150


def test_the_second_reader_parses_nothing(kept):
    first = learned(keep_imports.parse_kept(parse)("any", SOURCE))
    assert learned(keep_imports.parse_kept(None)("any", SOURCE)) == first
    assert first[1] == {("ansible", "module_utils", "urls")}


@pytest.mark.parametrize("damage", [b"", b"import os\n", b"nonsense(" + keep_imports.WHOLE, b"\x00" + keep_imports.WHOLE])
def test_what_is_damaged_is_parsed_anew(kept, damage):
    before = learned(keep_imports.parse_kept(parse)("any", SOURCE))
    file, = kept.iterdir()
    file.write_bytes(damage)
    assert learned(keep_imports.parse_kept(parse)("any", SOURCE)) == before


def test_a_module_that_tells_ansible_more_than_its_imports_is_parsed_whole(kept):
    keep_imports.parse_kept(parse)("any", "METADATA = {}\n")
    assert not kept.exists()


def test_ansible_in_this_environment_is_spared_the_parsing():
    module_common = sys.modules[keep_imports.BUILDER]
    parser = getattr(module_common, keep_imports.PARSER, None)
    assert "keep_imports" in sys.modules, "dev/setup.py did not put it into this environment"
    assert parser is None or parser.__name__ == "parse_imports"
