# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""File systems of the tests' own."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

from tests.support.needs import cannot_run, require_program, require_root


@contextlib.contextmanager
def tmpfs(directory: pathlib.Path, options: str, kind: str = "tmpfs") -> Iterator[None]:
    """One in memory over ``directory``, mounted with ``options`` (``size=4m``, ``ro``); ``ramfs`` has no extended attributes."""
    require_root()
    _mount(["-t", kind, "-o", options, kind], directory, f"no {kind}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextlib.contextmanager
def disk(directory: pathlib.Path, kind: str = "ext4", *options: str, size: int = 64 << 20) -> Iterator[pathlib.Path]:
    """One over ``directory``, made by ``mkfs.KIND`` with ``options`` in a sparse file of ``size`` bytes, whose path is given."""
    require_root()
    image = directory.with_name(f"{directory.name}.img")
    with open(image, "wb") as stream:
        stream.truncate(size)
    subprocess.run([require_program(f"mkfs.{kind}"), "-q", *options, str(image)], check=True, capture_output=True)
    _mount(["-t", kind, "-o", "loop", str(image)], directory, f"no {kind} in a file")
    try:
        yield image
    finally:
        subprocess.run(["umount", str(directory)], check=True)
        image.unlink()


def _mount(arguments: list[str], directory: pathlib.Path, what: str) -> None:
    mounted = subprocess.run(["mount", *arguments, str(directory)], check=False, capture_output=True, text=True)
    if mounted.returncode:
        cannot_run(f"{what} can be mounted here: {mounted.stderr.strip()}")
