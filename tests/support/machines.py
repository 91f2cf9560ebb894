# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of a Molecule scenario, as its tests reach them: by ssh alone, which costs a tenth of an Ansible run a question."""

from __future__ import annotations

import functools
import os
import pathlib
import tempfile

import testinfra

WORK = pathlib.Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", ""))


@functools.cache
def _sockets() -> tempfile.TemporaryDirectory[str]:
    """A directory for the connections that stay open, removed at the end of the run; the path of a socket must be short."""
    return tempfile.TemporaryDirectory(prefix="dihya-")


@functools.cache
def machine(name: str) -> testinfra.host.Host:
    """The machine with this name, over one connection; how it encodes its answers is asked once."""
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(WORK / "ssh_config"), controlpath=f"{_sockets().name}/{name}")
