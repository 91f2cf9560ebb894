# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Password files of libpq, for what libpq itself cannot do with them (its manual, section The Password File). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint


def passfile_password(text: str, endpoint: Endpoint, database: str) -> str:
    """The password that libpq would take from a password file that says ``text``; raises when there is none."""
    wanted = (endpoint.host, str(endpoint.port), database, endpoint.user)
    for fields in _lines(text):
        if all(field in ("*", value) for field, value in zip(fields, wanted)):
            return fields[4]
    raise MigrationError(f"the passfile has no password of user {endpoint.user} on {endpoint}")


def passwords_by_role(text: str) -> dict[str, str]:
    """Passwords by role of a password file that says ``text``: the first line of each role that is named."""
    found: dict[str, str] = {}
    for fields in _lines(text):
        if fields[3] != "*":
            found.setdefault(fields[3], fields[4])
    return found


def _lines(text: str) -> list[list[str]]:
    """Host, port, database, role and password of every line that has them."""
    return [fields for fields in map(_fields, text.replace("\r\n", "\n").split("\n")) if len(fields) == 5]


def _fields(line: str) -> list[str]:
    """The fields of a line of a password file; the last one may hold colons."""
    if line.startswith("#"):
        return []
    parts: Sequence[str] = re.split(r"(?<!\\)((?:\\\\)*):", line)
    fields = ["".join(parts[at:at + 2]) for at in range(0, len(parts), 2)]
    fields = [*fields[:4], ":".join(fields[4:])] if len(fields) > 5 else fields
    return [re.sub(r"\\(.)", r"\1", field) for field in fields]
