# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a container of an application is made of; pure: pins, options of podman, the text of a Quadlet unit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import process_table
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

FORMS = ("quadlet", "podman")
STATES = ("present", "started", "stopped", "resumed", "reverted", "enabled", "observed")
OLDEST = {"podman": (4, 0), "quadlet": (4, 6)}
"""The first version of podman that knows all that a form needs."""
INSTALL = "[Install]"
LABEL = "dihya.migration.tool"
_PIN = re.compile(r"([a-z0-9](?:[a-z0-9._:/-]*[a-z0-9])?)@(sha256:[0-9a-f]{64})\Z")


@dataclass(frozen=True)
class Definition:
    """What to run; ``image`` is the id of the verified image, ``log_file`` receives what the application prints."""

    name: str
    service: str
    form: str
    image: str
    log_file: str
    command: tuple[str, ...] = ()
    user: str = ""
    volumes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Changes with everything that would make a running container differ from this definition."""
        plain = (self.form, self.service, self.image, self.log_file, self.command, self.user, self.volumes)
        text = json.dumps([plain, sorted(self.environment.items()), sorted(self.secrets.items())])
        return hashlib.sha256(text.encode()).hexdigest()


def parse_pin(image: str) -> tuple[str, str]:
    """``(name, "sha256:…")`` of an image that is pinned by digest; a tag alone raises, it can be moved at any time."""
    found = _PIN.match(image or "")
    if not found:
        raise MigrationError(
            "the image is not pinned by a digest: write it as NAME@sha256:…, with the Digest (from a registry) or the Id "
            "(from an archive) that `podman image inspect NAME:TAG` tells"
        )
    return found.group(1), found.group(2)


def find_image(pinned: str, listing: Sequence[Mapping[str, Any]]) -> str | None:
    """The id of the image in podman's ``listing`` whose manifest digest, or whose own id, is the pinned one."""
    digest = parse_pin(pinned)[1]
    for image in listing:
        digests = {str(image.get("Digest")), *(str(name).rpartition("@")[2] for name in image.get("RepoDigests") or [])}
        if digest in digests or digest == f"sha256:{image.get('Id')}":
            return str(image["Id"])
    return None


def secret_names(name: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The podman secret of each variable of the container ``name``; an empty variable needs none, podman stores no empty secret."""
    return {variable: f"{name}.{variable}" for variable, value in sorted(variables.items()) if value}


def options(definition: Definition) -> list[str]:
    """Options of ``podman run`` that the application and its tools share; names of secrets, never their values."""
    empty = [variable for variable, value in sorted(definition.secrets.items()) if not value]
    return [
        "--pull=never", "--network=host", "--security-opt=no-new-privileges",
        *([f"--user={definition.user}"] if definition.user else []),
        *(f"--volume={volume}" for volume in definition.volumes),
        *(f"--env={name}={value}" for name, value in sorted(definition.environment.items())),
        *(f"--env={name}=" for name in empty),
        *(f"--secret={secret},type=env,target={name}" for name, secret in secret_names(definition.name, definition.secrets).items()),
    ]


def tool_prefix(podman: str, definition: Definition) -> list[str]:
    """``podman run …`` up to where further options and then the image follow: a tool that leaves nothing behind it."""
    return [podman, "run", "--rm", "--entrypoint=", f"--label={LABEL}={definition.name}", *options(definition)]


def run_arguments(definition: Definition, mark: str) -> list[str]:
    """Arguments of podman that start the application without systemd; podman itself starts it again after a failure."""
    return [
        "run", "--detach", f"--name={definition.name}", "--restart=on-failure", "--log-driver=k8s-file",
        f"--log-opt=path={definition.log_file}", f"--env={process_table.MARK}={mark}",
        *options(definition), definition.image, *definition.command,
    ]


def unit_text(definition: Definition, mark: str) -> str:
    """The Quadlet file of the application, which does not start with the machine yet: see :func:`at_boot`."""
    names = secret_names(definition.name, definition.secrets)
    empty = {name: "" for name, value in definition.secrets.items() if not value}
    variables = {**definition.environment, **empty, process_table.MARK: mark}
    arguments = ["--pull=never", "--security-opt=no-new-privileges", f"--log-opt=path={definition.log_file}"]
    arguments += [f"--user={definition.user}"] if definition.user else []
    lines = [
        "# Made by dihya.migration; a rollback brings back what stood here before.",
        "[Unit]", f"Description={_escaped(definition.name)}", "Wants=network-online.target", "After=network-online.target", "",
        "[Container]", f"ContainerName={definition.name}", f"Image={definition.image}", "Network=host", "LogDriver=k8s-file",
        *(f"Volume={_escaped(volume)}" for volume in definition.volumes),
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(variables.items())),
        *(f"Secret={secret},type=env,target={name}" for name, secret in names.items()),
        f"PodmanArgs={' '.join(map(_quoted, arguments))}",
        *([f"Exec={' '.join(map(_quoted, definition.command))}"] if definition.command else []), "",
        "[Service]", "Restart=on-failure",
    ]
    return "\n".join(lines) + "\n"


def at_boot(unit: str) -> str:
    """The Quadlet file ``unit``, so that it also starts when the machine does."""
    return unit if INSTALL in unit else f"{unit}\n{INSTALL}\nWantedBy=multi-user.target\n"


def not_at_boot(unit: str) -> str:
    """The Quadlet file ``unit``, so that it starts only when it is told to."""
    return unit.partition(f"\n{INSTALL}\n")[0]


def _escaped(text: str) -> str:
    """``text`` without meaning of its own for systemd."""
    return text.replace("%", "%%").replace("$", "$$")


def _quoted(text: str) -> str:
    return _escaped(json.dumps(text, ensure_ascii=False))
