# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked of a program that runs containers, podman or docker; outputs stay in 0600 files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import container_plan, process_table
from ansible_collections.dihya.migration.plugins.module_utils._command import Finished, find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory

_KEPT = re.compile(
    r"CONTAINERS_\w+|DOCKER_\w+|REGISTRY_AUTH_FILE|XDG_\w+|DBUS_SESSION_BUS_ADDRESS|SSL_CERT_(?:FILE|DIR)|(?i:https?_proxy|no_proxy)")


def surroundings() -> dict[str, str]:
    """The variables that tell podman or docker where its configuration is and how it reaches its daemon and a registry."""
    return {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}


class Engine:
    """Podman or docker on this host; what its commands printed is kept in ``log_dir``, where one is named."""

    tool = ""

    def __init__(self, log_dir: str = "") -> None:
        self.program = find_tool(self.tool)
        self.log_dir = log_dir

    def call(self, *argv: str, check: bool = True, timeout: float = 120, stdin: str | None = None) -> Finished:
        """Run the program with ``argv``; raises on a failure with ``check``, naming the file that says why."""
        log = None
        if check and self.log_dir:
            log = os.path.join(private_directory(self.log_dir), f"{self.tool}-{argv[0]}.log")
        return run([self.program, *argv], env=surroundings(), stdin=stdin, timeout=timeout, check=check, log=log)

    def storage(self) -> str | None:
        """The directory of its images, None when it does not work."""
        raise NotImplementedError

    def images(self) -> Sequence[Mapping[str, Any]]:
        """All images on this host, as :func:`container_plan.find_image` reads them."""
        raise NotImplementedError

    def drop(self, name: str, patience: float) -> None:
        """Remove the container ``name``, running or not."""
        raise NotImplementedError

    def image(self, pinned: str) -> str | None:
        """The id of the pinned image on this host, None when it is not there."""
        return container_plan.find_image(pinned, self.images())

    def fetch(self, pinned: str, archive: str | None, timeout: float) -> str:
        """Load the image from ``archive``, or pull it, and return the id that its digest proves."""
        if archive:
            self.call("load", "--quiet", f"--input={archive}", timeout=timeout)
        else:
            self.call("pull", "--quiet", pinned, timeout=timeout)
        found = self.image(pinned)
        if found is None:
            place, pin = (archive, "the image's id, which an archive keeps") if archive else ("the registry", "the digest that it tells")
            raise MigrationError(f"what came from {place} has not the digest of {pinned}: pin {pin}, or correct what lies there")
        return found

    def container(self, name: str) -> Mapping[str, Any] | None:
        """What is known of the container ``name``, None when there is none."""
        found = self.call("container", "inspect", name, check=False, timeout=60)
        return json.loads(found.stdout)[0] if found.status == 0 else None

    def runs(self, name: str, image: str, restarting: bool = True) -> bool:
        """Whether the container ``name`` runs, and from the image with the id ``image``.

        ``restarting``: whether one between two restarts counts, which docker calls running too.
        """
        found = self.container(name) or {"State": {}}
        state = found["State"]
        return (bool(state.get("Running")) and container_plan.bare_id(found["Image"]) == image
                and (restarting or not state.get("Restarting")))

    def identity(self, name: str) -> dict[str, Any]:
        """The container's id and its process, which together are never given to another one."""
        found = self.container(name) or {}
        pid = int(found.get("State", {}).get("Pid") or 0)
        return {"container": found.get("Id", ""), **(process_table.identity(pid) if pid else {"pid": 0, "start": 0, "boot": ""})}

    def end_tools(self, name: str) -> None:
        """End tools of the application that a killed run has left at work."""
        left = self.call("ps", "--all", "--quiet", f"--filter=label={container_plan.LABEL}={name}").stdout.split()
        for container in left:
            self.drop(container, 5)
