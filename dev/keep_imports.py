# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep what Ansible reads out of the sources of a module: what they import, to know which files a module takes along.

It parses some eighty files for that, once per module and run: two thirds of what it costs to put a module together. ``dev/setup.py``
puts this into ``.venv`` beside ``keep_compiled``, whose directory it shares. It is no part of the collection. A source of which
nothing is kept, or that says more than imports to Ansible, is parsed as ever.
"""

from __future__ import annotations

import sys

import keep_compiled

TYPE_CHECKING = False
if TYPE_CHECKING:  # every start of Python pays for what is imported here
    import ast
    from typing import Any

BUILDER = "ansible.executor.module_common"
PARSER = "_compile_module_ast"
MORE_THAN_IMPORTS = b"METADATA"
"""What else Ansible looks for in a module."""
WHOLE = b"\n# whole\n"
"""The end of what is kept: without it the file was cut, and imports may be missing."""


def imports_only(tree: ast.Module) -> str:
    """A source with the imports of ``tree`` alone: at its top level stand those that stand there, in an ``if`` all that are deeper."""
    import ast

    lines = []
    for statement in tree.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            lines.append(ast.unparse(statement))
        else:
            lines += [f"if 1: {ast.unparse(node)}" for node in ast.walk(statement) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return "\n".join(lines)


def parse_kept(parse: Any) -> Any:
    """``parse`` of Ansible (name and source of a module to its tree), which is spared all but the imports."""
    import ast

    def parse_imports(name: str, source: Any) -> Any:
        content = bytes(source, "utf-8") if isinstance(source, str) else bytes(source)
        if MORE_THAN_IMPORTS in content:
            return parse(name, source)
        path = keep_compiled.kept_for(content) + "-imports"
        try:
            with open(path, "rb") as stream:
                kept = stream.read()
            if kept.endswith(WHOLE):
                return ast.parse(kept)
        except (OSError, SyntaxError, ValueError):
            pass  # parsed below
        tree = parse(name, source)
        keep_compiled.keep(path, imports_only(tree).encode() + WHOLE)
        return tree

    return parse_imports


class Watch:
    """A finder that waits for the module ``name``, lets ``change`` have it once it is loaded, and steps aside."""

    def __init__(self, name: str, change: Any) -> None:
        self._name, self._change = name, change

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """The usual finding of that one module; nothing else is found here."""
        if name != self._name:
            return None
        from importlib import util

        sys.meta_path.remove(self)
        spec = util.find_spec(name)
        loader: Any = spec and spec.loader
        if loader:
            load = loader.exec_module

            def load_and_change(module: Any) -> None:
                load(module)
                self._change(module)

            loader.exec_module = load_and_change
        return spec


def spare_parsing(builder: Any) -> None:
    """Replace the parser of ``builder``; older versions have none."""
    if hasattr(builder, PARSER):
        setattr(builder, PARSER, parse_kept(getattr(builder, PARSER)))


sys.meta_path.insert(0, Watch(BUILDER, spare_parsing))
