# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images of real applications, made without a registry: this machine's Python and shell, packages of this environment."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping

from packaging.requirements import Requirement

CONFIGURATION = str(pathlib.Path(__file__).parents[2] / "molecule" / "shared" / "containers.conf")
FLASK = ("flask", "flask-sqlalchemy", "flask-migrate", "gunicorn", "pytest")
"""What the Flask application of the tests needs."""
UNUSED = shutil.ignore_patterns("dist-packages", "test", "idlelib", "tkinter", "lib2to3", "*.a", "config-*")


def podman(*argv: str, check: bool = True) -> str:
    """What ``podman argv`` prints."""
    surroundings = {**os.environ, "CONTAINERS_CONF": CONFIGURATION}
    done = subprocess.run(["podman", *argv], env=surroundings, check=False, text=True, capture_output=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def python_image(place: pathlib.Path, packages: tuple[str, ...], others: pathlib.Path | None = None) -> str:
    """The tag of an image with Python, a shell and ``packages`` (with what they require); it is made once, staged in ``place``.

    ``others``: a directory with packages that are not installed here; of one that is there already, this environment's is taken.
    """
    required = _required(packages)
    versions = ["compiled", sys.version, *sorted(f"{found.name} {found.version}" for found in required)]
    added = sorted(others.iterdir()) if others else []
    versions += [path.name for path in added]
    tag = f"localhost/dihya-test-python:{hashlib.sha256(' '.join(versions).encode()).hexdigest()[:12]}"
    if podman("images", "--quiet", tag):
        return tag
    program = os.path.realpath(sys.executable)
    standard = pathlib.Path(sysconfig.get_path("stdlib"))
    shell = shutil.which("dash") or "/bin/sh"
    shutil.copytree(standard, place / str(standard).lstrip("/"), ignore=UNUSED, symlinks=True)
    for name in ("bin/sh", "packages/bin/python"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(shell if name == "bin/sh" else program)
    for name in ("tmp", "etc", "root"):
        (place / name).mkdir(exist_ok=True)  # an interpreter may live below one of them
    (place / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    for distribution in required:
        _install(distribution, place / "packages", program)
    for path in added:
        if not (place / "packages" / path.name).exists():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, place / "packages" / path.name)
    extensions = [str(path) for folder in (standard / "lib-dynload", place / "packages") for path in folder.rglob("*.so")]
    for file in {program, shell} | {path for path in _libraries([program, shell, *extensions]) if not path.startswith(str(place))}:
        _copy(file, place)
    archive = place.with_suffix(".tar")
    subprocess.run(["tar", "-C", place, "-cf", archive, "."], check=True)
    podman("import", "--quiet", "--change=ENV PATH=/packages/bin:/usr/bin:/bin", "--change=ENV PYTHONPATH=/packages", str(archive), tag)
    archive.unlink()
    shutil.rmtree(place)
    return tag


def application_image(tag: str, base: str, tree: pathlib.Path, command: list[str]) -> str:
    """Build ``tag`` with ``tree`` in ``/application`` and return the id of the image."""
    quoted = ", ".join(f'"{word}"' for word in command)
    recipe = tree.parent / f"{tree.name}.containerfile"
    recipe.write_text(f"FROM {base}\nCOPY . /application\nWORKDIR /application\nCMD [{quoted}]\n")
    podman("build", "--quiet", "--isolation=chroot", f"--tag={tag}", f"--file={recipe}", str(tree))
    return podman("image", "inspect", "--format={{.Id}}", tag)


def remove_application(service: str, images: Mapping[str, str]) -> None:
    """Leave no container and no secret of ``service``, and none of its ``images`` by release."""
    podman("rm", "--force", "--ignore", "--time=0", *(f"{service}-{release}" for release in images))
    left = [name for name in podman("secret", "ls", "--format={{.Name}}").split() if name.startswith(f"{service}-")]
    if left:
        podman("secret", "rm", *left)
    podman("rmi", "--force", *images.values(), check=False)


def _libraries(programs: list[str]) -> set[str]:
    """The shared libraries of ``programs``."""
    told = subprocess.run(["ldd", *programs], check=False, text=True, capture_output=True).stdout
    return set(re.findall(r"(?:=> |^\t)(/\S+)", told, re.M))


def _copy(file: str, place: pathlib.Path) -> None:
    """A file and, where it is a link, what it leads to, under the same names."""
    target = place / file.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target)


def _required(packages: tuple[str, ...]) -> list[importlib.metadata.Distribution]:
    found: dict[str, importlib.metadata.Distribution] = {}
    left = list(packages)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name not in found:
            found[name] = importlib.metadata.distribution(name)
            needed = map(Requirement, found[name].requires or [])
            left += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return list(found.values())


def _install(distribution: importlib.metadata.Distribution, packages: pathlib.Path, python: str) -> None:
    for file in distribution.files or []:
        source = pathlib.Path(str(file.locate()))
        if ".." not in file.parts and source.is_file():
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)  # with its time: by that Python knows whether what it compiled still fits
    for point in distribution.entry_points.select(group="console_scripts"):
        script = packages / "bin" / point.name
        script.write_text(f"#!{python}\nimport sys\nfrom {point.module} import {point.attr}\nsys.exit({point.attr}())\n")
        script.chmod(0o755)
