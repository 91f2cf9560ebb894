# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to put into a bucket, what to take out, and in which order, decided from what there is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.dihya.migration.plugins.module_utils._bucket.objects import (
    QUIET,
    Site,
    Stored,
    is_hashed,
    rank,
    wanted,
)
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import first_names, raw

File = tuple[int, str]
"""Size and SHA-256."""


@dataclass(frozen=True)
class Goal:
    """What the bucket is to hold: ``build`` the objects of the release, ``old`` assets of the live build that it gets as well,
    ``stay`` those of before that stay, ``go`` the keys of those that do not; ``hashed`` keys whose content never changes.
    """

    build: Site
    old: Site
    stay: Site
    go: frozenset[str]
    hashed: frozenset[str]

    @property
    def put(self) -> Site:
        """What is ours to put."""
        return {**self.old, **self.build}

    @property
    def whole(self) -> Site:
        """All that is there at the end."""
        return {**self.stay, **self.put}

    def touched(self) -> list[str]:
        """Keys that this release puts or removes."""
        return sorted({*self.put, *self.go})


def set_goal(build: Mapping[str, File], old: Mapping[str, File], before: Site, assets: Sequence[str], remove_others: bool) -> Goal:
    """The goal from the files of the build, those of the copy of the live build, and what was in the bucket before.

    A name that looks hashed and is in the bucket with another content does not tell its content: browsers must ask for it.
    """
    hashed = {key for key in {*build, *old, *before} if is_hashed(key, assets)}
    hashed -= {key for key in build if key in before and before[key].sha256 != build[key][1]}
    ours = {key: wanted(key, *build[key], key in hashed) for key in build}
    kept = {key: wanted(key, *old[key], True) for key in old if key in hashed and key not in build and key not in before}
    others = {key for key in before if key not in build and key not in hashed}
    stay = {key: one for key, one in before.items() if key not in build and not (remove_others and key in others)}
    return Goal(ours, kept, stay, frozenset(others if remove_others else ()), frozenset(hashed))


@dataclass(frozen=True)
class Step:
    """Objects that may appear in any order, and then keys that may go; ``loads`` when they load what was put before them."""

    put: tuple[Stored, ...] = ()
    loads: bool = False
    remove: tuple[str, ...] = ()


def plan(goal: Goal, now: Site, before: Site, mine: Iterable[str], public: bool) -> list[Step]:
    """Steps from ``now`` to the goal.

    With ``public`` only files whose names were unknown before and tell their content: nobody sees them until a page asks for them.
    ``mine`` are the keys that an earlier try has put. Raises when anything else than these is neither as it was saved nor as it is wanted.
    """
    mine = set(mine)
    whole = goal.whole
    strange = {key for key in {*now, *before} - mine if now.get(key) not in (before.get(key), whole.get(key))}
    if strange:
        raise MigrationError(f"the bucket has changed since it was saved ({_names(strange)}): "
                             "let nobody else write to it, and save it again", subject="bucket")
    lacking = [one for one in goal.put.values() if now.get(one.key) != one]
    if public:
        quiet = tuple(one for one in lacking if one.key in goal.hashed and one.key not in before)
        return [Step(quiet)] if quiet else []
    return _steps(lacking, sorted(key for key in now if key not in whole), goal.hashed)


def plan_back(now: Site, before: Site, mine: Iterable[str]) -> tuple[list[Step], list[str]]:
    """Steps back to ``before`` for the keys that are ours, and the keys that are neither ours nor as they were: those are left alone."""
    mine = set(mine)
    lacking = [before[key] for key in mine if key in before and now.get(key) != before[key]]
    added = sorted(key for key in mine if key in now and key not in before)
    left = sorted(key for key in {*now, *before} - mine if now.get(key) != before.get(key))
    return _steps(lacking, added, frozenset()), left


def after(now: Site, steps: Sequence[Step]) -> tuple[Site, int, int]:
    """What the bucket holds after ``steps``, and how many objects they put and remove."""
    put = {one.key: one for step in steps for one in step.put}
    gone = {key for step in steps for key in step.remove}
    return {key: one for key, one in {**now, **put}.items() if key not in gone}, len(put), len(gone)


def _steps(put: Iterable[Stored], remove: Sequence[str], hashed: frozenset[str]) -> list[Step]:
    """What is only loaded, then what is asked for by its name, one rank after the other; what goes does so at the end, pages first."""
    ranks: dict[int, list[Stored]] = {}
    for one in sorted(put, key=lambda one: one.key):
        ranks.setdefault(rank(one.key, one.key in hashed), []).append(one)
    quiet = tuple(one for number in QUIET for one in ranks.get(number, []))
    steps = [Step(quiet)] if quiet else []
    loud = [number for number in sorted(ranks) if number not in QUIET]
    steps += [Step(tuple(ranks[number]), loads=number == loud[0]) for number in loud]
    return [*steps, Step(remove=tuple(sorted(remove, key=lambda key: (-rank(key, False), key))))] if remove else steps


def _names(keys: Iterable[str]) -> str:
    return first_names(map(raw, keys))
