# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An execution environment built with this collection has what the controller's side of it imports."""

from __future__ import annotations

import ast
import importlib.metadata
import pathlib
import re
import sys

import yaml
from ansible.release import __version__
from ansible_collections.dihya.migration.plugins.action.preflight_inputs import check_core

ROOT = pathlib.Path(__file__).parents[3]
OURS = "ansible_collections.dihya.migration."
DEPENDENCIES = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text(encoding="utf-8"))["dependencies"]
# Always imported by the controller; what else these import is followed.
ON_THE_CONTROLLER = ("action", "callback", "filter", "plugin_utils")


def test_an_older_ansible_core_is_refused_and_every_place_names_the_same() -> None:
    assert check_core(__version__) == [] and "needs >=2.19.0" in check_core("2.17.14")[0]["finding"]
    roles = {yaml.safe_load(path.read_text(encoding="utf-8"))["galaxy_info"]["min_ansible_version"]
             for path in (ROOT / "roles").glob("*/meta/main.yml")}
    assert roles == {"2.19"} and "needs ansible-core 2.19 or later" in (ROOT / "README.md").read_text(encoding="utf-8")


def delegated_modules() -> set[str]:
    """The modules of ours that a role runs on the controller."""
    found = set()
    for path in sorted((ROOT / "roles").glob("*/tasks/**/*.yml")):
        for task in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
            if task.get("delegate_to") == "localhost":
                found |= {key.rpartition(".")[2] for key in task if key.startswith("dihya.migration.")}
    return found


def imported(path: pathlib.Path) -> set[str]:
    """The dotted names of all that the file imports, wherever in it; ``from x import y`` gives ``x`` and ``x.y``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def third_party() -> set[str]:
    """Top-level names of packages, outside Python and ansible-core, that the controller's side of the collection imports."""
    waiting = [path for folder in ON_THE_CONTROLLER for path in (ROOT / "plugins" / folder).rglob("*.py")]
    waiting += [ROOT / "plugins" / "modules" / f"{name}.py" for name in delegated_modules()]
    seen: set[pathlib.Path] = set()
    foreign = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imported(path):
            if name.startswith(OURS):
                place = ROOT / name[len(OURS):].replace(".", "/")
                waiting += [one for one in (place.with_suffix(".py"), place / "__init__.py") if one.exists()]
            elif name.partition(".")[0] not in {*sys.stdlib_module_names, "ansible", "ansible_collections"}:
                foreign.add(name.partition(".")[0])
    return foreign


def distribution(requirement: str) -> str:
    """The name of the distribution that a line of requirements asks for, in small letters."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def test_it_names_files_that_are_there_and_are_built_into_the_collection():
    left_out = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    for name in DEPENDENCIES.values():
        assert (ROOT / name).is_file()
        assert name.partition("/")[0] not in left_out


def test_every_package_that_the_controllers_side_imports_is_asked_for():
    lines = (ROOT / DEPENDENCIES["python"]).read_text(encoding="utf-8").splitlines()
    asked = {distribution(line) for line in lines if line and not line.startswith("#")}
    with_core = {distribution(one) for one in importlib.metadata.requires("ansible-core") or []}
    packages = importlib.metadata.packages_distributions()
    needed = {one.lower() for name in third_party() for one in packages[name]}
    assert needed - with_core == asked
