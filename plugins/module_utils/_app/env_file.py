# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Environment files: ``KEY=VALUE`` lines whose values are secrets.

A value stands bare, in single quotes (taken literally) or in double quotes (a JSON string, in which a newline or a tab may also
stand as it is). The role writes all values so that ``systemd`` reads the same from them: it knows no escapes but those of a quote and
a backslash. Errors name the line number and never its text.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OPEN = re.compile(r'"(?:[^"\\]|\\.)*\\?\Z', re.S)


def parse(text: str, path: str = "the environment file") -> dict[str, str]:
    """The variables of ``text``; blank lines, comments and a leading ``export`` are allowed, anything else raises."""
    found: dict[str, str] = {}
    lines = enumerate(text.split("\n"), 1)
    for number, raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, separator, value = raw.partition("=")
        name = name.strip().removeprefix("export ").strip()
        if not separator or not _NAME.match(name):
            raise MigrationError(f"line {number} of {path} is not KEY=VALUE: write one variable a line")
        found[name] = _value(_whole(value.lstrip(), lines).rstrip(), number, path)
    return found


def read(path: str) -> dict[str, str]:
    """The variables of the file ``path``, which nobody but its owner may read or write."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise MigrationError(f"the environment file {path} cannot be read: {type(error).__name__}") from None
    if mode & 0o077:
        raise MigrationError(f"the environment file {path} has mode {mode:04o}: it holds secrets, make it 0600")
    return parse(text, path)


def _whole(text: str, lines: Iterator[tuple[int, str]]) -> str:
    """``text`` with those of the ``lines`` after it that its quotation goes on for."""
    while _OPEN.match(text):
        _number, more = next(lines, (0, None))
        if more is None:
            break
        text = f"{text}\n{more}"
    return text


def _value(text: str, number: int, path: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        raise MigrationError(f"line {number} of {path} has an unfinished or wrongly escaped quotation") from None
    if not isinstance(value, str) or "\0" in value:
        raise MigrationError(f"line {number} of {path} holds a value that no environment can carry")
    return value
