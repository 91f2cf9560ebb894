# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server gives to every role: settings (``ALTER ROLE ALL``) and privileges on parameters (to PUBLIC). All pure.

Both sides are captures. The target keeps what it has of its own: other databases may live with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.acl import PUBLIC, explode

# Where one of these is not installed, nobody could log in any more, not even to take it back.
LIBRARIES = "_preload_libraries"


@dataclass(frozen=True)
class Everybody:
    """``settings`` as ``name=value`` and ``privileges`` as (parameter, privilege)."""

    settings: tuple[str, ...] = ()
    privileges: tuple[tuple[str, str], ...] = ()


def settings_of(taken: Mapping[str, Any]) -> dict[str, str]:
    """The settings of every role, ``name=value`` by name."""
    return {value.partition("=")[0]: value for database, role, values in taken["settings"] if not database and not role for value in values}


def privileges_of(taken: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The privileges on parameters that every role has."""
    return {(name, item.privilege) for name, acl in taken.get("parameters", {}).items() for item in explode(acl) if item.grantee == PUBLIC}


def owed(source: Mapping[str, Any], target: Mapping[str, Any]) -> Everybody:
    """What a restore gives to every role of the target."""
    theirs = settings_of(target)
    settings = [value for name, value in sorted(settings_of(source).items()) if name not in theirs and not name.endswith(LIBRARIES)]
    return Everybody(tuple(settings), tuple(sorted(privileges_of(source) - privileges_of(target))))


def kept(source: Mapping[str, Any], target: Mapping[str, Any]) -> Iterator[str]:
    """What the target keeps of its own, as subjects of sentences."""
    one, other = settings_of(source), settings_of(target)
    for name in sorted(one.keys() | other.keys()):
        if name in other and one.get(name) != other[name]:
            yield f"setting {name} for every role: the target has its own"
        elif name not in other and name.endswith(LIBRARIES):
            yield f"setting {name} for every role: each server has its own libraries"
    for name in sorted({name for name, _privilege in privileges_of(target) - privileges_of(source)}):
        yield f"privileges on parameter {name} for every role: the target has its own"


def withheld(source: Mapping[str, Any]) -> Iterator[str]:
    """All of the source's, as subjects of sentences."""
    yield from (f"setting {name} for every role" for name in sorted(settings_of(source)))
    yield from (f"privileges on parameter {name} for every role" for name in sorted({name for name, _privilege in privileges_of(source)}))
