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

FORMS = ("quadlet", "podman", "compose")
STATES = ("present", "started", "stopped", "resumed", "reverted", "enabled", "observed")
OLDEST = {"podman": (4, 0), "quadlet": (4, 6), "compose": (2, 20)}
"""The first version of podman, or of Compose, that knows all that a form needs."""
INSTALL = "[Install]"
LABEL = "dihya.migration.tool"
SERVICE = "app"
"""What a file of ours for Compose calls the application."""
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


def bare_id(image: str) -> str:
    """The id of an image as podman writes it, docker puts the kind of digest before it."""
    return image.rpartition(":")[2]


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


def compose_project(name: str) -> str:
    """The project of the container ``name``: one of its own, since Compose replaces what else is in a project; it knows no capitals."""
    plain = re.sub(r"[^a-z0-9_-]", "-", name.lower())
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def compose_options(project: str, file: str) -> list[str]:
    """Options of ``docker compose`` that name what it works on; it prints nothing of its own among what a tool prints."""
    return ["--progress=quiet", f"--project-name={project}", f"--file={file}"]


def compose_tool(docker: str, definition: Definition, file: str) -> list[str]:
    """``docker compose run …`` up to where further options, the service and the tool follow: it leaves nothing behind it."""
    return [docker, "compose", *compose_options(f"{compose_project(definition.name)}-tools", file), "run", "--rm", "--no-deps", "-T",
            *(f"--env={name}={value}" for name, value in sorted(definition.environment.items()))]


def compose_text(definition: Definition, mark: str) -> str:
    """The file of Compose that runs the application, secrets included: it is to be read by its owner alone.

    JSON, which YAML contains: it carries every value whole.
    """
    return _compose({
        **_compose_service(definition, {**definition.environment, process_table.MARK: mark}),
        "container_name": definition.name, "restart": "on-failure", "logging": {"driver": "json-file"},
        **({"command": [_literal(word) for word in definition.command]} if definition.command else {}),
    })


def compose_tools_text(definition: Definition) -> str:
    """The file of Compose in which tools of the application run; what is no secret is given to each of them."""
    return _compose({**_compose_service(definition, {}), "entrypoint": [], "labels": {LABEL: definition.name}})


def _compose(service: Mapping[str, Any]) -> str:
    text = json.dumps({"services": {SERVICE: service}}, indent=1, sort_keys=True, ensure_ascii=False)
    # YAML knows no pairs of escapes for what lies beyond 16 bits, so it stands as it is; and these it does not take as they are.
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _compose_service(definition: Definition, more: Mapping[str, str]) -> dict[str, Any]:
    return {
        "image": f"sha256:{definition.image}", "pull_policy": "never", "network_mode": "host", "security_opt": ["no-new-privileges"],
        "environment": {name: _literal(value) for name, value in {**more, **definition.secrets}.items()},
        "volumes": [_compose_volume(volume) for volume in definition.volumes],
        **({"user": definition.user} if definition.user else {}),
    }


def _compose_volume(volume: str) -> dict[str, Any]:
    """A directory of the host; docker would make one that is missing, where podman refuses, and then gives it no label of SELinux."""
    source, _colon, rest = volume.partition(":")
    target, _colon, given = rest.partition(":")
    wanted = set(given.split(",")) - {""}
    if not source.startswith("/") or not target.startswith("/") or wanted - {"ro", "rw"}:
        raise MigrationError(
            f"Compose is not given the volume {volume}: write it as HOST:CONTAINER[:OPTIONS], both from /, of options ro and rw")
    return {"type": "bind", "source": _literal(source), "target": _literal(target), "read_only": "ro" in wanted,
            "bind": {"create_host_path": False}}


def _literal(text: str) -> str:
    """``text`` without meaning of its own for Compose."""
    return text.replace("$", "$$")


def _escaped(text: str) -> str:
    """``text`` without meaning of its own for systemd."""
    return text.replace("%", "%%").replace("$", "$$")


def _quoted(text: str) -> str:
    return _escaped(json.dumps(text, ensure_ascii=False))
