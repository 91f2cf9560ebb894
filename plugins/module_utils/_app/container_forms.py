# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forms in which a container runs: how each starts, stops, comes back and is forgotten, and where its secrets are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator

from ansible_collections.dihya.migration.plugins.module_utils._app import container_plan, podman
from ansible_collections.dihya.migration.plugins.module_utils._app.container_plan import Definition
from ansible_collections.dihya.migration.plugins.module_utils._app.docker import Docker
from ansible_collections.dihya.migration.plugins.module_utils._app.engine import Engine
from ansible_collections.dihya.migration.plugins.module_utils._app.podman import Podman
from ansible_collections.dihya.migration.plugins.module_utils._app.process import Record
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import differs, private_directory, publish, publish_json, read_json

NO_SYSTEMD = "that the container starts with the machine: without systemd nothing here starts it"
NO_DAEMON = (
    "that the container starts with the machine: docker's daemon starts it, and nothing here proves that the machine starts the daemon")


class Form:
    """What the forms have in common; ``host``, an ``engine``, runs the containers."""

    engine: type[Engine]
    host: Engine

    def __init__(self, log_dir: str) -> None:
        self.host = self.engine(log_dir)

    def unit(self, definition: Definition, mark: str) -> str:
        """The text of the unit that the record keeps, empty when there is none."""
        return ""

    def log_offset(self, log_file: str) -> int:
        """Where in ``log_file`` a container that is started now begins to write."""
        return os.stat(log_file).st_size if os.path.exists(log_file) else 0

    def place_secrets(self, definition: Definition) -> bool:
        """Put the application's secrets where its tools find them; whether anything had to be done."""
        raise NotImplementedError

    def drop_secrets(self, name: str) -> None:
        """Remove all secrets of the container ``name``."""
        raise NotImplementedError

    def tool(self, definition: Definition) -> tuple[list[str], str]:
        """The command that runs a tool, up to where its options follow, and the word between these and the tool."""
        raise NotImplementedError

    def launch(self, definition: Definition, record: Record) -> None:
        """Start the container for the first time."""
        raise NotImplementedError

    def again(self, record: Record) -> None:
        """Start a container that was stopped, as its record has it."""
        raise NotImplementedError

    def halt(self, record: Record, patience: float) -> None:
        """Stop the container; all that starts it again stays."""
        raise NotImplementedError

    def forget(self, record: Record, patience: float, replaced: bool) -> None:
        """Remove container and secrets; where it is ``replaced``, what the next one takes over stays."""
        self.host.drop(record["name"], patience)
        self.drop_secrets(record["name"])

    def retire(self, record: Record) -> Record:
        """See that it no longer starts with the machine; its new record."""
        return record

    def at_boot(self, record: Record) -> Record:
        """The record of a container that starts with the machine, where that can be had."""
        return record

    def enable(self, record: Record) -> list[str]:
        """See that it starts with the machine, as its record from :meth:`at_boot` has it; what cannot be proved of that."""
        raise NotImplementedError

    def keep_log(self, record: Record) -> None:
        """Bring what the application printed to its log file, where the engine does not."""


class Alone(Form):
    """Podman alone: it starts the container again after a failure, nobody does after a restart of the machine."""

    engine = Podman
    host: Podman

    def place_secrets(self, definition: Definition) -> bool:
        """One secret of podman a variable."""
        digest = hashlib.sha256(json.dumps(sorted(definition.secrets.items())).encode()).hexdigest()
        path = self._secrets_file(definition.name)
        wanted = container_plan.secret_names(definition.name, definition.secrets)
        with contextlib.suppress(FileNotFoundError):
            if read_json(path) == {"digest": digest, "names": sorted(wanted.values())} and set(wanted.values()) <= self.host.secrets():
                return False
        private_directory(self.host.log_dir)
        publish_json(path, {"digest": "", "names": sorted(wanted.values())})  # first: what a killed run leaves can be found
        self.host.put_secrets({wanted[variable]: definition.secrets[variable] for variable in wanted})
        publish_json(path, {"digest": digest, "names": sorted(wanted.values())})
        return True

    def drop_secrets(self, name: str) -> None:
        """Those that are on record."""
        path = self._secrets_file(name)
        with contextlib.suppress(FileNotFoundError):
            self.host.drop_secrets(read_json(path)["names"])
            os.unlink(path)

    def tool(self, definition: Definition) -> tuple[list[str], str]:
        """``podman run``, and the image."""
        return container_plan.tool_prefix(self.host.program, definition), definition.image

    def launch(self, definition: Definition, record: Record) -> None:
        """``podman run``."""
        self.host.call(*container_plan.run_arguments(definition, record["mark"]))

    def again(self, record: Record) -> None:
        """``podman start``."""
        self.host.call("start", record["name"])

    def halt(self, record: Record, patience: float) -> None:
        """``podman stop``."""
        self.host.call("stop", "--ignore", f"--time={int(patience)}", record["name"], timeout=patience + 60)

    def enable(self, record: Record) -> list[str]:
        """Nothing can be done."""
        return [NO_SYSTEMD]

    def _secrets_file(self, name: str) -> str:
        return os.path.join(self.host.log_dir, f"{name}.secrets.json")


class Quadlet(Alone):
    """Podman under a unit of systemd, which the record keeps as well."""

    def unit(self, definition: Definition, mark: str) -> str:
        """A unit that does not start with the machine yet."""
        return container_plan.unit_text(definition, mark)

    def launch(self, definition: Definition, record: Record) -> None:
        """Install and start the unit."""
        self.again(record)

    def again(self, record: Record) -> None:
        """Install and start the unit of the record, whichever stands there."""
        _install(record["service"], record["unit"])
        if podman.systemctl("start", f"{record['service']}.service", check=False).status != 0:
            raise MigrationError(f"systemd could not start {record['service']}: read `journalctl -u {record['service']}` on this host")

    def halt(self, record: Record, patience: float) -> None:
        """Stop the unit."""
        podman.systemctl("stop", f"{record['service']}.service", check=False, timeout=patience + 60)

    def forget(self, record: Record, patience: float, replaced: bool) -> None:
        """The unit goes first, unless another one takes its place."""
        if not replaced and _unit_is_ours(record):
            os.unlink(podman.unit_path(record["service"]))
            podman.systemctl("daemon-reload")
        super().forget(record, patience, replaced)

    def retire(self, record: Record) -> Record:
        """Without the section that lets the machine start it."""
        unit = container_plan.not_at_boot(record["unit"])
        if unit != record["unit"] and _unit_is_ours(record):
            _install(record["service"], unit)
        return {**record, "unit": unit}

    def at_boot(self, record: Record) -> Record:
        """With that section."""
        return {**record, "unit": container_plan.at_boot(record["unit"])}

    def enable(self, record: Record) -> list[str]:
        """Install that unit, and prove that systemd has read it."""
        if differs(podman.unit_path(record["service"]), record["unit"].encode()):
            _install(record["service"], record["unit"])
        # `is-enabled` says "generated" of every unit of Quadlet, whether anything starts it or not.
        service = record["service"]
        if not podman.systemctl("show", "--property=WantedBy", "--value", f"{service}.service").stdout.strip():
            raise MigrationError(f"systemd does not start {service} with the machine: look at {podman.unit_path(service)}")
        return []


class Compose(Form):
    """A project of Docker Compose with one service, of a file of ours beside the record."""

    engine = Docker
    host: Docker

    def log_offset(self, log_file: str) -> int:
        """The log is that of the container alone."""
        return 0

    def place_secrets(self, definition: Definition) -> bool:
        """In a file of Compose for its tools."""
        path, text = self._file(definition.name, "tools"), container_plan.compose_tools_text(definition).encode()
        if not differs(path, text):
            return False
        private_directory(self.host.log_dir)
        publish(path, text)
        return True

    def drop_secrets(self, name: str) -> None:
        """Both files hold them."""
        drop_compose_files(self.host.log_dir, name)

    def tool(self, definition: Definition) -> tuple[list[str], str]:
        """``docker compose run``, and the service."""
        return container_plan.compose_tool(self.host.program, definition, self._file(definition.name, "tools")), container_plan.SERVICE

    def launch(self, definition: Definition, record: Record) -> None:
        """``docker compose up`` on a file that is written now."""
        private_directory(self.host.log_dir)
        publish(self._file(definition.name, "compose"), container_plan.compose_text(definition, record["mark"]).encode())
        self.again(record)

    def again(self, record: Record) -> None:
        """``docker compose up``, which starts the container that was stopped and makes it anew only where it is gone."""
        name = record["name"]
        self.host.compose(container_plan.compose_project(name), self._file(name, "compose"), "up", "--detach", "--no-build")
        if record["unit"]:
            self.host.start_with_machine(name)

    def halt(self, record: Record, patience: float) -> None:
        """``docker stop``, whatever became of its file; what it printed is kept, where it can be: nothing waits for that."""
        self.host.call("stop", f"-t={int(patience)}", record["name"], check=False, timeout=patience + 60)
        if self.host.container(record["name"]):
            with contextlib.suppress(MigrationError, OSError):
                self.keep_log(record)

    def retire(self, record: Record) -> Record:
        """The daemon starts nothing that was stopped."""
        return {**record, "unit": ""}

    def at_boot(self, record: Record) -> Record:
        """The policy stands where other forms have a unit."""
        return {**record, "unit": "unless-stopped"}

    def enable(self, record: Record) -> list[str]:
        """Tell the daemon, whose own start is not looked at."""
        self.host.start_with_machine(record["name"])
        return [NO_DAEMON]

    def keep_log(self, record: Record) -> None:
        """The daemon keeps it where only root reads."""
        private_directory(os.path.dirname(record["log_file"]))
        self.host.keep_log(record["name"], record["log_file"])

    def _file(self, name: str, kind: str) -> str:
        return _compose_file(self.host.log_dir, name, kind)


FORMS = {"quadlet": Quadlet, "podman": Alone, "compose": Compose}


def form_of(form: str, log_dir: str) -> Form:
    """The form by its name; what commands print is kept in ``log_dir``, as are files with secrets."""
    return FORMS[form](log_dir)


def forms_here(log_dir: str, chosen: str) -> Iterator[Form]:
    """One form of each program on this host; where there is none of it, nothing of it was begun. It must work where it was ``chosen``."""
    for kind in (Alone, Compose):
        if shutil.which(kind.engine.tool):
            found = kind(log_dir)
            if kind.engine is FORMS[chosen].engine or found.host.storage() is not None:
                yield found


def drop_compose_files(log_dir: str, name: str) -> None:
    """Remove the files of Compose of the container ``name``, which hold its secrets; docker itself is not needed for that."""
    for kind in ("tools", "compose"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_compose_file(log_dir, name, kind))


def _compose_file(log_dir: str, name: str, kind: str) -> str:
    # As files of an environment are named, which a backup encrypts where it encrypts anything.
    return os.path.join(log_dir, f".env.{name}.{kind}.json")


def _install(service: str, text: str) -> None:
    os.makedirs(podman.UNITS, exist_ok=True)
    publish(podman.unit_path(service), text.encode(), 0o644)
    podman.systemctl("daemon-reload")


def _unit_is_ours(record: Record) -> bool:
    try:
        with open(podman.unit_path(record["service"]), encoding="utf-8") as stream:
            return record["mark"] in stream.read()
    except FileNotFoundError:
        return False
