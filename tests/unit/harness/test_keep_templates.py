# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible runs for a template what it would compile it to, and another template never gets that code."""

from __future__ import annotations

import sys

import pytest
from ansible._internal._templating import _jinja_bits as bits

from dev import keep_templates

TEMPLATES = ["{{ a }}", "{{ a }}\n", "{% if a %}x{% endif %}\n", "é {{ 'ⵣ' ~ a | default('\\\\n') }}", "{{ '{{ b }}' }}", "plain", ""]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The directory of what is kept, empty."""
    monkeypatch.setattr(keep_templates.keep_compiled, "KEPT", str(tmp_path / "kept"))
    return tmp_path / "kept"


def compiled(environment, template, source):
    """What ``template`` compiles to when ``source`` is what Ansible's own compiler is."""
    return keep_templates.compile_kept(bits, source)(environment, template)


@pytest.fixture
def environment():
    """That of Ansible."""
    return bits.AnsibleEnvironment()


@pytest.fixture
def usual():
    """How Ansible compiles."""
    return super(bits.AnsibleEnvironment, bits.AnsibleEnvironment()).compile.__func__


def test_what_is_kept_is_what_ansible_compiles_and_the_second_reader_compiles_nothing(kept, environment, usual):
    for template in TEMPLATES:
        expected = usual(environment, template)
        assert compiled(environment, template, usual) == compiled(environment, template, None) == expected
    assert len(list(kept.iterdir())) == len(TEMPLATES)


def test_other_delimiters_or_escapes_are_another_template(kept, environment, usual):
    compiled(environment, "{{ a }}", usual)
    other = environment.overlay(variable_start_string="<<", variable_end_string=">>")
    assert compiled(other, "{{ a }}", usual) == usual(other, "{{ a }}")
    with bits._TemplateCompileContext(escape_backslashes=True):
        compiled(environment, "{{ a }}", usual)
    assert len(list(kept.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_what_is_damaged_is_compiled_anew(kept, environment, usual, damage):
    before = compiled(environment, "{{ a }}", usual)
    file, = kept.iterdir()
    file.write_bytes(damage)
    assert compiled(environment, "{{ a }}", usual) == before


def test_ansible_in_this_environment_is_spared_the_compiling():
    assert "keep_templates" in sys.modules, "dev/setup.py did not put it into this environment"
    assert bits.AnsibleEnvironment.compile.__name__ == "compile_once"
