# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the programs that measure pages are there, before anything changes: all findings at once."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding

CHROMIUM = "install Chromium on the mover, or name its program"
CERTUTIL = "install certutil on the mover (Debian: libnss3-tools)"
PACKAGES = "run npm ci there with the package-lock.json of the role's files/page_tools"
NODE = "install Node.js {wanted} on the mover, or name its program"


def missing_program(subject: str, name: str, remedy: str) -> list[Finding]:
    """A finding when ``name`` cannot be executed on this host."""
    path = name if "/" in name else shutil.which(name)
    if path and os.path.isfile(path) and os.access(path, os.X_OK):
        return []
    return [finding(subject, f"the program {name} cannot be executed on this host", remedy)]


def missing_file(subject: str, path: str, remedy: str) -> list[Finding]:
    """A finding when ``path`` is no file that can be read here."""
    if os.path.isfile(path) and os.access(path, os.R_OK):
        return []
    return [finding(subject, f"{path} is no readable file on this host", remedy)]


def missing_browser(options: dict[str, Any], subjects: dict[str, str]) -> list[Finding]:
    """What keeps a browser from opening the pages of ``options``."""
    found = missing_program(subjects["chromium"], options["chromium"], CHROMIUM)
    if options["ca"]:
        found += missing_file(subjects["ca"], options["ca"], "correct the path, or give the user read permission")
        found += missing_program(subjects["ca"], "certutil", CERTUTIL)
    return found


def missing_node(subject: str, node: str, package: str) -> list[Finding]:
    """A finding when ``node`` is missing or older than ``package`` (the path of a package.json that can be read) demands."""
    wanted = str(read_json(package).get("engines", {}).get("node", ""))
    remedy = NODE.format(wanted=wanted)
    found = missing_program(subject, node, remedy)
    if found:
        return found
    try:
        version = run([node, "--version"], timeout=30).stdout.strip().lstrip("v")
    except MigrationError as error:
        return [finding(subject, error.message, remedy)]
    minimum = re.fullmatch(r">=\s*([0-9.]+)", wanted)
    if minimum and _numbers(version) < _numbers(minimum.group(1)):
        return [finding(subject, f"Node.js is of version {version}, {wanted} is needed", remedy)]
    return []


def refuse(findings: list[Finding]) -> None:
    """Raise :class:`MigrationError` with every finding and remedy, when there is one."""
    if findings:
        raise MigrationError("; ".join(f"{one['subject']}: {one['finding']}: {one['remedy']}" for one in findings), findings=findings)


def looked(findings: list[Finding]) -> dict[str, Any]:
    """The result of check mode: what must be corrected before anything is measured."""
    message = f"the tools that measure pages were looked at, {len(findings)} things must be corrected"
    return {"changed": False, "msg": message, "findings": findings, "journal": {"summary": message, "changed": False}}


def parts(error: MigrationError) -> tuple[str, str]:
    """What is wrong and what to do, as the message of ``error`` says them with a colon between."""
    wrong, _colon, remedy = error.message.rpartition(": ")
    return wrong or remedy, remedy


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
