# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts together, in the directory given, what the machines of this scenario start from.

The demo's application without its pgvector column, which Debian's PostgreSQL 15 has not; wheels of all it needs for
the machines' Pythons; a certificate authority and a certificate for each machine; passwords.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MACHINES = ("mover", "old", "new")
ROLES = ("migrator_old", "migrator_new", "demo_owner", "demo_app", "demo_reader")
# What Python 3.13 and later ask of a certificate.
EXTENSIONS = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def run(*argv: str, cwd: pathlib.Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(argv, cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def certificates(directory: pathlib.Path) -> None:
    """An authority and a server certificate for each machine, named as the machine."""
    directory.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("openssl", "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=Molecule test authority",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign", cwd=directory)
    for name in MACHINES:
        (directory / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}\n{EXTENSIONS}", encoding="ascii")
        run("openssl", "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", cwd=directory)
        run("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", cwd=directory)
    for path in (directory / "ca.key", *directory.glob("*.csr"), *directory.glob("*.ext")):
        path.unlink()


def application(directory: pathlib.Path) -> None:
    """Releases of the back end, builds of the page, roles and rows."""
    os.environ["DEMO_STATE"] = str(directory)
    sys.path.insert(0, str(ROOT))
    from demo import releases

    releases.assemble()
    for version in ("1.0", "2.0"):
        built = releases.build_page(releases.SOURCE / f"frontend-{version}")
        shutil.copytree(built, directory / f"frontend-{version}")
        shutil.move(releases.SOURCE / f"backend-{version}", directory / f"backend-{version}")
        for path in (directory / f"backend-{version}" / "migrations" / "versions").glob("*.py"):
            without_vectors(path, path)
    without_vectors(ROOT / "demo" / "app" / "rows.sql", directory / "rows.sql")
    shutil.copy(ROOT / "demo" / "app" / "roles.sql", directory)
    shutil.rmtree(releases.SOURCE)


def without_vectors(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a file, with arrays of numbers where it has pgvector's type."""
    text = re.sub(r"real\[\]::public\.vector|public\.vector(\(\d+\))?", "real[]", source.read_text(encoding="utf-8"))
    target.write_text(text, encoding="utf-8")


def wheels(directory: pathlib.Path) -> None:
    """Every package of the back end as a wheel for this processor and for the Pythons of the machines."""
    tags = [f"--platform={tag}_{platform.machine()}" for tag in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
    for version in ("3.11", "3.14"):
        run(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp",
            f"--python-version={version}", *tags, f"--dest={directory}", f"--requirement={ROOT / 'demo/app/backend/requirements.txt'}",
            cwd=ROOT)


def main() -> None:
    """Make everything anew below the directory that the command line names."""
    work = pathlib.Path(sys.argv[1])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    (work / "secrets.json").touch(mode=0o600)
    (work / "secrets.json").write_text(json.dumps({role: secrets.token_urlsafe(18) for role in ROLES}), encoding="ascii")
    site = work / "site"
    site.mkdir()
    certificates(site / "tls")
    application(site)
    wheels(site / "wheels")
    with tarfile.open(work / "site.tar", "w") as archive:
        archive.add(site, ".")


if __name__ == "__main__":
    main()
