# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a backup its target cannot take: the checks of preflight that need no source, for whoever restores without one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres import preflight
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.managed_facts import closed_extensions
from ansible_collections.dihya.migration.plugins.module_utils._postgres.needs import read_offer
from ansible_collections.dihya.migration.plugins.module_utils._postgres.pinned import pinned, refused
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import major_of

CHECKS = (preflight.order_of_versions, preflight.extensions, preflight.locales, preflight.types, preflight.target_space,
          preflight.pins)
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


def obstacles(manifest: dict[str, Any], wanted: Collection[str], connection: Any, target: Endpoint, server: dict[str, Any],
              leave_out: Collection[str], pins: Sequence[str]) -> list[str]:
    """Everything that keeps the databases ``wanted`` of a backup from being restored over ``connection``, with its remedy.

    ``server`` is what :func:`read_server` says of the target, ``pins`` names settings that are to be pinned.
    """
    contents = {name: dict(frame.get("needs", NOTHING), relations=list(manifest["tables"][name].values()))
                for name, frame in manifest["databases"].items() if name in wanted}
    offer = dict(read_offer(connection, target, server), server=server, user=target.user)
    offer["refused_pins"] = refused(connection, pinned(pins, manifest["server"]["settings"]))
    offer["superuser_only"] = closed_extensions(contents, offer, connection, leave_out)
    facts = {"source": {"server": manifest["server"], "globals": {"databases": list(manifest["databases"].values())}, "contents": contents},
             "target": offer, "leave_out": leave_out, "pins": pins, "backup": None, "copies": []}
    return [f"{one['finding']}: {one['remedy']}" for check in CHECKS for one in check(facts) if one["blocking"]]
