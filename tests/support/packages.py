# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real signed packages, keystores and F-Droid repositories, made with the platform's own tools, and a stand-in for Flutter."""

from __future__ import annotations

import pathlib
import subprocess
import zipfile
from collections.abc import Sequence

from tests.support.needs import cannot_run, require_program

APPLICATION = "org.example.shop"
RESOURCES = "/usr/share/android-framework-res/framework-res.apk"
PASSWORD = "canary-7c2d-keystore"
INTERNET = "android.permission.INTERNET"
CONFIG = """repo_url: https://apps.example.org/fdroid/repo
repo_name: Shop
repo_description: Applications of the shop
keystore: {keystore}
repo_keyalias: key
keystorepass: {password}
keypass: {password}
keydname: CN=repository
"""
METADATA = "Name: Shop\nCategories: [Money]\nLicense: GPL-3.0-or-later\nSummary: A shop\n"
FLUTTER = """#!/bin/sh
# Stands in for flutter: it hands over a package that was built before where Flutter leaves one, and prints what flutter test prints.
case "$1 $2" in
  "build apk") made=flutter-apk/app-release.apk ;;
  "build appbundle") made=bundle/release/app-release.aab ;;
  build*) echo "Could not find a subcommand named \"$2\" for \"flutter build\"." >&2; exit 64 ;;
esac
case "$1" in
  build) mkdir -p "build/app/outputs/${made%/*}" && cp "$STAND_IN_PACKAGE" "build/app/outputs/$made" ;;
  test) echo '00:01 +3: All tests passed!' ;;
esac
"""


class Workshop:
    """Makes packages in ``root``."""

    def __init__(self, root: pathlib.Path) -> None:
        for program in ("aapt", "aapt2", "zipalign", "apksigner", "keytool", "jarsigner"):
            require_program(program)
        if not pathlib.Path(RESOURCES).exists():
            cannot_run(f"{RESOURCES} is not here (Debian: android-framework-res)")
        self.root = root
        self.password = root / "password"
        self.password.touch(mode=0o600)
        self.password.write_text(PASSWORD + "\n")

    def keystore(self, name: str, algorithm: Sequence[str] = ("EC", "-groupname", "secp256r1")) -> pathlib.Path:
        """A keystore with one new key, ``key``; fdroidserver signs its older index with RSA keys only."""
        path = self.root / f"{name}.p12"
        _run("keytool", "-genkeypair", "-keystore", path, "-storetype", "PKCS12", "-storepass:file", self.password, "-alias", "key",
             "-keyalg", *algorithm, "-validity", "3650", "-dname", f"CN={name}", "-noprompt")
        path.chmod(0o600)
        return path

    def manifest(self, code: int, permissions: Sequence[str]) -> pathlib.Path:
        """The manifest of version ``code``."""
        path = self.root / f"manifest-{code}" / "AndroidManifest.xml"
        path.parent.mkdir(exist_ok=True)
        asked = "".join(f'<uses-permission android:name="{name}"/>' for name in permissions)
        path.write_text(
            f'<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="{APPLICATION}" '
            f'android:versionCode="{code}" android:versionName="1.{code}">'
            '<uses-sdk android:minSdkVersion="24" android:targetSdkVersion="29"/>'
            f'{asked}<application android:label="Shop"/></manifest>')
        return path

    def apk(self, name: str, code: int, keystore: pathlib.Path, permissions: Sequence[str] = (INTERNET,)) -> pathlib.Path:
        """A signed APK."""
        unsigned, aligned, signed = (self.root / f"{name}{end}" for end in (".unsigned", ".aligned", ".apk"))
        _run("aapt", "package", "-f", "-M", self.manifest(code, permissions), "-I", RESOURCES, "-F", unsigned)
        _run("zipalign", "-f", "4", unsigned, aligned)
        _run("apksigner", "sign", "--ks", keystore, "--ks-key-alias", "key", "--ks-pass", f"file:{self.password}",
             "--v4-signing-enabled", "false", "--out", signed, aligned)
        return signed

    def bundle(self, name: str, code: int, keystore: pathlib.Path) -> pathlib.Path:
        """A signed app bundle with what is read from one."""
        encoded, path = self.root / f"{name}.encoded", self.root / f"{name}.aab"
        _run("aapt2", "link", "--proto-format", "-o", encoded, "--manifest", self.manifest(code, (INTERNET,)), "-I", RESOURCES)
        with zipfile.ZipFile(encoded) as package, zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("base/manifest/AndroidManifest.xml", package.read("AndroidManifest.xml"))
            bundle.writestr("base/resources.pb", package.read("resources.pb"))
        _run("jarsigner", "-keystore", keystore, "-storepass:file", self.password, path, "key")
        return path

    def fdroid(self, name: str, keystore: pathlib.Path) -> pathlib.Path:
        """A directory of fdroidserver whose index is signed with ``keystore``."""
        require_program("fdroid")
        base = self.root / name
        (base / "metadata").mkdir(parents=True)
        (base / "metadata" / f"{APPLICATION}.yml").write_text(METADATA)
        (base / "config.yml").touch(mode=0o600)
        (base / "config.yml").write_text(CONFIG.format(keystore=keystore, password=PASSWORD))
        return base

    def flutter(self) -> pathlib.Path:
        """The stand-in for ``flutter``."""
        path = self.root / "flutter-stand-in"
        path.write_text(FLUTTER)
        path.chmod(0o755)
        return path


def publish(base: pathlib.Path, *packages: tuple[str, pathlib.Path]) -> pathlib.Path:
    """Let fdroidserver index ``packages`` (name, file) in ``base``, and return the repository."""
    repository = base / "repo"
    repository.mkdir(exist_ok=True)
    for name, path in packages:
        (repository / name).write_bytes(path.read_bytes())
    subprocess.run(["fdroid", "update"], cwd=base, check=True, capture_output=True)
    return repository


def _run(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True)
