# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records argument list and environment of every call of chosen programs, then lets the real program run."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
from dataclasses import dataclass

WRAPPER = """#!/bin/sh
record=$(mktemp {calls}/{name}.XXXXXXXX) || exit 125
cat /proc/$$/environ >"$record.environ"
printf '%s\\0' "$0" "$@" >"$record.argv"
exec {real} "$@"
"""


@dataclass(frozen=True)
class Call:
    """One start of a program, as any user of the machine could have seen it in /proc."""

    program: str
    argv: list[str]
    environ: dict[str, str]


class Recorder:
    """Wrappers below ``directory``: ``path()`` for the PATH, ``mirror(bin)`` for programs called by their place."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.calls_directory = directory / "calls"
        self.calls_directory.mkdir(parents=True)

    def path(self, *programs: str) -> str:
        """A PATH on which ``programs`` are recorded; raises ``LookupError`` for one that is not installed."""
        for name in programs:
            real = shutil.which(name)
            if real is None:
                raise LookupError(f"{name} is not installed here")
            self._wrap(self.directory / "bin", name, real)
        return f"{self.directory / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def mirror(self, binaries: pathlib.Path) -> pathlib.Path:
        """A directory that holds a recorded stand-in for every program in ``binaries``."""
        target = self.directory / "mirror" / binaries.as_posix().strip("/").replace("/", "-")
        for program in binaries.iterdir():
            if os.access(program, os.X_OK) and program.is_file():
                self._wrap(target, program.name, str(program))
        return target

    def calls(self, program: str | None = None) -> list[Call]:
        """What was recorded so far, of one program or of all, oldest first."""
        found = []
        for path in sorted(self.calls_directory.glob("*.argv"), key=lambda path: path.stat().st_mtime_ns):
            name = path.name.split(".")[0]
            if program in (None, name):
                argv = path.read_bytes().decode(errors="surrogateescape").split("\0")[:-1]
                lines = path.with_suffix(".environ").read_bytes().decode(errors="surrogateescape").split("\0")
                found.append(Call(name, argv, dict(line.partition("=")[::2] for line in lines if line)))
        return found

    def _wrap(self, folder: pathlib.Path, name: str, real: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        wrapper = folder / name
        text = WRAPPER.format(calls=shlex.quote(str(self.calls_directory)), name=shlex.quote(name), real=shlex.quote(real))
        wrapper.write_text(text, encoding="utf-8")
        wrapper.chmod(0o755)
