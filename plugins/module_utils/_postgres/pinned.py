# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of the source's server that become settings of each restored database: which are known, and what the target refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import describe_error, import_psycopg2
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import set_statements


def pinned(wanted: Iterable[str], settings: Mapping[str, str]) -> list[str]:
    """``name=value`` for each name in ``wanted`` that ``settings`` (of :func:`read_server`) has, in whatever case it is written."""
    names = {name.lower(): name for name in settings}
    return list(dict.fromkeys(f"{names[one.lower()]}={settings[names[one.lower()]]}" for one in wanted if one.lower() in names))


def unknown(wanted: Iterable[str], settings: Mapping[str, str]) -> list[str]:
    """The names in ``wanted`` that ``settings`` has not."""
    known = {name.lower() for name in settings}
    return [one for one in wanted if one.lower() not in known]


def refused(connection: Any, entries: Sequence[str]) -> dict[str, str]:
    """Why the server refuses those of ``entries`` (of :func:`pinned`) that it does, by name.

    The login tries them on itself, for which the rules are those of a database, and rolls back.
    """
    psycopg2 = import_psycopg2()
    found = {}
    for entry, statement in zip(entries, set_statements("ALTER ROLE CURRENT_USER", list(entries))):
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                found[entry.partition("=")[0]] = describe_error(error)
            finally:
                cursor.execute("ROLLBACK")
    return found
