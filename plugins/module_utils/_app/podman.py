# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the engines ask of podman and of systemd; secrets go in by standard input."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app.engine import Engine
from ansible_collections.dihya.migration.plugins.module_utils._command import Finished, find_tool, run

UNITS = "/etc/containers/systemd"


class Podman(Engine):
    """Podman on this host."""

    tool = "podman"

    def version(self) -> tuple[int, ...]:
        """Its version as numbers."""
        found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", self.call("--version", check=False).stdout)
        return tuple(int(part or 0) for part in found.groups()) if found else (0,)

    def storage(self) -> str | None:
        """The directory of its images, None when it does not work."""
        found = self.call("info", "--format={{.Store.GraphRoot}}", check=False)
        return found.stdout.strip() if found.status == 0 and os.path.isdir(found.stdout.strip()) else None

    def images(self) -> Sequence[Mapping[str, Any]]:
        """All images on this host."""
        return json.loads(self.call("images", "--no-trunc", "--format=json").stdout or "[]") or []

    def put_secrets(self, values: Mapping[str, str]) -> None:
        """Store each value under its name, in place of one of before."""
        self.drop_secrets(list(values))
        for name, value in values.items():
            self.call("secret", "create", name, "-", stdin=value)

    def secrets(self) -> set[str]:
        """The names of all secrets on this host."""
        return set(self.call("secret", "ls", "--format={{.Name}}").stdout.split())

    def drop_secrets(self, names: Sequence[str]) -> None:
        """Remove those of ``names`` that exist."""
        present = sorted(self.secrets() & set(names)) if names else []
        if present:
            self.call("secret", "rm", *present)

    def drop(self, name: str, patience: float) -> None:
        """Remove the container ``name``, running or not."""
        self.call("rm", "--force", "--ignore", f"--time={int(patience)}", name, timeout=patience + 60)


def unit_path(service: str) -> str:
    """The Quadlet file of ``service``."""
    return os.path.join(UNITS, f"{service}.container")


def systemctl(*argv: str, check: bool = True, timeout: float = 300) -> Finished:
    """Run ``systemctl argv``."""
    return run([find_tool("systemctl"), *argv], check=check, timeout=timeout)
