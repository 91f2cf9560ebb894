# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether anything of a frozen source changed that is no row: what a row digest does not show is missing on the target too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import cluster, contents
from ansible_collections.dihya.migration.plugins.module_utils._postgres.catalog import read_catalog
from ansible_collections.dihya.migration.plugins.module_utils._postgres.digest import transaction
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.fence import digest_of
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_plan import difference


def digest_of_server(endpoint: Endpoint, databases: Sequence[str], application_name: str) -> str:
    """Digest of roles, memberships and settings, and of what ``databases`` are themselves."""
    with transaction(endpoint, None, None, application_name) as connection:
        return digest_of(cluster(connection, databases))


def redefined(endpoint: Endpoint, frozen: Mapping[str, Mapping[str, Any]], server: str, catalogs: Mapping[str, str | None],
              application_name: str) -> Iterator[str]:
    """Sentences on what changed since the freeze.

    ``frozen`` is what a freeze makes of the captured databases, ``server`` was :func:`digest_of_server` behind it, and
    ``catalogs`` are digests of the catalogs that were proved, None where none was.
    """
    if digest_of_server(endpoint, list(frozen), application_name) != server:
        yield "roles or settings of the server changed"
    for name, before in sorted(frozen.items()):
        if catalogs.get(name) is None:
            yield f"the proof holds no definitions of database {name}: make it of all, not of rows alone"
            continue
        with transaction(endpoint, name, None, application_name) as connection:
            after, catalog = contents(connection), digest_of(read_catalog(connection))
        changed = difference({key: before[key] for key in after}, after)
        if changed:
            yield f"owners or privileges in database {name} changed: {changed[0]}"
        if catalog != catalogs[name]:
            yield f"objects in database {name} changed"
