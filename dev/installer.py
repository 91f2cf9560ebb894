# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What fills the virtual environment: uv, in a fifth of pip's time, or pip itself where it was told what uv cannot be told."""

from __future__ import annotations

import ast
import os
import pathlib
import subprocess
from typing import Callable

UV = "uv==0.13.9"
PASSED_ON = {"cert": "SSL_CERT_FILE", "find-links": "UV_FIND_LINKS", "index-url": "UV_DEFAULT_INDEX"}
"""Settings of pip that uv reads from these variables."""
ALL_THE_SAME = {"cache-dir", "default-timeout", "disable-pip-version-check", "no-cache-dir", "no-color", "no-input", "progress-bar",
                "quiet", "retries", "root-user-action", "timeout", "verbose"}
"""Settings of pip that change nothing about what comes from where."""


def variables_for_uv(told: str) -> dict[str, str] | None:
    """uv's variables for the settings that ``pip config list`` has ``told``; None where uv cannot be told them all."""
    variables = {"UV_SYSTEM_CERTS": "true"}
    for line in told.splitlines():
        key, _sign, shown = line.partition("=")
        name, value = key.rpartition(".")[2], str(ast.literal_eval(shown))
        if name in PASSED_ON and len(value.split()) == 1:
            variables.setdefault(PASSED_ON[name], value)  # those of the environment come first
        elif name not in ALL_THE_SAME:
            return None
    return variables


def install(ours: pathlib.Path, python: pathlib.Path, arguments: list[str], run: Callable[..., None], failure: type[Exception]) -> None:
    """Install what ``arguments`` of pip name into the environment of ``python``, with the uv or the pip of ``ours``.

    ``run`` raises ``failure`` where a command fails. pip has the last word: whatever uv could not do, it does or explains.
    """
    pip = [str(ours), "-m", "pip"]
    quietly = ["--disable-pip-version-check", "--no-input"]
    settings = subprocess.run([*pip, "config", "list"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    variables = variables_for_uv(settings.stdout) if settings.returncode == 0 else None
    if variables is not None:
        uv = ours.with_name("uv")
        try:
            if not uv.exists():
                run([*pip, "install", *quietly, UV])
            run([str(uv), "pip", "install", "--python", str(python), "--compile-bytecode", *arguments], env={**os.environ, **variables})
            return
        except (failure, OSError):
            pass
    run([*pip, "--python", str(python), "install", *quietly, *arguments])
