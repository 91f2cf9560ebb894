# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""app_process against real processes: one worker, exactly ours, and the state of before comes back."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

SERVER = """
import http.server, os, sys, pathlib
calls = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global calls
        calls += 1
        mode = os.environ.get("MODE", "")
        if mode == "dies" and calls == 2:
            os._exit(3)
        self.send_response(503 if mode == "flaps" and calls % 2 else 200)
        self.end_headers()
        self.wfile.write(f"{pathlib.Path.cwd().name} {os.environ.get('SECRET', '')}".encode())
    def log_message(self, *args):
        pass
if os.environ.get("MODE") == "child":
    import subprocess
    subprocess.Popen(["sleep", "600"], start_new_session=True)
if os.environ.get("MODE") == "stubborn":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def running(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children_of(pid: int) -> list[int]:
    """All processes below ``pid``, its own children first."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    children = [int(child) for child in listed.split()]
    return children + [each for child in children for each in children_of(child)]


class Site:
    """A directory with two releases and what the module is asked for."""

    def __init__(self, root: pathlib.Path, run_module, port: int) -> None:
        self.root, self._run, self.port = root, run_module, port
        self.env = root / ".env"
        self.pid_file = root / "run" / "app.json"
        for release in ("old", "new"):
            (root / release).mkdir()
            (root / release / "server.py").write_text(SERVER)
        self.secrets()

    def secrets(self, **values: str) -> None:
        self.env.write_text("".join(f"{name}={json.dumps(value)}\n" for name, value in {"SECRET": "canary-7", **values}.items()))
        self.env.chmod(0o600)

    def ask(self, state: str, release: str = "new", check_mode: bool = False, **more):
        given = {"health_url": f"http://127.0.0.1:{self.port}/", "health_timeout": 20, "health_successes": 2}
        if state == "started":
            given.update(command=[sys.executable, "server.py", str(self.port)], chdir=str(self.root / release), env_file=str(self.env),
                         log_file=str(self.root / "log" / "app.log"))
        result = self._run("app_process", check_mode, state=state, name=release, pid_file=str(self.pid_file), port=self.port,
                           stop_timeout=2, **{**given, **more})
        assert "canary" not in json.dumps(result)
        return result

    def answer(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as response:
            return response.read().decode()


@pytest.fixture
def site(tmp_path, run_module, free_port):
    made = Site(tmp_path, run_module, free_port())
    yield made
    if made.pid_file.exists():
        record = json.loads(made.pid_file.read_text())
        for name in (record["name"], (record.get("previous") or {}).get("name")):
            if name:
                made.ask("stopped", name)


def test_started_twice_runs_once_and_stopped_leaves_nothing(site):
    planned = site.ask("started", check_mode=True)
    assert planned["changed"] and not planned["running"] and not site.pid_file.exists()
    first = site.ask("started")
    assert first["changed"] and first["port"] == "own" and site.answer() == "new canary-7"
    again = site.ask("started")
    assert not again["changed"] and again["pid"] == first["pid"]
    created = first["journal"]["created"][0]
    assert created["kind"] == "process" and created["identity"].startswith(f"{first['pid']}:")
    assert site.pid_file.stat().st_mode & 0o777 == 0o600 and (site.root / "log" / "app.log").stat().st_mode & 0o777 == 0o600
    assert "canary" not in site.pid_file.read_text() + pathlib.Path(f"/proc/{first['pid']}/cmdline").read_text()
    assert site.ask("stopped", check_mode=True)["changed"] and running(first["pid"])
    assert site.ask("stopped")["changed"] and not running(first["pid"]) and not site.pid_file.exists()
    assert not site.ask("stopped")["changed"] and site.ask("observed")["port"] == "free"


def test_a_changed_secret_restarts_the_process(site):
    first = site.ask("started")
    site.secrets(SECRET="canary-8")
    second = site.ask("started")
    assert second["changed"] and second["pid"] != first["pid"] and site.answer() == "new canary-8" and not running(first["pid"])


def test_a_foreign_process_with_the_recorded_pid_is_never_killed(site):
    first = site.ask("started")
    record = json.loads(site.pid_file.read_text())
    site.ask("stopped")
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        for change in ({"pid": stranger.pid}, {"pid": stranger.pid, "boot": "0000"}):
            site.pid_file.write_text(json.dumps({**record, **change}))
            assert not site.ask("observed")["running"]
            assert site.ask("stopped")["changed"] and not site.pid_file.exists()
            assert stranger.poll() is None
        site.pid_file.write_text(json.dumps({**record, "pid": stranger.pid}))
        assert site.ask("started")["running"] and stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert first["pid"]


def test_a_port_held_by_a_stranger_is_not_fought_for(site):
    stranger = subprocess.Popen([sys.executable, "server.py", str(site.port)], cwd=site.root / "old")
    try:
        while site.ask("observed")["port"] == "free":
            pass
        refused = site.ask("started")
        assert refused["failed"] and f"port {site.port}" in refused["msg"] and stranger.poll() is None and not site.pid_file.exists()
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(("mode", "seconds", "words"), [("flaps", 6, "it flaps"), ("dies", 20, "it ended before it was healthy")])
def test_an_application_that_is_healthy_once_is_not_in_service(site, mode, seconds, words):
    site.secrets(MODE=mode)
    failed = site.ask("started", health_timeout=seconds, health_successes=3)
    assert failed["failed"] and words in failed["msg"] and failed["journal"]["error"]["remedy"]
    assert site.ask("observed")["port"] == "free"


def test_children_that_left_the_session_end_with_it(site, eventually):
    site.secrets(MODE="child")
    first = site.ask("started")
    children = children_of(first["pid"])
    assert len(children) == 2 and all(running(pid) for pid in children)
    site.ask("stopped")
    assert not any(running(pid) for pid in children)


def test_a_process_that_dies_is_started_again_and_its_log_says_so(site, eventually):
    first = site.ask("started")
    killed = children_of(first["pid"])[0]
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: children_of(first["pid"]) not in ([], [killed]) and site.ask("observed")["port"] == "own")
    assert site.answer() == "new canary-7"
    assert "ERROR the process ended by itself, exit status 137; it is started again in 1 s" in (site.root / "log" / "app.log").read_text()
    again = site.ask("started")
    assert not again["changed"] and again["pid"] == first["pid"]
    os.kill(children_of(first["pid"])[0], signal.SIGKILL)
    assert site.ask("stopped")["changed"] and not running(first["pid"])  # while it waits to start it again
    time.sleep(3)
    assert site.ask("observed")["port"] == "free"


def test_one_whose_start_was_cut_off_is_kept_running_from_the_next_start_on(site):
    first = site.ask("started")
    record = json.loads(site.pid_file.read_text())
    del record["kept"]
    site.pid_file.write_text(json.dumps(record))
    assert not site.ask("started")["changed"] and json.loads(site.pid_file.read_text())["kept"] == record["mark"]
    os.kill(first["pid"], signal.SIGTERM)
    while running(first["pid"]):
        time.sleep(0.05)
    ended = site.ask("observed")
    assert not ended["running"] and ended["port"] == "free"  # told to end, what watches it ends with its program


def test_one_that_waits_to_be_started_again_does_not_run_and_is_started_at_once_when_asked_for(site, eventually):
    first = site.ask("started")
    for _ in range(3):  # the third pause is of four seconds
        assert eventually(lambda: children_of(first["pid"]))
        (program,) = children_of(first["pid"])
        os.kill(program, signal.SIGKILL)
        assert eventually(lambda died=program: died not in children_of(first["pid"]))
    assert not site.ask("observed")["running"]
    again = site.ask("started")
    assert again["changed"] and again["running"] and again["pid"] != first["pid"] and not running(first["pid"])
    assert site.answer() == "new canary-7"


def test_one_that_nothing_watches_any_more_is_started_anew(site):
    first = site.ask("started")
    program = children_of(first["pid"])[0]
    os.kill(first["pid"], signal.SIGKILL)
    while running(first["pid"]):
        time.sleep(0.05)
    assert site.ask("observed")["running"] and running(program)
    again = site.ask("started")
    assert again["changed"] and not running(program) and site.answer() == "new canary-7"


def test_a_program_that_hides_its_mark_and_ignores_term_is_ended_with_what_watches_it(site):
    site.secrets(MODE="stubborn")
    command = ["/usr/bin/env", "-u", "DIHYA_APP_PROCESS", sys.executable, "server.py", str(site.port)]
    first = site.ask("started", command=command)
    program = children_of(first["pid"])[0]
    assert site.ask("stopped")["changed"] and not running(program) and not running(first["pid"])


def test_one_that_signals_its_whole_group_is_started_again_and_one_that_was_stopped_by_a_signal_ends(site, eventually):
    command = ["/bin/sh", "-c", f"trap 'kill 0' EXIT; {sys.executable} server.py {site.port}"]
    first = site.ask("started", command=command)
    os.kill(children_of(first["pid"])[-1], signal.SIGKILL)
    assert eventually(lambda: "it is started again in 1 s" in (site.root / "log" / "app.log").read_text())
    assert eventually(lambda: site.ask("observed")["port"] == "own")
    os.kill(first["pid"], signal.SIGSTOP)
    assert site.ask("stopped")["changed"] and not running(first["pid"]) and site.ask("observed")["port"] == "free"


def test_one_whose_resumption_was_cut_off_is_proved_and_kept_by_the_next(site):
    site.ask("started")
    site.ask("stopped", keep_record=True)
    site.ask("resumed")
    record = json.loads(site.pid_file.read_text())
    del record["kept"]
    site.pid_file.write_text(json.dumps(record))
    again = site.ask("resumed")
    assert not again["changed"] and again["health"] and json.loads(site.pid_file.read_text())["kept"] == record["mark"]
    os.kill(record["pid"], signal.SIGKILL)
    while running(record["pid"]):
        time.sleep(0.05)
    assert site.ask("resumed")["changed"] and site.answer() == "new canary-7"  # nothing would have started it again


def test_the_program_has_the_signals_and_the_environment_that_it_would_have_alone(site):
    show = "import os, signal; print(signal.getsignal(2), signal.getsignal(3), os.environ['PATH'], os.environ['status'], flush=True); "
    site.secrets(PATH="/nowhere", status="mine")
    site.ask("started", command=[sys.executable, "-c", f"{show}exec(open('server.py').read())", str(site.port)])
    told = (site.root / "log" / "app.log").read_text()
    assert told.startswith("<built-in function default_int_handler> 0 /nowhere mine"), told


def test_what_ignores_term_is_killed(site):
    site.secrets(MODE="stubborn")
    first = site.ask("started")
    assert site.ask("stopped")["changed"] and not running(first["pid"])


def test_reverted_brings_back_exactly_what_ran_before(site):
    old = site.ask("started", "old")
    new = site.ask("started", "new")
    assert new["changed"] and site.answer().startswith("new") and not running(old["pid"])
    assert site.ask("stopped", "new")["changed"] and site.ask("observed")["port"] == "free"
    assert not site.ask("stopped", "new")["changed"]
    assert site.ask("reverted", "new")["changed"] and site.answer().startswith("old")
    back = site.ask("observed")
    assert back["name"] == "old"
    assert not site.ask("reverted", "new")["changed"] and site.ask("observed")["pid"] == back["pid"]


def test_a_process_that_was_stopped_for_a_while_starts_again_as_it_was(site):
    site.ask("started")
    site.secrets(MORE="later")  # read anew, as its record names the file and never its content
    assert site.ask("stopped", keep_record=True)["changed"] and site.pid_file.exists()
    assert site.ask("resumed", check_mode=True)["changed"] and not site.ask("observed")["running"]
    resumed = site.ask("resumed", "another name")
    assert resumed["changed"] and resumed["running"] and site.answer() == "new canary-7" and resumed["port"] == "own"
    assert not site.ask("resumed")["changed"]
    site.ask("stopped")
    assert not site.pid_file.exists() and not site.ask("resumed")["changed"]


def test_a_failed_release_can_be_reverted(site):
    site.ask("started", "old")
    assert site.ask("started", "new", command=[sys.executable, "-c", "raise SystemExit(1)"])["failed"]
    assert site.ask("reverted", "new")["changed"] and site.answer().startswith("old")


def test_a_rollback_where_nothing_was_done_leaves_the_old_release_alone(site):
    old = site.ask("started", "old")
    assert not site.ask("stopped", "new")["changed"] and not site.ask("reverted", "new")["changed"]
    assert running(old["pid"])


@pytest.mark.parametrize(("more", "words"), [
    ({"command": ["no-such-program"]}, "cannot be executed"),
    ({"chdir": "/no/such/place"}, "is no directory"),
    ({"env_file": "/no/such/file"}, "cannot be read"),
    ({"health_url": "ftp://x"}, "not of the form"),
])
def test_a_wrong_set_up_is_refused_before_anything_runs(site, more, words):
    refused = site.ask("started", **more)
    assert refused["failed"] and words in refused["msg"] and not site.pid_file.exists()
