# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the engines ask of docker and of its Compose; any daemon that speaks Docker's API answers, that of podman too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import container_plan
from ansible_collections.dihya.migration.plugins.module_utils._app.engine import Engine
from ansible_collections.dihya.migration.plugins.module_utils._command import Finished
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import publish


class Docker(Engine):
    """Docker on this host."""

    tool = "docker"

    def compose(self, project: str, file: str, *argv: str, timeout: float = 120) -> Finished:
        """Run ``docker compose argv`` on the project that ``file`` describes."""
        return self.call("compose", *container_plan.compose_options(project, file), *argv, timeout=timeout)

    def compose_version(self) -> tuple[int, ...] | None:
        """The version of Compose as numbers, None where docker has none."""
        found = self.call("compose", "version", "--short", check=False)
        numbers = re.match(r"v?(\d+)\.(\d+)", found.stdout) if found.status == 0 else None
        return tuple(map(int, numbers.groups())) if numbers else None

    def storage(self) -> str | None:
        """The directory of its images, None when no daemon answers. It may be one that this user does not see."""
        found = self.call("info", "--format={{.DockerRootDir}}", check=False)
        return found.stdout.strip() or None if found.status == 0 else None

    def images(self) -> Sequence[Mapping[str, Any]]:
        """All images on this host."""
        listed = self.call("images", "--no-trunc", "--digests", "--format={{json .}}").stdout.splitlines()
        return [{"Id": container_plan.bare_id(image["ID"]), "Digest": image["Digest"]} for image in map(json.loads, listed)]

    def drop(self, name: str, patience: float) -> None:
        """Remove the container ``name``, running or not."""
        self.call("stop", f"-t={int(patience)}", name, check=False, timeout=patience + 60)
        self.call("rm", "--force", name, check=False)
        if self.container(name):
            raise MigrationError(f"docker does not remove the container {name}: remove it, then run this again")

    def start_with_machine(self, name: str) -> None:
        """Let the daemon start the container ``name`` when it starts itself, unless it was stopped."""
        self.call("update", "--restart=unless-stopped", name)

    def keep_log(self, name: str, path: str) -> None:
        """Write all that the container ``name`` has printed to ``path``, as podman writes it."""
        told = self.call("logs", "--timestamps", name, check=False)
        if told.status != 0:
            raise MigrationError(f"docker does not tell what {name} printed: run `docker logs {name}` and correct what it says")
        lines = _lines("stdout", told.stdout) + _lines("stderr", told.stderr)
        publish(path, "".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.partition(" ")[0])).encode())


def _lines(stream: str, text: str) -> list[str]:
    return [f"{time} {stream} F {told}" for time, _space, told in (line.partition(" ") for line in text.split("\n") if line)]
