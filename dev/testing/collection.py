# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection as users install it: built, unpacked below build/, its documentation rendered, judged by ansible-test.

`python -m dev.testing.collection build|docs|sanity`; each builds first, from the files that git knows or would add.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request

import yaml

from dev.testing.steps import cannot_run

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
STAGE = BUILD / "stage"
INSTALLED = BUILD / "installed"
COLLECTION = INSTALLED / "ansible_collections" / "dihya" / "migration"
HOME = BUILD / "ansible-test-home"
# Kinds of plugins that ansible-doc shows.
KINDS = {"modules": "module", "callback": "callback", "filter": "filter", "lookup": "lookup", "test": "test",
         "connection": "connection", "inventory": "inventory", "become": "become", "vars": "vars", "strategy": "strategy"}
GET_PIP = "https://ci-files.testing.ansible.com/ansible-test/get-pip-24.2.py"
STAND_IN = f"""# Stand-in for get-pip.py where its site cannot be reached: what installed our own environment installs the pip asked for.
import pathlib, subprocess, sys
sys.path.insert(0, {str(ROOT / "dev")!r})
import installer
def run(argv, **options): subprocess.run(argv, check=True, **options)
wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
installer.install(pathlib.Path({sys.executable!r}), pathlib.Path(sys.executable), wanted, run, subprocess.CalledProcessError)
"""


def tool(name: str) -> str:
    """A program of the virtual environment."""
    return str(pathlib.Path(sys.executable).parent / name)


def run(*argv: str, cwd: pathlib.Path = ROOT, environment: dict[str, str] | None = None) -> int:
    """Run a command with our output; its exit status."""
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"  # these tools start each other by name
    return subprocess.run(argv, cwd=cwd, env={**os.environ, "PATH": path, **(environment or {})}, check=False).returncode


def build() -> int:
    """Build the collection from the tree and install the result, without dependencies, below build/installed."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.rmtree(INSTALLED, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_symlink() or not source.is_file():
            continue  # links serve the checkout only; a file deleted but not yet committed is gone
        target = STAGE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    meta = yaml.safe_load((STAGE / "galaxy.yml").read_text(encoding="utf-8"))
    artefact = BUILD / "dist" / f"{meta['namespace']}-{meta['name']}-{meta['version']}.tar.gz"
    galaxy = tool("ansible-galaxy")
    return (run(galaxy, "collection", "build", str(STAGE), "--output-path", str(artefact.parent), "--force")
            or run(galaxy, "collection", "install", str(artefact), "-p", str(INSTALLED), "--no-deps", "--force", "--offline"))


def docs() -> int:
    """Render the documentation of every plugin and role; the exit status is the number of kinds that failed."""
    failed = build()
    config = BUILD / "documentation.cfg"
    config.write_text(f"[defaults]\ncollections_path = {INSTALLED}\n", encoding="utf-8")
    environment = {"ANSIBLE_CONFIG": str(config)}  # not the checkout's: what is rendered is what was built
    found = [(kind, path.stem) for folder, kind in KINDS.items() for path in sorted((COLLECTION / "plugins" / folder).glob("*.py"))]
    found += [("role", path.parent.name) for path in sorted((COLLECTION / "roles").glob("*/tasks"))]
    for kind in sorted({kind for kind, _name in found}):
        names = [f"dihya.migration.{name}" for other, name in found if other == kind and not name.startswith("_")]
        print(f"{kind}: {' '.join(names)}", flush=True)
        done = subprocess.run([tool("ansible-doc"), "-t", kind, *names], env={**os.environ, **environment}, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        missing = [name for name in names if name.upper() not in done.stdout.upper()]
        if done.returncode or missing or "[ERROR]" in done.stdout or "Skipping role" in done.stdout:
            print(f"not rendered: {' '.join(missing)}\n{done.stdout[-3000:]}", flush=True)
            failed += 1
    lint = (tool("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--disallow-unknown-collection-refs", "--skip-rstcheck")
    return failed + (run(*lint, str(COLLECTION), environment=environment) != 0)


def sanity() -> int:
    """ansible-test sanity on the built collection, with the ignore files of the checkout."""
    if build():
        return 1
    if (ROOT / "tests" / "sanity").is_dir():
        shutil.copytree(ROOT / "tests" / "sanity", COLLECTION / "tests" / "sanity", dirs_exist_ok=True)
    if not get_pip():
        return cannot_run("ansible-test cannot set itself up: get-pip.py is out of reach, and .venv has no pip (run dev/setup.py)")
    # ansible-test asks git for the files; ours ignores build/.
    subprocess.run(["git", "init", "--quiet"], cwd=COLLECTION, check=True)
    (COLLECTION / ".git" / "info" / "exclude").write_text("/tests/output/\n__pycache__/\n", encoding="utf-8")
    subprocess.run(["git", "add", "--all"], cwd=COLLECTION, check=True)
    user = pathlib.Path.home()
    # Its own home: the stand-in and the virtual environments of ansible-test must not stay in the user's.
    environment = {"HOME": str(HOME), "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(user / ".cache" / "pip"))}
    for config in (user / ".config" / "pip" / "pip.conf", user / ".pip" / "pip.conf"):
        if config.exists():
            environment.setdefault("PIP_CONFIG_FILE", os.environ.get("PIP_CONFIG_FILE", str(config)))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return run(tool("ansible-test"), "sanity", "--python", version, "--color", "no", cwd=COLLECTION, environment=environment)


def get_pip() -> bool:
    """Put a get-pip.py where ansible-test looks for it; False where that cannot be."""
    cache = HOME / ".ansible" / "test" / "cache" / "get_pip_24_2.py"
    cache.parent.mkdir(parents=True, exist_ok=True)
    if cache.exists() and not cache.read_text(encoding="utf-8").startswith("# Stand-in"):
        return True
    try:
        with urllib.request.urlopen(GET_PIP, timeout=10) as answer:
            cache.write_bytes(answer.read())
    except OSError:
        if subprocess.run([sys.executable, "-m", "pip", "--version"], check=False, capture_output=True).returncode != 0:
            return False
        print("get-pip.py is out of reach: its stand-in uses our own pip")
        cache.write_text(STAND_IN, encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit({"build": build, "docs": docs, "sanity": sanity}[sys.argv[1]]())
