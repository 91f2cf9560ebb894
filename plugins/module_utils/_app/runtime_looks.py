# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight looks at where a release is to run as a unit or as a container."""

from __future__ import annotations

import contextlib
import os
import shutil

from ansible_collections.dihya.migration.plugins.module_utils._app import container_plan, docker, podman
from ansible_collections.dihya.migration.plugins.module_utils._app.engine import Engine
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Finding, Look, free_room
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError


def systemd(look: Look) -> Finding:
    """Units can be installed and started here."""
    if not os.path.isdir("/run/systemd/system"):
        return "systemd does not manage this host", "choose the runtime process, or a host that systemd manages"
    if os.geteuid() != 0:
        return "units can be installed by root only", "use become on this host, or choose the runtime process"
    return None


def image(look: Look) -> Finding:
    """``value`` names an image by its digest."""
    try:
        container_plan.parse_pin(look.value)
    except MigrationError as error:
        finding, _separator, remedy = error.message.partition(": ")
        return finding, remedy
    return None


def podman_engine(look: Look) -> Finding:
    """``value`` is a form; podman must know all that it needs, and have room for an image archive of ``bytes``."""
    if not shutil.which("podman"):
        return "podman is not installed on this host", "install podman, or choose the runtime systemd or process"
    if look.value == "quadlet" and systemd(look):
        return "units of podman need root and a host that systemd manages", "use become on this host, or choose the form podman"
    host, oldest = podman.Podman(), container_plan.OLDEST[look.value]
    version = host.version()
    look.facts["podman"] = ".".join(map(str, version))
    if version < oldest:
        return f"podman {look.facts['podman']} is too old for the form {look.value}", (
            f"install podman {'.'.join(map(str, oldest))} or later" + (", or choose the form podman" if look.value == "quadlet" else ""))
    storage = host.storage()
    if storage is None:
        return "podman does not work for this user", "run `podman info` on this host as this user and correct what it says"
    return _image_room(look, host, storage)


def compose_engine(look: Look) -> Finding:
    """Docker Compose must know all that it is given, a daemon of this host must answer, and have room likewise."""
    if not shutil.which("docker"):
        return "docker is not installed on this host", "install docker and Docker Compose 2, or choose another form"
    host, oldest = docker.Docker(), ".".join(map(str, container_plan.OLDEST["compose"]))
    version = host.compose_version()
    if version is None:
        return "docker has no Compose on this host", f"install Docker Compose {oldest} or later as its plug-in, or choose another form"
    look.facts["compose"] = ".".join(map(str, version))
    if version < container_plan.OLDEST["compose"]:
        return f"Docker Compose {look.facts['compose']} is too old", (
            f"install Docker Compose {oldest} or later as its plug-in, or choose another form")
    storage = host.storage()
    if storage is None:
        return "no daemon of docker answers this user", "run `docker info` on this host as this user and correct what it says"
    if not os.path.isdir(storage):
        return "docker's daemon keeps its images elsewhere than on this host", (
            "let DOCKER_HOST of backend_build_environment name a daemon of this host")
    return _image_room(look, host, storage)


def _image_room(look: Look, host: Engine, storage: str) -> Finding:
    free = free_room(look, storage)
    with contextlib.suppress(MigrationError):  # a name that cannot be one is a finding of the look at it
        look.facts["made"] = bool(look.made and host.image(look.made))
    if free < look.bytes * 2.5:
        return f"{free >> 20} MiB are free for images where {int(look.bytes * 2.5) >> 20} MiB are needed", f"free space below {storage}"
    return None
