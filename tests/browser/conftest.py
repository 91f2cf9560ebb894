# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo, migrated once for its tests, a browser that trusts its authority or none, and small sites to be measured."""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys

import pytest

from demo import certificates
from demo.postgres_server import bin_directory
from tests.support.needs import require_program
from tests.support.page_tools import page_tools
from tests.support.playbook import ROOT
from tests.support.recorder import Recorder
from tests.support.remains import processes_of
from tests.support.website import Server

PORTS = 7
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def free_ports() -> int:
    """The first of seven ports in a row on which nothing listens."""
    def free(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    while True:
        first = random.randrange(20000, 30000, 10)
        if all(free(first + number) for number in range(PORTS)):
            return first


@pytest.fixture(scope="session", name="chromium")
def fixture_chromium():
    """Path of the browser."""
    require_program("certutil")
    return require_program("chromium", "chromium-browser", "google-chrome")


def demo_environment(directory: pathlib.Path) -> dict[str, str]:
    """What keeps a demo apart from others: all its files below ``directory``, the user's home too, ports of its own."""
    (directory / "home").mkdir()
    # What other demos would use again stays theirs; a copy of it spares the time to fill a database.
    for kept in (ROOT / ".tools" / "demo").glob("old-database-*"):
        if "." not in kept.name:
            shutil.copytree(kept, directory / "kept" / kept.name, symlinks=True)
    return {"DEMO_STATE": str(directory / "state"), "DEMO_REPORTS": str(directory / "reports"), "DEMO_KEPT": str(directory / "kept"),
            "DEMO_PORT_BASE": str(free_ports()), "HOME": str(directory / "home")}


def clean_demo(environment: dict[str, str], directory: pathlib.Path) -> None:
    """``make demo-clean``, which leaves no process and no file of the demo, not even in the user's home."""
    run_demo(environment, "clean")
    assert [str(path) for path in directory.rglob("*") if path != directory / "home"] == []
    assert processes_of(directory) == []


def traffic(environment: dict[str, str]) -> list[str]:
    """How a host switches the public address: its commands run without our environment."""
    return ["env", f"DEMO_STATE={environment['DEMO_STATE']}", sys.executable, str(ROOT / "demo" / "traffic.py")]


def run_demo(environment: dict[str, str], *arguments: str, status: int = 0) -> str:
    """What the demo said, which must have ended with ``status``."""
    done = subprocess.run([sys.executable, "demo/run.py", *arguments], cwd=ROOT, env={**os.environ, **environment}, check=False, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500)
    assert done.returncode == status, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="session", name="moved")
def fixture_moved(tmp_path_factory):
    """The demo as ``make demo`` leaves it: what its inventory reads (ports, addresses, authority), ``passwords``, what it ``said`` at -vvv,
    its ``directory``, and ``recorded``, every start of a shell, a tool of PostgreSQL and a program of its virtual environment. Before, it
    was ``planned`` with --check: what it said then, and the ``files`` that it had afterwards."""
    directory, recorder = tmp_path_factory.mktemp("demo"), Recorder(tmp_path_factory.mktemp("recorder"))
    ours = {**demo_environment(directory), "PATH": recorder.path("sh")}
    programs = recorder.mirror(pathlib.Path(sys.executable).parent)
    (programs.parent / "venv").mkdir()
    (programs.parent / "venv" / "bin").symlink_to(programs)
    given = {
        "demo_traffic": traffic(ours),
        "ansible_python_interpreter": str(programs / "python3"),
        "postgresql_bin_dir": str(recorder.mirror(bin_directory(18))),
        "backend_venv": str(programs.parent / "venv"),
        "demo_programs": str(programs),
    }

    try:
        planned = run_demo(ours, "success", "--check", "--diff", "-e", json.dumps({"demo_traffic": given["demo_traffic"]}))
        files = sorted(path.name for path in (*directory.iterdir(), *(directory / "state").iterdir()))
        said = run_demo(ours, "success", "-vvv", "--diff", "-e", json.dumps(given))
        found = {name: json.loads((directory / "state" / f"{name}.json").read_text(encoding="utf-8")) for name in ("demo", "secrets")}
        yield {**found["demo"], "passwords": found["secrets"], "said": said, "directory": directory, "recorded": recorder,
               "planned": planned, "files": files}
    finally:
        clean_demo(ours, directory)


@pytest.fixture(name="open_page")
def fixture_open_page(chromium, moved, tmp_path):
    """Call with ``trusting`` to get a page of a browser with a home of its own, which knows the demo's authority or none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened: list = []

        def page(trusting: bool):
            home = tmp_path / f"home-{len(opened)}"
            store = home / ".pki" / "nssdb"
            store.mkdir(parents=True)
            subprocess.run(["certutil", "-d", f"sql:{store}", "-N", "--empty-password"], check=True)
            if trusting:
                subprocess.run(["certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "demo", "-i", moved["ca"]], check=True)
            opened.append(playwright.chromium.launch(executable_path=chromium, args=FLAGS, env={**os.environ, "HOME": str(home)}))
            return opened[-1].new_page()

        yield page
        for browser in opened:
            browser.close()


@pytest.fixture(scope="session", name="tools")
def fixture_tools(chromium):
    """Directory in which axe-core and Lighthouse are installed."""
    del chromium  # without it they would be installed for nothing
    return page_tools()


@pytest.fixture(scope="session", name="authority")
def fixture_authority(tmp_path_factory):
    """Paths of an authority, and of a certificate for 127.0.0.1 and its key."""
    directory = tmp_path_factory.mktemp("authority") / "certificates"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "CERTIFICATES", directory)
        for name in ("CA", "CERTIFICATE", "KEY"):
            patch.setattr(certificates, name, directory / getattr(certificates, name).name)
        certificates.make()
        return certificates.CA, certificates.CERTIFICATE, certificates.KEY


@pytest.fixture(name="serve")
def fixture_serve(authority):
    """Call with a directory to get the address of a server for it."""
    servers = []

    def start(root) -> str:
        servers.append(Server(root, authority[1:]))
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()
