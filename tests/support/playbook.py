# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs playbooks of the checkout as a user would, with everything that Ansible writes kept in one directory."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a run of ansible-playbook ended; ``output`` is stdout and stderr as they came."""

    rc: int
    output: str

    def recap(self) -> dict[str, dict[str, int]]:
        """Host → {ok, changed, unreachable, failed, …} from the play recap; empty when there was none."""
        lines = self.output.partition("PLAY RECAP")[2].splitlines()[1:]
        hosts = (line.partition(" : ") for line in lines if " : ok=" in line)
        return {host.strip(): {key: int(number) for key, _equals, number in (word.partition("=") for word in words.split())}
                for host, _colon, words in hosts}


def kill_with_forks(process: subprocess.Popen) -> None:
    """End a controller and its forks, which have sessions of their own since ansible-core 2.19, as a crash would; modules go on."""
    os.kill(process.pid, signal.SIGSTOP)  # no fork more
    family, size = {process.pid}, 0
    while len(family) > size:
        size = len(family)
        family |= {pid for pid, parent in _controllers() if parent in family}
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _controllers() -> Iterator[tuple[int, int]]:
    """Pid and parent of every process that is an ansible-playbook or a fork of one."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(word.endswith(b"/ansible-playbook") for word in (entry / "cmdline").read_bytes().split(b"\0")[:2]):
                yield int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])


class Playbook:
    """Starts ansible-playbook of this virtual environment; all its state lies in ``directory``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._started: list[subprocess.Popen] = []

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Our environment without Ansible's variables, with its home and temporary directories here."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return {**kept, "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(self.directory / "ansible"),
                "ANSIBLE_LOCAL_TEMP": str(self.directory / "local"), "ANSIBLE_REMOTE_TEMP": str(self.directory / "remote"),
                "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", **(extra or {})}

    def argv(self, playbook: str | pathlib.Path, inventory: Any = None, variables: Mapping[str, Any] | None = None,
             arguments: Sequence[str] = ()) -> list[str]:
        """The command line. ``inventory``: a path, or a structure that is written to a file; ``variables`` travel in a
        0600 file, never on the command line."""
        line = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), str(playbook)]
        if inventory is not None:
            line += ["-i", str(inventory if isinstance(inventory, (str, pathlib.Path)) else self._write("inventory", inventory))]
        if variables:
            line += ["-e", f"@{self._write('variables', variables)}"]
        return [*line, *arguments]

    def start(self, playbook: str | pathlib.Path, inventory: Any = None, variables: Mapping[str, Any] | None = None,
              arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None,
              output: pathlib.Path | None = None) -> subprocess.Popen:
        """Start a run in its own process group and return at once; its output goes to ``output`` or nowhere."""
        with open(output or os.devnull, "wb") as stream:
            self._started.append(subprocess.Popen(
                self.argv(playbook, inventory, variables, arguments), cwd=ROOT, env=self.environment(environment),
                stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True))
        return self._started[-1]

    def end(self) -> None:
        """Kill every run that still goes on, as after a test that failed while it waited for one."""
        for process in self._started:
            if process.poll() is None:
                kill_with_forks(process)

    def run(self, playbook: str | pathlib.Path, inventory: Any = None, variables: Mapping[str, Any] | None = None,
            arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, timeout: float = 240) -> Outcome:
        """Run to the end; raises ``TimeoutError`` with the end of the output after ``timeout`` seconds."""
        log = self.directory / f"output-{uuid.uuid4().hex[:8]}.log"
        process = self.start(playbook, inventory, variables, arguments, environment, log)
        try:
            rc = process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_with_forks(process)
            raise TimeoutError(f"ansible-playbook ran longer than {timeout} s: {log.read_text(errors='replace')[-3000:]}") from None
        return Outcome(rc, log.read_text(encoding="utf-8", errors="replace"))

    def _write(self, name: str, content: Any) -> pathlib.Path:
        path = self.directory / f"{name}-{uuid.uuid4().hex[:8]}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path
