# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading an F-Droid repository as its clients do: what its indexes list, who signed them, and the digest of the whole tree."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import read_json
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._mobile.packages import jar_signers
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import counts, raw, text, tree_digest
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import scan
from ansible_collections.dihya.migration.plugins.module_utils._tree.staging import MANIFEST, MARKER

OLD_JAR, OLD_INDEX = "index-v1.jar", "index-v1.json"
ENTRY_JAR, ENTRY = "entry.jar", "entry.json"


def read_repository(path: str, application: str, verify: bool) -> dict[str, Any]:
    """Facts of the repository at ``path``: the versions of ``application`` by the indexes, what is wrong with them (``problems``).

    With ``verify`` the signatures are checked and ``certificate`` is the SHA-256 of the one signer, else it is empty.
    Raises :class:`MigrationError` when there is no index that can be read.
    """
    if not os.path.isfile(os.path.join(path, OLD_JAR)):
        raise MigrationError(f"{path} is no F-Droid repository: {OLD_JAR} is missing")
    old = _read_jar(os.path.join(path, OLD_JAR), OLD_INDEX)
    rows = [_old_row(row) for row in old.get("packages", {}).get(application, [])]
    problems = [f"{row['file']} is not the file of the index" for row in rows if not _holds(path, row["file"], row["sha256"])]
    signed = {OLD_JAR: OLD_INDEX}
    if os.path.lexists(os.path.join(path, ENTRY_JAR)):
        signed[ENTRY_JAR] = ENTRY
        problems += _new_problems(path, application, rows)
    certificate = ""
    if verify:
        certificate, unsigned = _signer(path, signed)
        problems += unsigned
    rows.sort(key=lambda row: -row["version_code"])
    return {"path": path, "timestamp": old.get("repo", {}).get("timestamp", 0), "certificate": certificate,
            "versions": rows, "problems": problems, **read_tree(path)}


def read_tree(path: str) -> dict[str, Any]:
    """Digest, files and bytes of the tree at ``path``, followed when it is a link, without what the module release put beside it.

    ``staged_sha256`` is the digest that the release had when it was staged, empty for another tree.
    """
    real = os.path.realpath(raw(path))
    if not os.path.isdir(real):
        return {"tree_sha256": "", "files": 0, "bytes": 0, "staged_sha256": ""}
    entries = scan(real, (f"/{MARKER}", f"/{MANIFEST}"))
    for entry in entries:
        if entry.is_file:
            entry.sha256 = sha256_file(os.path.join(text(real), text(entry.path)))
    number = counts(entries)
    try:
        staged = str(read_json(os.path.join(text(real), MARKER))["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        staged = ""
    return {"tree_sha256": tree_digest(entries), "files": number["files"], "bytes": number["bytes"], "staged_sha256": staged}


def _read_jar(path: str, name: str) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            value = json.loads(archive.read(name))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        raise MigrationError(f"{path} holds no readable {name}") from None
    if not isinstance(value, dict):
        raise MigrationError(f"{path} holds no readable {name}")
    return value


def _old_row(row: dict[str, Any]) -> dict[str, Any]:
    asked = [str(item[0]) for key in ("uses-permission", "uses-permission-sdk-23") for item in row.get(key, [])]
    return {
        "version_code": int(row["versionCode"]), "version_name": str(row.get("versionName", "")), "file": str(row["apkName"]),
        "sha256": str(row["hash"]), "certificates": [str(row["signer"])] if row.get("signer") else [],
        "permissions": sorted(set(asked)),
    }


def _holds(path: str, name: str, sha256: str) -> bool:
    try:
        return "/" not in name and sha256_file(os.path.join(path, name)) == sha256
    except OSError:
        return False


def _new_problems(path: str, application: str, rows: list[dict[str, Any]]) -> list[str]:
    """The newer index is the one that its signed entry names, and lists the same packages."""
    index = _read_jar(os.path.join(path, ENTRY_JAR), ENTRY).get("index", {})
    name = str(index.get("name", "")).lstrip("/")
    try:
        with open(os.path.join(path, name), "rb") as stream:
            content = stream.read()
        versions = json.loads(content)["packages"].get(application, {}).get("versions", {})
    except (OSError, ValueError, KeyError, AttributeError):
        return [f"{name or 'the index of ' + ENTRY_JAR} cannot be read"]
    problems = []
    if hashlib.sha256(content).hexdigest() != index.get("sha256"):
        problems.append(f"{name} is not the file that {ENTRY_JAR} names")
    if set(versions) != {row["sha256"] for row in rows}:
        problems.append(f"{name} lists other packages than {OLD_INDEX}")
    return problems


def _signer(path: str, signed: dict[str, str]) -> tuple[str, list[str]]:
    found, problems = set(), []
    for jar, name in signed.items():
        certificates, problem = jar_signers(os.path.join(path, jar), name)
        problems += [problem] if problem else []
        found.add(",".join(certificates))
    if len(found) > 1:
        problems.append("its indexes are not signed by one key")
        return "", problems
    return found.pop(), problems
