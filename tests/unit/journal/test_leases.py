# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A long module signs its lease with its own name: by that name it is ended when the window is over."""

from __future__ import annotations

import pathlib
import re

PLUGINS = pathlib.Path(__file__).parents[3] / "plugins"


def test_every_long_module_signs_its_lease_with_its_name() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PLUGINS.rglob("*.py")]
    named = {name for text in sources if "(LongAction)" in text for name in re.findall(r'MODULE = "dihya\.migration\.(\w+)"', text)}
    signed = {name for text in sources for name in re.findall(r'(?:= |, |return |with )(?:held|Lease)\(.*, "([^"]+)"\)', text)}
    assert signed == named and "bucket_release" in named
