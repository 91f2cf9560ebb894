# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep what Python compiles out of zip files: every module of Ansible is one, and is compiled anew by every task else.

``dev/setup.py`` puts this into ``.venv``, where it spares the demo and the tests a third of what a short task on this machine
takes; the containers of the scenarios have it too. It is no part of the collection. What is kept is found by Python's version and
the source (as hash-based .pyc files are, PEP 552), so that no other source is ever run; only code is kept, and what a task is given
does not lie in its zip file.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport
from importlib import util

TYPE_CHECKING = False
if TYPE_CHECKING:  # every start of Python pays for what is imported here
    import types
    from typing import Any

KEPT = os.path.join(sys.prefix, "kept-compiled")
# Both have parts that are Python's own, and that no type checker knows.
_imports: Any = _imp
_zips: Any = zipimport
_compile = _zips._compile_source


def kept_for(source: bytes) -> str:
    """Path under which is kept what this Python makes out of ``source``."""
    digest = _imports.source_hash(int.from_bytes(util.MAGIC_NUMBER, "little"), source).hex()
    return os.path.join(KEPT, f"{digest}-{len(source)}")


def keep(path: str, content: bytes) -> None:
    """Write ``content`` to ``path`` at once, or not at all where the disk does not want it."""
    try:
        os.makedirs(KEPT, mode=0o700, exist_ok=True)
        unfinished = f"{path}.{os.getpid()}"
        with open(unfinished, "wb") as stream:
            stream.write(content)
        os.replace(unfinished, path)
    except OSError:
        return


def compile_source(pathname: str, source: bytes) -> types.CodeType:
    """The code of ``source``, read from ``pathname`` in a zip file."""
    kept = kept_for(source)
    try:
        with open(kept, "rb") as stream:
            code = marshal.load(stream)
        _imports._fix_co_filename(code, pathname)
    except (OSError, EOFError, ValueError, TypeError):
        code = _compile(pathname, source)
        keep(kept, marshal.dumps(code))
    return code


_zips._compile_source = compile_source
