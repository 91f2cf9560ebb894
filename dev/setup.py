#!/usr/bin/env python3
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring everything that a profile needs into the checkout: ``.venv`` from PyPI, ``.tools`` from npm.

Usage: ``python3 dev/setup.py [demo | test | …]``. A profile is ``requirements/<profile>.txt``; ``demo`` comes with all.
Standard library only, no root, no system package. A step whose stamp (digest of what it reads) is unchanged is not
done again. Exit status 1 with one sentence and its remedy where it cannot go on.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

from installer import install

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
FRONTEND = ROOT / "demo" / "app" / "frontend"
OLDEST = (3, 11)
OTHERS = (13, 12, 11, 14)
"""Minor versions to look for where this Python is too old; those with builds of all packages first."""
NEEDED_MB = 1500


class Missing(Exception):
    """What is missing, and what to do about it; shown as it is."""


def say(text: str) -> None:
    """One progress line."""
    sys.stdout.write("setup: " + text + "\n")
    sys.stdout.flush()


def use_new_enough_python() -> None:
    """Go on under Python >= 3.11: this one, else the newest on the PATH."""
    if sys.version_info[:2] >= OLDEST:
        return
    for minor in OTHERS:
        other = shutil.which(f"python3.{minor}")
        if other:
            os.execv(other, [other, __file__] + sys.argv[1:])
    raise Missing(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed; {sys.executable} is {sys.version.split()[0]} and no newer one is on "
                  "the PATH. Install one, or name it: make PYTHON=/path/to/python3.12 …")


def check_disk() -> None:
    """Refuse to begin what the disk cannot hold; what is there already needs no room."""
    if (TOOLS / "stamp-frontend").exists():
        return
    free = shutil.disk_usage(str(ROOT)).free // 2**20
    if free < NEEDED_MB:
        raise Missing(f"{NEEDED_MB} MB are needed under {ROOT}, {free} MB are free. Free some space.")


def digest(paths: list[pathlib.Path], *more: str) -> str:
    """sha256 over the contents of ``paths`` and the words ``more``."""
    found = hashlib.sha256("\0".join(more).encode())
    for path in paths:
        found.update(path.read_bytes() + b"\0")
    return found.hexdigest()


def run(argv: list[str], log: pathlib.Path, **options) -> None:
    """Run ``argv`` with all it says in ``log``; raises ``Missing`` with the likely cause."""
    with log.open("ab") as stream:
        stream.write((" ".join(argv) + "\n").encode())
        stream.flush()
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode != 0:
        program = next(word for word in argv[1:] if word != "-m") if argv[1:] and "python" in argv[0] else argv[0]
        raise Missing(explain(log.read_text(encoding="utf-8", errors="replace")[-6000:], pathlib.Path(program).name, log))


def explain(output: str, program: str, log: pathlib.Path) -> str:
    """The cause of a failed download or build, as far as its output tells."""
    causes = (
        (("No space left", "ENOSPC"), "the disk is full. Free some space"),
        (("Temporary failure in name resolution", "Network is unreachable", "Failed to establish a new connection", "Connection refused",
          "NewConnectionError", "ConnectTimeout", "Read timed out", "ProxyError", "Tunnel connection failed", "ENOTFOUND", "EAI_AGAIN",
          "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "ETIMEDOUT"),
         "there is no network, or no way to the package registry. Connect, or configure your proxy or mirror for pip and npm"),
        (("CERTIFICATE_VERIFY_FAILED", "SELF_SIGNED_CERT", "unable to get local issuer"),
         "the registry's TLS certificate is not trusted. Tell pip and npm your proxy's CA (PIP_CERT, NODE_EXTRA_CA_CERTS)"),
        (("No matching distribution",), "a package has no build for this Python or machine (Linux x86_64 or aarch64, Python 3.11 to 3.14)"),
    )
    for words, cause in causes:
        if any(word in output for word in words):
            return f"{program} failed: {cause}. Its output: {log}"
    return f"{program} failed. Its output: {log}"


def explain_system(error: OSError | subprocess.SubprocessError) -> str:
    """The same of what the system refused to us."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full. Free some space ({error})"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{ROOT} cannot be written. Make it this user's own, or clone it to where the user may write ({error})"
    return str(error)


def make_venv(log: pathlib.Path) -> pathlib.Path:
    """The virtual environment's python, made when it is not there or no longer starts."""
    python = VENV / "bin" / "python"
    if python.exists() and subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return python
    say(f"virtual environment .venv (Python {sys.version_info[0]}.{sys.version_info[1]})")
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        import venv
    except ImportError:
        raise Missing("this Python has no venv module. Install it (Debian, Ubuntu: sudo apt-get install python3-venv)") from None
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0:
        fill = [str(python), "-m", "ensurepip", "--upgrade", "--default-pip"]
    elif subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        # Debian keeps ensurepip in python3-venv; a pip of the system's Python can fill the environment as well.
        fill = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "pip"]
    else:
        raise Missing("this Python has neither ensurepip nor pip. Install one (Debian, Ubuntu: sudo apt-get install python3-venv)")
    venv.create(str(VENV), with_pip=False, symlinks=True)
    run(fill, log)
    return python


def step(title: str, stamp: pathlib.Path, wanted: str, work) -> None:
    """Do ``work`` unless ``stamp`` says that exactly this was done."""
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        say(title + ": ready")
        return
    say(title)
    began = time.monotonic()
    stamp.unlink(missing_ok=True)
    work()
    stamp.write_text(wanted, encoding="ascii")
    say(f"{title}: done in {time.monotonic() - began:.0f} s")


def install_python_packages(profile: str, python: pathlib.Path, log: pathlib.Path) -> None:
    """Install ``requirements/<profile>.txt``, with ``<profile>-constraints.txt`` where there is one."""
    requirements = ROOT / "requirements" / (profile + ".txt")
    if not requirements.exists():
        raise Missing(f"there is no profile {profile} (no file requirements/{profile}.txt)")
    files, options = [requirements], ["-r", str(requirements)]
    constraints = requirements.with_name(profile + "-constraints.txt")
    if constraints.exists():
        files, options = [*files, constraints], [*options, "-c", str(constraints)]

    def work() -> None:
        install(python, python, options, lambda argv, **more: run(argv, log, **more), Missing)

    step(f"Python packages, {profile}", VENV / ("stamp-" + profile), digest(files, str(VENV)), work)


def keep_compiled(python: pathlib.Path) -> None:
    """Spare the tasks of the demo and the tests what they would do anew each time; see the sources in dev."""
    sources = sorted((ROOT / "dev").glob("keep_*"))

    def work() -> None:
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = subprocess.run([str(python), "-c", where], capture_output=True, text=True, check=True).stdout.strip()
        for source in sources:
            shutil.copy(str(source), packages)

    step("Compiled modules of Ansible are kept", VENV / "stamp-keep-compiled", digest(sources, str(VENV)), work)


def install_node_packages(python: pathlib.Path, log: pathlib.Path) -> None:
    """``npm ci`` of the front end into .tools/frontend, by the Node that came into .venv."""
    target = TOOLS / "frontend"
    locks = [FRONTEND / "package.json", FRONTEND / "package-lock.json"]

    def work() -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for lock in locks:
            shutil.copy(str(lock), str(target))
        environment = dict(os.environ, PATH=str(VENV / "bin") + os.pathsep + os.environ.get("PATH", ""))
        run([str(python), str(VENV / "bin" / "npm"), "ci", "--no-audit", "--no-fund"], log, cwd=str(target), env=environment)

    step("Node packages of the front end", TOOLS / "stamp-frontend", digest(locks, str(ROOT)), work)


def main(arguments: list[str]) -> int:
    """Set up the profiles named (``demo`` when none is); returns the exit status."""
    try:
        use_new_enough_python()
        check_disk()
        TOOLS.mkdir(exist_ok=True)
        log = TOOLS / "setup.log"
        log.write_text("", encoding="utf-8")
        python = make_venv(log)
        for profile in dict.fromkeys(["demo"] + arguments):
            install_python_packages(profile, python, log)
        keep_compiled(python)
        install_node_packages(python, log)
    except (Missing, OSError, subprocess.SubprocessError) as error:
        cause = str(error) if isinstance(error, Missing) else explain_system(error)
        sys.stderr.write(f"setup: cannot go on: {cause}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
