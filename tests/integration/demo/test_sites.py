# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sites of the demo, its public address and its poller, for real."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest

from demo import saved
from demo.judge import Window, judge, read_lines
from tests.support.needs import cannot_run, require_root
from tests.support.nobody import NOBODY, open_directory
from tests.support.remains import processes_of

ROOT = Path(__file__).resolve().parents[3]
# As nobody, with the checkout in place of the directory around it into which only root comes ($1, empty where everybody comes). The
# checkout would be this user's own: Vite writes into its packages.
AS_NOBODY = """set -e
if [ "$1" ]; then
  mkdir "$2"; mount --bind "$3" "$2"; mount -t tmpfs -o mode=755 none "$1"; mkdir -p "$3"; mount --bind "$2" "$3"
fi
mkdir -p "$3/.tools/frontend/node_modules/.vite-temp"; mount -t tmpfs -o mode=1777 none "$3/.tools/frontend/node_modules/.vite-temp"
cd "$3"; shift 3
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$@"
"""


def seven_free_ports() -> int:
    """The first of seven ports that nothing listens on."""
    for first in range(21000 + os.getpid() % 1000 * 7, 60000, 7):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + 7):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no seven free ports")


class Demo:
    """One demo of its own, in a state directory with a space in its name."""

    def __init__(self, state: Path) -> None:
        self.state, self.port = state, seven_free_ports()
        self.environment = {**os.environ, "DEMO_STATE": str(state), "DEMO_PORT_BASE": str(self.port)}

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, str(ROOT / "demo" / f"{program}.py"), *arguments], env=self.environment, text=True,
                              capture_output=True, check=False, timeout=120)

    @contextlib.contextmanager
    def polling(self, path: Path):
        poller = subprocess.Popen([sys.executable, str(ROOT / "demo" / "poller.py"), str(path)], env=self.environment)
        try:
            time.sleep(1)
            yield
        finally:
            poller.send_signal(signal.SIGTERM)
            assert poller.wait(30) == 0

    def rows(self) -> dict[str, int]:
        secrets = json.loads((self.state / "secrets.json").read_text(encoding="utf-8"))
        with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=self.port + 5, dbname="dihya_demo", user="demo_reader",
                                                 password=secrets["demo_reader"])) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT idempotency_key::text, count(*) FROM lending.loan GROUP BY 1")
            return dict(cursor.fetchall())

    def flask(self, release: str, *command: str) -> subprocess.CompletedProcess:
        parameters = json.loads((self.state / "demo.json").read_text(encoding="utf-8"))
        environment = {**os.environ, **parameters["old"]["environment"], "FLASK_APP": "wsgi", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([sys.executable, "-m", *command], cwd=self.state / "source" / release, env=environment, text=True,
                              capture_output=True, check=False, timeout=120)


@pytest.fixture(scope="module", name="demo")
def fixture_demo(tmp_path_factory):
    if not (ROOT / ".tools" / "frontend" / "node_modules").exists():
        cannot_run("python3 dev/setup.py was not run")
    demo = Demo(tmp_path_factory.mktemp("demo") / "the state")
    started = demo.run("sites", "start")
    assert started.returncode == 0, started.stderr
    yield demo
    assert demo.run("sites", "clean").returncode == 0
    assert not demo.state.exists()
    assert processes_of(demo.state) == []


def test_the_public_address_speaks_nothing_older_than_tls_1_3(demo):
    context = ssl.create_default_context(cafile=str(demo.state / "certificates" / "ca.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", demo.port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_no_request_fails_while_writes_are_blocked_and_allowed_again_and_again(demo, tmp_path):
    with demo.polling(tmp_path / "requests.jsonl"):
        began = time.time()
        for command in ("block-writes", "block-writes", "allow-writes", "allow-writes", "block-writes"):
            done = demo.run("traffic", command)
            assert done.returncode == 0, done.stderr
        assert demo.run("traffic", "status").stdout == "writes blocked, site old\n"
        frozen = demo.rows()
        time.sleep(1)
        assert demo.rows() == frozen, "a write passed after block-writes had returned"
        assert demo.run("traffic", "allow-writes").stdout == "writes open, site old\n"
        ended = time.time()
        time.sleep(1)
    verdict = judge(read_lines(tmp_path / "requests.jsonl"), Window(began, ended), demo.rows())
    assert verdict.broken == []
    assert verdict.figures["writes refused with 503 and Retry-After"] > 0


def test_a_taken_port_is_named_and_nothing_is_made(demo, tmp_path):
    other = Demo(tmp_path / "other")
    other.environment["DEMO_PORT_BASE"] = str(demo.port - 1)
    failed = other.run("sites", "start")
    assert failed.returncode == 1
    assert f"port {demo.port} (old page) is taken" in failed.stderr
    assert not other.state.exists()


def test_the_old_release_passes_its_tests_and_the_new_one_does_not_without_its_schema_migration(demo):
    # After it the new release passes, as every whole demo shows, and the broken one does not, as make demo-failure does.
    assert [demo.flask(release, "pytest").returncode for release in ("backend-1.0", "backend-2.0")] == [0, 1]


def test_an_ordinary_user_who_can_become_nobody_else_starts_and_removes_the_sites(demo):
    require_root()
    closed = next((path for path in reversed(ROOT.parents) if not path.stat().st_mode & 0o001), None)
    if closed and Path(sys.base_prefix).is_relative_to(closed):
        cannot_run(f"an ordinary user does not reach the Python in {sys.base_prefix}")
    with open_directory() as home:
        other = Demo(home / "state")
        other.environment |= {"HOME": str(home), "DEMO_KEPT": str(home / "kept")}
        if saved.KEPT.exists():  # the filled database of this module's demo
            shutil.copytree(saved.KEPT, home / "kept", symlinks=True)
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(home / "kept")], check=True)

        def sites(command: str) -> str:
            reach = ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", str(closed or ""), str(home / f"checkout-{command}"), str(ROOT)]
            done = subprocess.run([*reach, sys.executable, "demo/sites.py", command], env=other.environment, text=True, timeout=120,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            assert done.returncode == 0, done.stdout
            return done.stdout

        try:
            sites("start")
            assert "API 1.0.0, PostgreSQL 16" in sites("status")
            started = read_lines(other.state / "processes.jsonl")
            assert len(started) == 4 and {Path(f"/proc/{one['pid']}").stat().st_uid for one in started} == {NOBODY}
        finally:
            sites("clean")
        assert not other.state.exists() and processes_of(other.state) == []
