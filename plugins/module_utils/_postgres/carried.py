# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What both sides of a comparison become when some of the source stays behind: only what travels is compared, the rest is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import (
    Adaptation,
    adapt_capture,
    adapt_database,
    adaptation,
    not_carried,
)
from ansible_collections.dihya.migration.plugins.module_utils._postgres.compare import Difference
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import quote, transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.limits import adaptation_to

RULE = "not_carried"
Catalog = Mapping[str, Mapping[str, Mapping[str, Any]]]


class Wishes(Protocol):
    """The part of a verification that says what may differ."""

    owners: dict[str, str]
    service_roles: Sequence[str]
    leave_out: Sequence[str]
    rename: dict[str, str]
    application_name: str


def read_change(target: Endpoint, before: Mapping[str, Any], after: Mapping[str, Any], wishes: Wishes) -> Adaptation:
    """How the capture ``before`` was adapted to the target, which the capture ``after`` describes."""
    with transaction(target, None, None, wishes.application_name) as connection:
        change = adaptation_to(connection, before, owners=wishes.owners, service_roles=wishes.service_roles, leave_out=wishes.leave_out)
    return beside(change, after, wishes.rename, wishes.service_roles)


def beside(change: Adaptation, after: Mapping[str, Any], rename: Mapping[str, str], service_roles: Sequence[str]) -> Adaptation:
    """``change`` where the target has what the capture ``after`` says, roles of a service among it."""
    theirs = adaptation(after["roles"], change.limits, owners={}, service_roles=service_roles, leave_out=())
    # A role of the target's service is no more compared than one of the source's.
    return replace(change.beside(after, rename), left=change.left | theirs.left - change.owners.keys() - set(change.owners.values()))


def carry(before: Mapping[str, Any], after: Mapping[str, Any],
          change: Adaptation) -> tuple[dict[str, Any], dict[str, Any], list[Difference]]:
    """Both captures as far as they are compared, and what is not, explained by the rule ``not_carried``."""
    theirs = replace(change, owners={})
    databases = {name: adapt_database(contents, theirs) for name, contents in after["databases"].items()}
    left = [Difference("", subject, "not carried", RULE) for _kind, subject in not_carried(before, change)]
    return adapt_capture(before, change), dict(after, databases=databases), left


def carry_catalog(catalog: Catalog, change: Adaptation) -> dict[str, dict[str, dict[str, Any]]]:
    """A catalog with owners as they become, and without what is left out."""
    left = {(kind, name) for item in change.leave_out for kind in catalog if item.startswith(kind + " ")
            for name in (item[len(kind) + 1:], quote(item[len(kind) + 1:]))}
    return {kind: {identity: _owned(entry, change) for identity, entry in found.items() if (kind, identity) not in left}
            for kind, found in catalog.items()}


def _owned(entry: Mapping[str, Any], change: Adaptation) -> dict[str, Any]:
    owner = entry.get("owner")
    return dict(entry, owner=change.role(owner) or owner) if owner else dict(entry)
