# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading a signed package, an APK or an app bundle (AAB), with the platform's own tools."""

from __future__ import annotations

import os
import tempfile
import zipfile
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._mobile import reading

TIMEOUT = 120
BUNDLE = ".aab"
# Java calls a jar signed with SHA-1 unsigned. Clients of F-Droid's oldest index take no other, so it is verified all the same.
SECURITY = "jdk.jar.disabledAlgorithms=MD2, RSA keySize < 1024\n"


def read_package(path: str) -> dict[str, Any]:
    """Facts of the package at ``path``; ``certificates`` is empty when its signature does not verify.

    Raises :class:`MigrationError` when it is no package, or a tool is missing.
    """
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise MigrationError(f"{path} is no readable file on this host")
    bundle = path.lower().endswith(BUNDLE)
    facts = {
        "path": path, "kind": "appbundle" if bundle else "apk", "sha256": sha256_file(path), "size": os.path.getsize(path),
        **(_bundle_badging(path) if bundle else _badging(path)), **(_bundle_signature(path) if bundle else _signature(path)),
    }
    return facts


def _badging(path: str) -> dict[str, Any]:
    done = run([find_tool("aapt"), "dump", "badging", path], timeout=TIMEOUT, check=False)
    try:
        return reading.badging(done.stdout)
    except MigrationError:
        raise MigrationError(f"{path} is no readable package") from None


def _signature(path: str) -> dict[str, Any]:
    done = run([find_tool("apksigner"), "verify", "--verbose", "--print-certs", path], timeout=TIMEOUT, check=False)
    return reading.signature(done.stdout) if done.status == 0 else {"schemes": [], "certificates": []}


def _bundle_badging(path: str) -> dict[str, Any]:
    """An app bundle keeps its manifest in another encoding: aapt2 turns that part of it into a package that aapt reads."""
    with tempfile.TemporaryDirectory(prefix="dihya-") as directory:
        encoded, plain = os.path.join(directory, "encoded.apk"), os.path.join(directory, "plain.apk")
        try:
            with zipfile.ZipFile(path) as bundle, zipfile.ZipFile(encoded, "w") as part:
                part.writestr("AndroidManifest.xml", bundle.read("base/manifest/AndroidManifest.xml"))
                part.writestr("resources.pb", bundle.read("base/resources.pb"))
        except (zipfile.BadZipFile, KeyError):
            raise MigrationError(f"{path} is no app bundle") from None
        run([find_tool("aapt2"), "convert", "--output-format", "binary", "-o", plain, encoded], timeout=TIMEOUT)
        return _badging(plain)


def _bundle_signature(path: str) -> dict[str, Any]:
    certificates, _problem = jar_signers(path, "base/manifest/AndroidManifest.xml")
    return {"schemes": ["v1"] if certificates else [], "certificates": certificates}


def jar_signers(path: str, name: str) -> tuple[list[str], str]:
    """``(certificates, problem)`` of a jar: SHA-256 of its signers, empty when its signature does not verify or leaves out ``name``."""
    with tempfile.NamedTemporaryFile("w", prefix="dihya-", suffix=".properties") as security:
        security.write(SECURITY)
        security.flush()
        verified = run([find_tool("jarsigner"), f"-J-Djava.security.properties={security.name}", "-verify", path],
                       timeout=TIMEOUT, check=False)
    shown = os.path.basename(path)
    if verified.status != 0 or "jar verified." not in verified.stdout:
        return [], f"the signature of {shown} does not verify"
    try:
        with zipfile.ZipFile(path) as archive:
            covered = reading.names_in_manifest(archive.read("META-INF/MANIFEST.MF").decode("utf-8", "replace"))
    except (OSError, zipfile.BadZipFile, KeyError):
        return [], f"{shown} is no signed archive"
    if name not in covered:
        return [], f"the signature of {shown} does not cover {name}"
    printed = run([find_tool("keytool"), "-printcert", "-jarfile", path], timeout=TIMEOUT, check=False)
    return reading.fingerprints(printed.stdout), ""
