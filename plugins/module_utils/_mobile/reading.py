# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tools for packages and the files of a project say, as values; pure."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

_PACKAGE = re.compile(r"^package: name='([^']+)' versionCode='([0-9]+)' versionName='([^']*)'", re.M)
_PERMISSION = re.compile(r"^uses-permission(?:-sdk-23)?: name='([^']+)'", re.M)
_SDK = re.compile(r"^(sdkVersion|targetSdkVersion):'([0-9]+)'", re.M)
_SCHEME = re.compile(r"^Verified using v([0-9.]+) scheme [^:]*: true$", re.M)
# A source stamp has a signer of its own, which says nothing about who may update the application.
_SIGNER = re.compile(r"^Signer .*certificate SHA-256 digest: ([0-9a-f]{64})$", re.M)
_FINGERPRINT = re.compile(r"^\s*SHA256: ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})\s*$", re.M)
_PUBSPEC_VERSION = re.compile(r"^version:\s*[\"']?([0-9A-Za-z.-]+)\+([0-9]+)[\"']?\s*(?:#.*)?$", re.M)
_SETTING = r"^{}:[ \t]*[\"']?([^\s\"'#]+)"


def badging(text: str) -> dict[str, Any]:
    """What ``aapt dump badging`` printed: application, version, permissions, SDK levels, debuggable; raises without a package line."""
    found = _PACKAGE.search(text)
    if not found:
        raise MigrationError("aapt found no package in it")
    levels = {name: int(number) for name, number in _SDK.findall(text)}
    return {
        "application": found.group(1), "version_code": int(found.group(2)), "version_name": found.group(3),
        "permissions": sorted(set(_PERMISSION.findall(text))), "min_sdk": levels.get("sdkVersion", 1),
        "target_sdk": levels.get("targetSdkVersion", levels.get("sdkVersion", 1)),
        "debuggable": re.search(r"^application-debuggable", text, re.M) is not None,
    }


def signature(text: str) -> dict[str, Any]:
    """What ``apksigner verify --verbose --print-certs`` printed: schemes and the certificates' SHA-256."""
    return {"schemes": [f"v{number}" for number in _SCHEME.findall(text)], "certificates": sorted(set(_SIGNER.findall(text)))}


def fingerprints(text: str) -> list[str]:
    """SHA-256 of the signers' certificates that ``keytool -printcert -jarfile`` printed: the first one of each chain."""
    chains = re.split(r"^Signer #[0-9]+:", text, flags=re.M)[1:]
    firsts = (_FINGERPRINT.search(chain) for chain in chains)
    return sorted({first.group(1).replace(":", "").lower() for first in firsts if first})


def names_in_manifest(manifest: str) -> set[str]:
    """Names that the manifest of a jar covers; a name longer than a line goes on after a newline and a space."""
    return set(re.findall(r"^Name: (.+)$", re.sub(r"\r?\n ", "", manifest).replace("\r", ""), re.M))


def planned_version(pubspec: str) -> tuple[str, int] | None:
    """``(name, code)`` of the line ``version: 1.4.0+8`` of a ``pubspec.yaml``, None when it has no code."""
    found = _PUBSPEC_VERSION.search(pubspec)
    return (found.group(1), int(found.group(2))) if found else None


def setting(config: str, name: str) -> str:
    """The plain value of a top-level setting of fdroidserver's ``config.yml``; empty when it is not there."""
    found = re.search(_SETTING.format(re.escape(name)), config, re.M)
    return found.group(1) if found else ""
