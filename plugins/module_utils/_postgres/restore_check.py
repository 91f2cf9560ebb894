# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a backup its target cannot take: the checks of preflight that need no source, for whoever restores without one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding
from ansible_collections.dihya.migration.plugins.module_utils._postgres import preflight
from ansible_collections.dihya.migration.plugins.module_utils._postgres.collations import refused_locales
from ansible_collections.dihya.migration.plugins.module_utils._postgres.managed_facts import closed_extensions
from ansible_collections.dihya.migration.plugins.module_utils._postgres.needs import read_offer
from ansible_collections.dihya.migration.plugins.module_utils._postgres.pinned import pinned, refused
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import Backup, RestoreRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import major_of

CHECKS = (preflight.order_of_versions, preflight.extensions, preflight.locales, preflight.collations, preflight.types,
          preflight.target_space, preflight.target_locks, preflight.passwords, preflight.pins)
# What a backup says that was made before needs were noted in it.
NOTHING: dict[str, Any] = {"extensions": [], "types": {}, "icu_columns": 0}


def old_tools(manifest: dict[str, Any], pg_restore: str) -> list[str]:
    """What is against a ``pg_restore`` of that version: one that is older than what wrote the backup may not read it, or not all of it.

    Nothing older than the dumped server writes a backup, so it is no younger than that either.
    """
    written = max(major_of(manifest["tools"]["pg_dump"]), manifest["server"]["version_num"] // 10000)
    if major_of(pg_restore) >= written:
        return []
    return [f"pg_restore is of version {pg_restore}, and the backup was made with tools of version {written}: "
            f"install the client tools of version {written} or newer, or name their directory in bin_dir"]


def look(request: RestoreRequest, backup: Backup, connection: Any, server: dict[str, Any], existing: Collection[str]) -> list[Finding]:
    """What the target of ``connection`` cannot take of a backup, and what is to be known of it beside.

    ``server`` is what :func:`read_server` says of the target, ``existing`` names its roles.
    """
    manifest, wanted = backup.manifest, request.databases or backup.manifest["databases"]
    # All that the manifest lists of a database are tables, which a dump of them locks.
    contents = {name: dict(frame.get("needs", NOTHING), relations=[dict(one, kind="r") for one in manifest["tables"][name].values()])
                for name, frame in manifest["databases"].items() if name in wanted}
    offer = dict(read_offer(connection, request.target, server), server=server, user=request.target.user)
    offer["refused_pins"] = refused(connection, pinned(request.pin_settings, manifest["server"]["settings"]))
    offer["superuser_only"] = closed_extensions(contents, offer, connection, request.leave_out)
    offer["refused_locales"] = refused_locales(connection, contents.values(), offer["collations"])
    made = [role for role in backup.globals["roles"] if role["name"] not in existing] if request.roles == "restore" else []
    source = {"server": manifest["server"], "globals": {"databases": list(manifest["databases"].values()), "roles": made},
              "contents": contents}
    facts = {"source": source, "target": offer, "leave_out": request.leave_out, "pins": request.pin_settings, "backup": None, "copies": []}
    # Whether there is room that could not be asked for, the restore itself shows.
    return [one for check in CHECKS for one in check(facts) if one["blocking"] or check is not preflight.target_space]
