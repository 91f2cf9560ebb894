# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module app_container on real images: started, replaced, brought back by digest; tools of a killed run end."""

from __future__ import annotations

import json
import pathlib
import urllib.request

import pytest

from tests.support.images import CONFIGURATION, FLASK, application_image, podman, python_image
from tests.support.needs import require_podman

CANARY = "canary-77d1"
IMAGE = "localhost/dihya-test-app-container"
SERVER = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status} if "SECRET" in os.environ else 500)
        self.end_headers()
        self.wfile.write(b"{release}")
print("ERROR in {release}", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


class Site:
    """The images, and the module on this host."""

    def __init__(self, root: pathlib.Path, port: int, run_module, images: dict[str, str]) -> None:
        self.root, self.port, self.run_module, self.images = root, port, run_module, dict(images)
        self.env_file = root / ".env"
        self.env_file.write_text(f"SECRET={CANARY}\n")
        self.env_file.chmod(0o600)

    def name(self, release: str) -> str:
        return f"site{self.port}-{release}"

    def call(self, state: str, release: str, check_mode: bool = False, **options) -> dict:
        return self.run_module("app_container", check_mode, state=state, name=self.name(release), form="podman", port=self.port,
                               command=["python", "serve.py", str(self.port)], image=f"localhost/any@sha256:{self.images[release]}",
                               env_file=str(self.env_file),
                               record_file=str(self.root / "run" / "container.json"), log_file=str(self.root / "log" / f"{release}.log"),
                               health_url=f"http://127.0.0.1:{self.port}/", health_timeout=20, stop_timeout=2, **options)

    def answer(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            return answer.read().decode()

    def left(self) -> set[str]:
        """Containers and secrets of this site."""
        names = podman("ps", "--all", "--format={{.Names}}").split() + podman("secret", "ls", "--format={{.Name}}").split()
        return {name for name in names if name.startswith(f"site{self.port}-")}

    def remove(self) -> None:
        podman("rm", "--force", "--ignore", "--time=0", *map(self.name, self.images))
        for name in self.left():
            podman("secret", "rm", name)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The ids of the images ``one``, ``two`` and ``sick`` (it answers 503)."""
    require_podman()
    root = tmp_path_factory.mktemp("images")
    base = python_image(root / "image", FLASK)
    made = {}
    for release in ("one", "two", "sick"):
        tree = root / release
        tree.mkdir()
        (tree / "serve.py").write_text(SERVER.format(release=release, status=503 if release == "sick" else 200))
        made[release] = application_image(f"{IMAGE}:{release}", base, tree, [])
    yield made
    podman("rmi", "--force", *made.values())


@pytest.fixture
def site(tmp_path, free_port, run_module, monkeypatch, images):
    """Nothing of it runs yet."""
    monkeypatch.setenv("CONTAINERS_CONF", CONFIGURATION)
    made = Site(tmp_path, free_port(), run_module, images)
    yield made
    made.remove()


def test_a_release_replaces_another_and_what_ran_before_comes_back_by_its_digest(site):
    planned = site.call("started", "one", True)
    assert planned["changed"] and not site.left()
    assert site.call("started", "one")["changed"] and site.answer() == "one"
    assert not site.call("started", "one")["changed"] and site.call("observed", "one")["port"] == "own"
    before = site.left()

    sick = site.call("started", "sick")
    assert sick["failed"] and "it answered 503" in sick["msg"] and "sick.log" in sick["msg"], sick
    reverted = site.call("reverted", "sick")
    assert reverted["changed"] and reverted["running"] and reverted["image_id"] == site.images["one"] and site.answer() == "one"
    assert site.left() == before and not site.call("reverted", "sick")["changed"]

    assert site.call("started", "two")["changed"] and site.answer() == "two"
    assert json.loads(podman("container", "inspect", site.name("one")))[0]["State"]["Running"] is False
    enabled = site.call("enabled", "two")
    assert not enabled["changed"] and "starts with the machine" in enabled["journal"]["not_proved"][0]
    tools = site.call("present", "two")["inside"]
    podman(*tools[1:], "--detach", site.images["two"], "python", "-c", "import time; time.sleep(300)")
    reverted = site.call("reverted", "two")
    assert reverted["image_id"] == site.images["one"] and site.answer() == "one" and site.left() == before
    assert not podman("ps", "--quiet", f"--filter=label=dihya.migration.tool={site.name('two')}")
    written = "".join(path.read_text() for path in (site.root / "run").iterdir())
    assert CANARY not in written and CANARY not in json.dumps([planned, sick, reverted, enabled, tools])


def test_a_stopped_container_is_started_as_it_was_and_goes_when_another_takes_its_record(site):
    site.call("started", "one")
    before = site.left()
    assert site.call("stopped", "one")["changed"] and not site.call("stopped", "one")["changed"]
    resumed = site.call("resumed", "one")
    assert resumed["changed"] and resumed["running"] and site.answer() == "one" and site.left() == before
    assert not site.call("resumed", "one")["changed"]

    site.call("stopped", "one")
    assert site.call("started", "two")["changed"] and site.answer() == "two"
    assert {name.rpartition("-")[2].partition(".")[0] for name in site.left()} == {"two"}
    reverted = site.call("reverted", "two")
    assert reverted["changed"] and not reverted["running"] and not site.left()


def test_an_archive_with_another_image_and_a_strangers_port_are_refused(site):
    wrong = site.root / "wrong.tar"
    podman("save", "--quiet", f"--output={wrong}", f"{IMAGE}:one")
    site.images["none"] = "0" * 64
    refused = site.call("present", "none", archive=str(wrong))
    del site.images["none"]
    assert refused["failed"] and "has not the digest" in refused["msg"]
    stranger = podman("run", "--detach", "--network=host", f"--name={site.name('one')}", "--env=SECRET=x", site.images["one"],
                      "python", "serve.py", str(site.port))
    for _attempt in range(100):
        if site.call("observed", "two")["port"] != "free":
            break
    held = site.call("started", "two")
    assert held["failed"] and "held by a process that is not ours" in held["msg"]
    assert podman("ps", "--quiet", "--no-trunc", f"--filter=id={stranger}") == stranger
