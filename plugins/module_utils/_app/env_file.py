# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Environment files: ``KEY=VALUE`` lines whose values are secrets.

A value stands bare, in single quotes (taken literally) or in double quotes (a JSON string, so that a value may hold
a newline). ``systemd`` reads the same files. Errors name the line number and never its text.
"""

from __future__ import annotations

import json
import os
import re
import stat

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def parse(text: str, path: str = "the environment file") -> dict[str, str]:
    """The variables of ``text``; blank lines, comments and a leading ``export`` are allowed, anything else raises."""
    found: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        name = name[7:].strip() if name.startswith("export ") else name.strip()
        if not separator or not _NAME.match(name):
            raise MigrationError(f"line {number} of {path} is not KEY=VALUE: write one variable a line")
        found[name] = _value(value.strip(), number, path)
    return found


def read(path: str) -> dict[str, str]:
    """The variables of the file ``path``, which nobody but its owner may read or write."""
    try:
        with open(path, encoding="utf-8") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise MigrationError(f"the environment file {path} cannot be read: {type(error).__name__}") from None
    if mode & 0o077:
        raise MigrationError(f"the environment file {path} has mode {mode:04o}: it holds secrets, make it 0600")
    return parse(text, path)


def _value(text: str, number: int, path: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        raise MigrationError(f"line {number} of {path} has an unfinished or wrongly escaped quotation") from None
    if not isinstance(value, str) or "\0" in value:
        raise MigrationError(f"line {number} of {path} holds a value that no environment can carry")
    return value
