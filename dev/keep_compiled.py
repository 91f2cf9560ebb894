# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep what Python compiles out of zip files: every module of Ansible is one, and is compiled anew by every task else.

``dev/setup.py`` puts this into ``.venv``, where it spares the demo and the tests a third of what a short task on this machine
takes; the containers of the scenarios have it too. It is no part of the collection. What is kept is found by Python's version and
the source (as hash-based .pyc files are, PEP 552), so that no other source is ever run; only code is kept, and what a task is given
does not lie in its zip file.
"""

import _imp
import contextlib
import marshal
import os
import sys
import types
import zipimport
from importlib import util
from typing import Any

KEPT = os.path.join(sys.prefix, "kept-compiled")
# Both have parts that are Python's own, and that no type checker knows.
_imports: Any = _imp
_zips: Any = zipimport
_compile = _zips._compile_source


def compile_source(pathname: str, source: bytes) -> types.CodeType:
    """The code of ``source``, read from ``pathname`` in a zip file."""
    digest = _imports.source_hash(int.from_bytes(util.MAGIC_NUMBER, "little"), source).hex()
    kept = os.path.join(KEPT, f"{digest}-{len(source)}")
    with contextlib.suppress(OSError, EOFError, ValueError, TypeError):
        with open(kept, "rb") as stream:
            code = marshal.load(stream)
        _imports._fix_co_filename(code, pathname)
        return code
    code = _compile(pathname, source)
    with contextlib.suppress(OSError):
        os.makedirs(KEPT, mode=0o700, exist_ok=True)
        unfinished = f"{kept}.{os.getpid()}"
        with open(unfinished, "wb") as stream:
            marshal.dump(code, stream)
        os.replace(unfinished, kept)
    return code


_zips._compile_source = compile_source
