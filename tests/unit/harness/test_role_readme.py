# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A role's README tells all of its argument specs."""

from __future__ import annotations

import pytest

from dev.role_readme import plain, readme_of

SPECS = """
argument_specs:
  backup:
    short_description: Makes a copy
    options: {shop_dir: {type: path, required: true, description: Where it is.}}
  migrate:
    short_description: Moves it
    options:
      shop_dir: {type: path, required: true, description: Where it is.}
      shop_mode:
        choices: [fast, safe]
        default: safe
        description: ["How; see O(shop_dir) | V(x)."]
      shop_site: {type: dict, description: The site., options: {port: {type: int, default: 443, description: Its port.}}}
"""


def test_every_variable_default_choice_and_key_is_told(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "argument_specs.yml").write_text(SPECS)
    text = readme_of(tmp_path)
    assert "| `backup` | Makes a copy |" in text
    assert "| `shop_dir` | path | **required** | all | Where it is. |" in text
    assert "| `shop_mode` | str | `safe` | `migrate` | How; see `shop_dir` \\| `x`. One of `fast`, `safe`. |" in text
    assert "### `shop_site`" in text and "| `port` | int | `443` | Its port. |" in text


def test_a_role_without_specs_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"it has no meta/argument_specs\.yml"):
        readme_of(tmp_path)


def test_markup_becomes_markdown():
    assert plain("V(a) M(b.c.d) B(e) I(f) L(g, https://h) U(https://i)") == "`a` `b.c.d` **e** *f* [g](https://h) <https://i>"
