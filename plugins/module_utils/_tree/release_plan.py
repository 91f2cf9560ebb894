# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do with releases, decided from what there is. Nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import ROOT, Entry, tree_digest

RELEASES = "releases"


@dataclass(frozen=True)
class Release:
    """A complete release that this module made: ``created`` RFC 3339, ``digest`` of the tree as it was put in.

    ``shared``: the paths below shared/ to which it leads, ``made`` those of them that it made itself. ``made_for``: the migration
    that put it there, empty where nobody said.
    """

    name: str
    created: str
    digest: str
    shared: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    made_for: str = ""


@dataclass(frozen=True)
class State:
    """What an application's directory holds.

    ``current`` is the text of the link (None: no link). ``previous`` maps a release to the link text that its activation replaced.
    ``failed`` are the names kept for analysis, ``foreign`` the names in releases/ that this module did not make or not complete.
    """

    releases: dict[str, Release] = field(default_factory=dict)
    current: str | None = None
    previous: dict[str, str | None] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """The change: ``switch`` says whether to set the link to ``link`` (None: remove it); then names to mark failed and to remove."""

    reason: str
    switch: bool = False
    link: str | None = None
    record: bool = False
    mark_failed: str | None = None
    remove: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.switch or self.mark_failed or self.remove)


def link_to(name: str) -> str:
    """The text of the link to a release; relative, so that the whole directory can be moved."""
    return f"{RELEASES}/{name}"


def release_of(link: str | None) -> str | None:
    """The release a link text leads to, None when it leads elsewhere or there is none."""
    head, _slash, name = (link or "").rpartition("/")
    return name if head == RELEASES and name else None


def release_digest(entries: Iterable[Entry]) -> str:
    """The digest that a tree of ``entries`` has as a release."""
    return tree_digest([open_root(entry) for entry in entries])


def open_root(entry: Entry) -> Entry:
    """``entry``; the root as a release has it, it can always be entered and written by its owner."""
    return replace(entry, mode=entry.mode | 0o700) if entry.path == ROOT else entry


def plan_activation(state: State, name: str) -> Plan:
    """Make ``name`` the current release. Raises when it is not there, incomplete, or marked as failed."""
    if name in state.failed:
        raise MigrationError(f"release {name} failed before and was kept for analysis: choose another name", subject="name")
    _require_ours(state, name)
    if state.current == link_to(name):
        return Plan(f"{name} is the current release already")
    return Plan(f"{name} replaces {state.current or 'nothing'}", switch=True, link=link_to(name), record=True)


def is_of_another(state: State, name: str, made_for: str | None) -> bool:
    """Whether the release ``name`` is there, and not by the migration ``made_for`` (None: whoever made it)."""
    return made_for is not None and name in state.releases and state.releases[name].made_for != made_for


def require_of(state: State, name: str, made_for: str | None) -> None:
    """Raise where :func:`is_of_another`: a rollback of ``made_for`` would take away what it did not put there."""
    if is_of_another(state, name, made_for):
        raise MigrationError(f"a release {name} is there already, and this migration did not put it there: give this one another name",
                             subject="name")


def plan_rollback(state: State, name: str, keep_failed: bool, made_for: str | None = None) -> Plan:
    """Undo the activation of ``name`` and remove it, or mark it when it is to be kept. Nothing to do is no error.

    What another migration than ``made_for`` put there is left alone.
    """
    if is_of_another(state, name, made_for):
        return Plan(f"{name} was not put there by this migration: left alone")
    switch = state.current == link_to(name)
    link = None
    if switch:
        if name not in state.previous:
            raise MigrationError(f"what was current before {name} is not recorded: it was not activated by this module", subject="name")
        link = state.previous[name]
        before = release_of(link)
        if before is not None and before not in state.releases and before not in state.foreign:
            raise MigrationError(f"the release before {name}, {before}, does not exist any more", subject="name")
    elif name in previous_of_current(state):
        return Plan(f"{name} is the release that a rollback of the current one needs: left alone")
    there = name in state.releases
    mark = name if there and keep_failed and name not in state.failed else None
    remove = (name,) if there and not keep_failed else ()
    if not (switch or mark or remove):
        return Plan(f"{name} is not active" + ("" if there else " and does not exist"))
    return Plan(f"{name} is rolled back" + (f" to {link or 'nothing'}" if switch else ""), switch, link, mark_failed=mark, remove=remove)


def plan_absence(state: State, name: str) -> Plan:
    """Remove ``name``. Raises when it is current or needed for a rollback, or when this module did not make it."""
    if name in state.foreign:
        raise MigrationError(f"{link_to(name)} was not made by this module: it is not removed", subject="name")
    if state.current == link_to(name) or name in previous_of_current(state):
        raise MigrationError(f"release {name} is the current one or the one before it: activate another first", subject="name")
    return Plan(f"{name} is removed", remove=(name,)) if name in state.releases else Plan(f"{name} does not exist")


def plan_pruning(state: State, keep: int) -> Plan:
    """Keep the newest ``keep`` releases; never remove the current one, the one before it, or a failed one."""
    if keep < 1:
        raise MigrationError("keep must be at least 1", subject="keep")
    protected = {release_of(state.current), *previous_of_current(state), *state.failed}
    ordered = sorted((r for r in state.releases.values() if r.name not in state.failed), key=lambda r: (r.created, r.name))
    removable = [release.name for release in ordered if release.name not in protected]
    remove = removable[: max(0, len(ordered) - keep)]
    return Plan(f"{len(remove)} of {len(ordered)} releases are surplus", remove=tuple(remove))


def previous_of_current(state: State) -> list[str]:
    """The release that a rollback of the current one would bring back, as a list of none or one."""
    current = release_of(state.current)
    before = release_of(state.previous.get(current)) if current else None
    return [before] if before else []


def shared_links(shared: Sequence[str] | dict[str, str]) -> dict[str, str]:
    """Path in the release → path below shared/, both without a trailing ``/`` on the left. Raises on paths that lead out."""
    pairs = shared.items() if isinstance(shared, dict) else [(path, path) for path in shared]
    links = {}
    for inside, outside in pairs:
        for path in (inside, outside):
            parts = str(path).rstrip("/").split("/")
            if any(part in ("", ".", "..") for part in parts) or "\0" in str(path):
                raise MigrationError(f"shared: {path!r} must be a relative path without . and ..", subject="shared")
        links[inside.rstrip("/")] = outside
    nested = [one for one in links for other in links if one != other and one.startswith(other + "/")]
    if nested:
        raise MigrationError(f"shared: {nested[0]!r} lies below another shared path", subject="shared")
    return links


def _require_ours(state: State, name: str) -> None:
    if name in state.releases:
        return
    if name in state.foreign:
        raise MigrationError(f"{link_to(name)} is no complete release of this module (it has no .release.json)", subject="name")
    raise MigrationError(f"release {name} does not exist: stage it first (state: present)", subject="name")
