# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A back end that is replaced colour by colour behind real nginx, HAProxy and Caddy, while users go on asking. Three stories, each
behind another proxy: which one has which changes with the commit."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import sys
from collections.abc import Iterator

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app import process

from dev.testing.turns import parameters
from tests.support.proxies import Load, Proxy, get, unused_ports
from tests.support.site import SITE, empty_database, write_release
from tests.support.verbs import CANARY, Verbs

VENV = pathlib.Path(sys.executable).parent.parent
FORWARD = ["backend backup", "backend migrate", "backend commit"]
BACK = ["backend rollback"]
ORDERS = parameters([(("nginx", "haproxy", "caddy"),), (("haproxy", "caddy", "nginx"),), (("caddy", "nginx", "haproxy"),)])


class Coloured(Verbs):
    """A back end with two colours; release ``one`` is live without one."""

    def __init__(self, root: pathlib.Path) -> None:
        self.ports = dict(zip(("blue", "green"), unused_ports(2)))
        super().__init__(root, self.ports["blue"])
        shutil.copytree(SITE, root / "build")
        empty_database(root / "app.db")
        self.proxies: tuple[str, ...] = ()
        self.proxy: Proxy | None = None

    def behind(self, kind: str, side: str) -> None:
        """A proxy of this ``kind`` stands in front of both colours, ``side`` public."""
        self.proxy = Proxy(kind, self.root / kind, self.ports["blue"], self.ports["green"], side)

    @contextlib.contextmanager
    def asked(self) -> Iterator[Load]:
        """Users ask for the release until the end of the block, some for what takes a second; none of them may fail."""
        with Load(self.proxy.port, "/health", pause=0.1) as load, Load(self.proxy.port, "/slow") as slow:
            yield load
        assert load.failed() == [] and slow.failed() == []

    def release(self, name: str) -> None:
        """Build release ``name``."""
        write_release(self.root / "build", name)

    def variables(self, release: str, colour: str = "", live: str = "") -> dict:
        port = self.ports[colour or "blue"]
        given = {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run", "migration_stacks": ["backend"],
            "migration_backup_dir": str(self.root / "backup"), "migration_work_dir": str(self.root / "work"),
            "backend_source_path": str(self.root / "build"), "backend_release_path": str(self.root / "build"),
            "backend_release_name": release, "backend_path": str(self.root / "new"), "backend_venv": str(VENV), "backend_port": port,
            "backend_environment": {"DATABASE_URL": f"sqlite:///{self.root}/app.db", "SECRET": CANARY}, "backend_migrate": False,
            "backend_command": ["gunicorn", "--threads", "4", "--graceful-timeout", "20", "--bind", f"127.0.0.1:{port}", "app:app"],
        }
        return {**given, **(self.colours(release, colour, live) if colour else {})}

    def colours(self, release: str, colour: str, live: str) -> dict:
        options = self.proxy.options
        return {
            "backend_strategy": "blue_green", "backend_colour": colour, "backend_live_colour": live,
            "backend_live_port": self.ports["blue" if colour == "green" else "green"], "backend_proxy": options["proxy"],
            "backend_proxy_file": options["file"], "backend_proxy_config": options["config"], "backend_proxy_pid_file": options["pid_file"],
            "backend_proxy_admin": options["admin"], "backend_proxy_test_command": options["test_command"] or [],
            "backend_drain_timeout": 15, "backend_proxy_probes": [{"url": f"{self.proxy.url}/health", "contains": f'"{release}"'}],
        }

    def move(self, steps: list[str], release: str, colour: str, live: str, then=(), **given):
        done = self.run(steps, release, then, **{**self.variables(release, colour, live), **given})
        assert self.handed_over("backend preflight", "new")["findings"] == []
        return done

    def public(self) -> str:
        return json.loads(self.proxy.get("/health")[1])["release"]

    def listening(self) -> set[str]:
        found = set()
        for colour, port in self.ports.items():
            with contextlib.suppress(OSError):
                found |= {colour} if get(port, "/health")[0] == 200 else set()
        return found

    def stop_all(self) -> None:
        for path in (self.root / "new" / "shared" / "run").glob("*.json"):
            process.stop_processes(process.read_record(str(path)), 5)


@pytest.fixture(scope="module", name="live", params=ORDERS, ids="-".join)
def fixture_live(tmp_path_factory, request):
    """Release one is live on the blue port, deployed without colours; the proxies, one for each story, call that side blue."""
    world = Coloured(tmp_path_factory.mktemp("colours"))
    world.proxies = request.param
    world.release("one")
    first = world.run(["backend backup", "backend migrate"], "one")
    assert first.rc == 0, first.output[-4000:]
    # It becomes blue by name: what an operator does once, when the proxy is told of two sides.
    run = world.root / "new" / "shared" / "run"
    (run / "backend.json").rename(run / "backend-blue.json")
    yield world
    world.stop_all()


@pytest.fixture
def site(live, request):
    """The live site behind the proxy that has the story with this number, with the colour that the test names."""
    story, side = request.param
    live.behind(live.proxies[story], side)
    yield live
    live.proxy.stop()


@pytest.mark.parametrize("site", [(0, "blue")], indirect=True)
def test_the_new_release_takes_over_without_a_failed_request_and_requests_under_way_are_answered(site):
    site.release("two")
    with site.asked() as load:
        moved = site.move(["backend preflight", "backend backup", "backend migrate", "backend verify"], "two", "green", "blue")
        assert moved.rc == 0, moved.output[-4000:]
        assert site.public() == "one" and site.listening() == {"blue", "green"}
        assert (site.root / "new" / "current").resolve().name == "one"
        committed = site.move(["backend commit"], "two", "green", "blue")
    assert committed.rc == 0, committed.output[-4000:]
    assert {json.loads(body)["release"] for _when, _status, body in load.answers} == {"one", "two"}
    assert site.public() == "two" and site.listening() == {"green"} and (site.root / "new" / "current").resolve().name == "two"
    facts = site.handed_over("backend commit", "new")["facts"]
    assert facts["summary"] == "green is public with release two" and "skipped" not in facts
    again = site.move(["backend commit", "backend probe commit"], "two", "green", "blue")
    assert again.rc == 0 and {counts["changed"] for counts in again.recap().values()} == {0}, again.output[-6000:]


@pytest.mark.parametrize("site", [(1, "green")], indirect=True)
def test_users_are_back_on_the_old_release_at_once_when_the_new_one_answers_wrongly_in_public(site):
    site.release("four")
    wrong = [{"url": f"{site.proxy.url}/health", "contains": "what it never says"}]
    with site.asked():
        failed = site.move(["backend preflight", *FORWARD], "four", "blue", "green", BACK, backend_proxy_probes=wrong)
    assert failed.rc == 2 and "green is public again" in failed.output, failed.output[-4000:]
    assert site.public() == "two" and site.listening() == {"green"}


@pytest.mark.parametrize("site", [(2, "green")], indirect=True)
def test_a_rollback_after_the_switch_starts_the_old_colour_again_and_loses_no_request(site):
    site.release("five")
    with site.asked() as load:
        moved = site.move(["backend preflight", *FORWARD, *BACK, *BACK], "five", "blue", "green")
    assert moved.rc == 0, moved.output[-4000:]
    assert site.handed_over("backend commit", "new")["facts"]["summary"] == "blue is public with release five"
    assert {json.loads(body)["release"] for _when, _status, body in load.answers} == {"two", "five"}
    assert site.public() == "two" and site.listening() == {"green"} and (site.root / "new" / "current").resolve().name == "two"
    rows = [row["facts"]["changed"] for row in site.rows if row["step"] == "backend rollback" and row["host"] == "new"]
    assert rows[-2:] == [True, False]
