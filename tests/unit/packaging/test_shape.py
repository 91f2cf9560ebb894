# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules of the house that no checker knows: who is in the action groups, how long a module's main is, that no play has ``serial``, and
that what the README links to is in the built collection too."""

from __future__ import annotations

import ast
import fnmatch
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).parents[3]
LONGEST = 25  # lines of a module's main: argument spec, engine, exit


def mains() -> dict[str, int]:
    """Lines of the function ``main`` of every module that has one; what has none is an action of the controller alone."""
    found = {}
    for path in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == "main":
                found[path.stem] = (node.end_lineno or 0) - node.lineno + 1
    return found


def test_the_action_groups_hold_every_module_that_runs_on_a_host() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    assert groups == {"all": sorted(mains()), "postgresql": sorted(name for name in mains() if name.startswith("pg_"))}


def test_no_main_of_a_module_is_longer_than_promised() -> None:
    assert len(mains()) > 30
    assert {name: lines for name, lines in mains().items() if lines > LONGEST} == {}


def test_no_play_is_serial() -> None:
    # With a rescue it leaves one host deployed, another rolled back, and exit status 0.
    files = [path for room in ("playbooks", "roles") for path in sorted((ROOT / room).rglob("*.yml"))]
    assert len(files) > 100
    assert [str(path.relative_to(ROOT)) for path in files if re.search(r"(?m)^[\s-]*serial\s*:", path.read_text(encoding="utf-8"))] == []


def test_what_the_readme_links_to_is_built_into_the_collection_and_a_filled_in_vault_is_not() -> None:
    left_out = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]

    def built(name: str) -> bool:
        ways = [name, *map(str, pathlib.PurePath(name).parents)]
        return not any(fnmatch.fnmatch(way, pattern) for way in ways for pattern in left_out)

    links = set(re.findall(r"\]\(((?!https?:|#)[^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"docs/architecture.md", "inventories/example"} <= links
    assert [name for name in sorted(links) if not ((ROOT / name).exists() and built(name))] == []
    example = "inventories/example/group_vars/all"
    assert built(f"{example}/vault.yml.example") and not built(f"{example}/vault.yml")
