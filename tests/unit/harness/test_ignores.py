# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nothing is hidden from a checker without its reason beside it."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[3]
MARK = re.compile(
    r"(?:#|//|/\*)\s*(?:(?:ruff: *)?noqa\b|type: *ignore|pylint: *disable|nosec\b|pragma: *no cover|mypy: *\w|yamllint disable"
    r"|shellcheck disable|eslint-disable|@ts-ignore|@ts-expect-error)(?P<rest>.*)")
REASON = re.compile(r"(?:#|--|//) *\w+\W+\w+")
# What a configuration leaves out as a whole.
LEFT_OUT = re.compile(
    r"^\s*(?:skip_list|warn_list|exclude_paths|(?:extend-)?ignore|(?:extend-)?exclude|ignore_missing_imports|ignore_errors"
    r"|\[tool\.\S*(?:per-file-ignores|overrides)\]+)\b|: *(?:disable|false)$")
CONFIGURATIONS = (".ansible-lint", ".yamllint", "pyproject.toml")


def without_reason(name: str, text: str) -> list[str]:
    """The lines of the file ``name`` that ignore something and do not say why, as ``name:line``."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        mark = MARK.search(line)
        whole = name in CONFIGURATIONS and LEFT_OUT.search(line.partition("#")[0].rstrip())
        listed = name.startswith("tests/sanity/ignore") and line.strip()
        if (
            (mark and not REASON.search(mark["rest"]))
            or (whole and "#" not in line and not (number and lines[number - 1].lstrip().startswith("#")))
            or (listed and not REASON.search(line))
        ):
            found.append(f"{name}:{number + 1}")
    return found


@pytest.mark.parametrize("name, before, ignore, because", [
    ("a.py", "import os  # ", "noqa: E402", " # "), ("a.py", "f(x)  # ", "type: ignore[arg-type]", " # "),
    ("a.py", "x = 1  # ", "pylint: disable=a,b", " # "), ("a.yml", "- name: Act  # ", "noqa: no-changed-when", " -- "),
    ("a.sh", "# ", "shellcheck disable=SC2086", " # "), ("a.js", "// ", "eslint-disable-next-line no-eval", " -- "),
    (".ansible-lint", "", "skip_list:", "  # "), ("pyproject.toml", "", 'ignore = ["E402"]', "  # "),
    (".yamllint", "  ", "document-start: disable", "  # "), ("tests/sanity/ignore-2.19.txt", "", "plugins/a.py no-smart-quotes", " # "),
])
def test_an_ignore_without_its_reason_is_seen_and_one_with_it_is_not(name: str, before: str, ignore: str, because: str) -> None:
    assert without_reason(name, f"\n{before}{ignore}\n") == [f"{name}:2"]
    assert without_reason(name, f"\n{before}{ignore}{because}it is so\n") == []


def test_every_ignore_has_its_reason_beside_it() -> None:
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            found += without_reason(name, path.read_text(encoding="utf-8", errors="replace"))
    assert found == []
