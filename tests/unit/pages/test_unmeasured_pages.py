# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role frontend says that it does not prove."""

from __future__ import annotations

import pathlib

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = pathlib.Path(__file__).parents[3] / "roles" / "frontend"


@pytest.mark.parametrize(("given", "told"), [
    ({"frontend_pages": ["/"]}, True), ({"frontend_pages": ["/"], "frontend_languages": ["fr"]}, False),
    ({}, False), ({"frontend_lighthouse_pages": ["/"]}, False)])
def test_measured_pages_whose_languages_are_not_named_are_told(given, told) -> None:
    loader = DataLoader()
    variables: dict = {"groups": {"frontend": []}, "migration_verb": "verify"}
    for file in (ROLE / "defaults/main.yml", ROLE / "vars/main.yml"):
        variables.update(loader.load_from_file(str(file), trusted_as_template=True))
    sentences = Templar(loader, {**variables, **given}).resolve_variable_expression("__frontend_unmeasured")
    assert any(one.startswith("frontend_languages is not set") for one in sentences) is told
    assert any(one.startswith("frontend_pages is not set") for one in sentences) is not bool(given.get("frontend_pages"))
