# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module app_unit with a real systemd: started, proved by one process, and what ran before brought back."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import urllib.request

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app import env_file, unit

from tests.support.backend_role import ask, role
from tests.support.systemd import Systemd

SERVER = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(os.environ.get("STATUS", 200)))
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
        if "DIES" in os.environ:
            self.wfile.flush()
            os._exit(1)
print("started " + sys.argv[2], flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
VALUES = {
    "KEY": "-----BEGIN KEY-----\nAbC+/=\ncanary\n-----END KEY-----\n", "TAB": "a\tb",
    "BACKSLASH": r"C:\new\table \\ \"", "QUOTES": """it's "so" """,
    "SHELL": "$HOME ${PATH} `id` %n %%", "COMMENT": " #;= ", "NAMES": "ⴷⵉⵀⵢⴰ é", "EMPTY": "", "LINES": "\n\n", "NUMBER": 5432,
}


@pytest.fixture(name="manager", scope="module")
def fixture_manager(tmp_path_factory):
    """A manager of systemd, and a systemctl that asks it."""
    systemd = Systemd(tmp_path_factory.mktemp("systemd"))
    client = systemd.units / "bin" / "systemctl"
    client.parent.mkdir()
    settings = " ".join(f"{name}={value}" for name, value in systemd.environment.items())
    client.write_text(f"#!/bin/sh\n{settings} exec systemctl --user \"$@\"\n")
    client.chmod(0o755)
    yield systemd
    systemd.stop()


class Site:
    """The unit of an application, whose releases differ in their environment."""

    def __init__(self, root: pathlib.Path, systemd: Systemd, run_module, port: int) -> None:
        self.root, self.systemd, self._run, self.port = root, systemd, run_module, port
        self.service = f"site{port}"
        self.file, self.env, self.log = systemd.units / f"{self.service}.service", root / ".env", root / "log" / "app.log"
        self.record = root / "run" / "unit.json"
        (root / "server.py").write_text(SERVER)

    def unit(self, release: str) -> str:
        """The unit that the role makes."""
        return "\n".join([
            "[Unit]", f"Description={release}", "[Service]", f"EnvironmentFile={self.env}", f"StandardOutput=append:{self.log}",
            f"ExecStart={sys.executable} {self.root}/server.py {self.port} {release}", "Restart=on-failure", "[Install]",
            "WantedBy=default.target", ""])

    def ask(self, state: str, release: str | None = "new", **values) -> dict:
        """Run the module, for V(started) with ``values`` as environment."""
        given: dict = {"health_url": f"http://127.0.0.1:{self.port}/", "health_timeout": 6 if "STATUS" in values else 20, "port": self.port}
        if state == "started":
            self.env.write_text(ask(role(backend_environment=values), "__backend_env_text"))
            self.env.chmod(0o600)
            given |= {"unit": self.unit(str(release)), "unit_file": str(self.file), "env_file": str(self.env), "log_file": str(self.log)}
        result = self._run("app_unit", state=state, name=release, service=self.service, record_file=str(self.record), **given)
        assert "canary" not in json.dumps(result)
        return result

    def restore(self, text: str | None) -> None:
        """What the role's restore point does between stopped and reverted."""
        self.env.write_text("")
        if text is None:
            self.file.unlink(missing_ok=True)
        else:
            self.file.write_text(text)

    def state(self) -> tuple[str, str]:
        return self.systemd.state(self.service)

    def answer(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as response:
            return response.read().decode()


@pytest.fixture(name="site")
def fixture_site(tmp_path, manager, run_module, free_port, monkeypatch):
    monkeypatch.setenv("PATH", f"{manager.units / 'bin'}:{manager.environment['PATH']}")
    made = Site(tmp_path, manager, run_module, free_port())
    yield made
    manager.control("disable", "--now", made.service)
    made.file.unlink(missing_ok=True)
    manager.control("daemon-reload")


def test_every_reader_of_the_environment_file_gets_the_same_values(site):
    seen = site.ask("started", **VALUES)
    assert seen["running"] and seen["port"] == "own" and site.answer() == "new"
    wanted = {name: str(value) for name, value in VALUES.items()}
    assert env_file.read(str(site.env)) == wanted
    pairs = pathlib.Path(f"/proc/{seen['pid']}/environ").read_bytes().decode().split("\0")
    assert wanted.items() <= dict(pair.split("=", 1) for pair in pairs if pair).items()
    assert not site.ask("started", **VALUES)["changed"]
    assert site.ask("started", **VALUES, MORE=1)["changed"] and site.state() == ("active", "enabled")


@pytest.mark.parametrize(("values", "words"), [({"DIES": 1}, "it ended before it was healthy"), ({"STATUS": 500}, "it answered 500")])
def test_a_unit_that_systemd_starts_again_and_again_is_not_in_service(site, values, words):
    failed = site.ask("started", **values)
    assert failed["failed"] and words in failed["msg"] and site.state() == ("inactive", "disabled")


def test_what_ran_before_comes_back_and_is_asked_for_its_health(site, monkeypatch):
    site.ask("started", "old")
    before = site.file.read_text()
    site.log.write_text("ERROR of long ago\n")
    with monkeypatch.context() as patch, pytest.raises(ValueError):  # killed, it says nothing
        patch.setattr(unit, "_stop", lambda *_: os._exit(9))
        site.ask("started", "new")
    assert site.answer() == "old"
    started = site.ask("started", "new")
    assert site.answer() == "new" and site.log.read_bytes()[started["log_offset"]:].startswith(b"started new")
    site.ask("stopped")
    site.restore(before.replace("[Service]\n", "[Service]\nEnvironment=DIES=1\n"))
    sick = site.ask("reverted")
    assert sick["failed"] and "ended before it was healthy" in sick["msg"]
    site.restore(before)
    back = site.ask("reverted")
    assert back["changed"] and back["running"] and back["name"] == site.answer() == "old" and site.state() == ("active", "enabled")
    again = site.ask("reverted")
    assert not again["changed"] and again["running"]


@pytest.mark.parametrize("before", ["active", "inactive"])
def test_a_unit_without_a_record_comes_back_as_it_was_found(site, before):
    site.env.touch(0o600)
    site.log.parent.mkdir()
    theirs = site.unit("theirs")
    site.systemd.unit(site.file.name, theirs)
    site.systemd.control("start" if before == "active" else "stop", site.service)
    assert site.ask("started", "new")["running"] and site.answer() == "new"
    site.ask("stopped")
    site.restore(theirs)
    back = site.ask("reverted")
    assert back["changed"] and back["running"] == (before == "active") and site.state() == (before, "disabled")


def test_where_there_was_no_unit_none_is_left(site):
    site.ask("started")
    assert site.ask("stopped", None)["changed"] and site.ask("resumed", None)["running"] and site.answer() == "new"
    site.ask("stopped")
    site.restore(None)
    gone = site.ask("reverted")
    assert gone["changed"] and not gone["running"] and gone["name"] == "" and not site.record.exists()
    assert not site.ask("reverted")["changed"] and site.ask("observed")["port"] == "free"
