# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A reverse proxy in front of two sides under the load of `wrk`, while `proxy_switch` moves users to the other side and back; and
HAProxy in front of three back ends, of which `haproxy_server` takes one after the other out of rotation while it is replaced by another
process. Ours are the requests that failed, the peer's the requests that were sent. On connections that stay open a request fails too
when it meets the end of its connection: clients send it again, `wrk` counts it. nginx of before 1.27.4 ends idle connections when it is
reloaded, a later one keeps them by `keepalive_min_timeout` (the first nginx of `PATH` is measured: 1.22.1, of Debian 12, let 4 to 8 of
some 72,000 requests meet such an end; 1.30.6, of Debian 14, none). The back ends are nginx."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.measure import Bench, MeasurementFailed, Result, Row, run_module
from tests.support.proxies import Balancer, Proxy, keeps_idle_connections, unused_ports

PROXIES = ("nginx", "haproxy", "caddy")
CLIENTS = 16
CONNECTIONS = {"a connection for each request": False, "connections that stay open": True}
PROGRAMS = {"wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy"}
BACK_END = """daemon off;
master_process off;
pid {root}/pid;
error_log {root}/log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fast;
    uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{name}\\n"; }} }}
}}
"""


@dataclass(frozen=True)
class Seen:
    """What the clients of one load saw."""

    requests: int
    failed: int


class BackEnd:
    """An nginx that answers with its name."""

    def __init__(self, root: pathlib.Path, name: str, port: int) -> None:
        self._root, self._name, self.port = root, name, port
        root.mkdir()
        (root / "config").write_text(BACK_END.format(root=root, name=name, port=port), encoding="utf-8")
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return start([program("nginx"), "-e", str(self._root / "log"), "-c", str(self._root / "config")])

    def replace(self) -> None:
        """End the process, as a deployment does, and start another one."""
        self.stop()
        self._process = self._start()

    def stop(self) -> None:
        """End it; whoever is still connected is cut off."""
        self._process.kill()
        self._process.wait()


def measure(bench: Bench) -> Result:
    """All rows of the area."""
    absent = [f"`{name}` (package {package})" for name, package in PROGRAMS.items() if not found(name)]
    if absent:
        return Result([], [f"Not installed: {', '.join(absent)}: nothing was measured."])
    rounds, seconds = bench.rounds(), 0.5 if bench.quick else 8
    with contextlib.ExitStack() as stack:
        switched = {kind: stack.enter_context(sides(bench.directory / kind, kind)) for kind in PROXIES}
        fleet = stack.enter_context(Fleet(bench.directory / "fleet"))
        contests = {f"{kind}, {name}": functools.partial(there_and_back, bench, proxy, seconds, keep)
                    for kind, proxy in switched.items() for name, keep in CONNECTIONS.items()}
        contests |= {f"rolling, {name}": functools.partial(in_turn, bench, fleet, seconds, keep) for name, keep in CONNECTIONS.items()}
        seen = bench.alternate(rounds, contests)
    rows = [row(f"{kind}: switched to the other side and back, {name}", seen[f"{kind}, {name}"])
            for kind in PROXIES for name in CONNECTIONS]
    rows += [row(f"haproxy: three back ends replaced in turn, {name}", seen[f"rolling, {name}"]) for name in CONNECTIONS]
    idle = "keeps" if keeps_idle_connections(program("nginx")) else "ends"
    return Result(rows, [f"`wrk` with {CLIENTS} connections on one thread, at least {seconds} s a round.",
                         f"nginx {idle} idle connections when it is reloaded."])


def row(what: str, seen: Sequence[Seen]) -> Row:
    """Failed requests beside those that were sent."""
    return Row(f"{what}: requests that failed (of those sent)", [one.failed for one in seen], [one.requests for one in seen], 0, "ours")


@contextlib.contextmanager
def sides(root: pathlib.Path, kind: str) -> Iterator[Proxy]:
    """A proxy of ``kind`` in front of two back ends."""
    root.mkdir()
    blue, green = (BackEnd(root / name, name, port) for name, port in zip(("blue", "green"), unused_ports(2)))
    try:
        proxy = Proxy(kind, root / "proxy", blue.port, green.port)
        try:
            yield proxy
        finally:
            proxy.stop()
    finally:
        blue.stop()
        green.stop()


class Fleet:
    """HAProxy in front of three back ends."""

    def __init__(self, root: pathlib.Path) -> None:
        root.mkdir()
        ports = dict(zip(("app1", "app2", "app3"), unused_ports(3)))
        self.servers = {name: BackEnd(root / name, name, port) for name, port in ports.items()}
        self.balancer = Balancer(root, ports)

    def __enter__(self) -> Fleet:
        self.balancer.wait(*self.servers)
        return self

    def __exit__(self, *_error: object) -> None:
        self.balancer.stop()
        for one in self.servers.values():
            one.stop()


def there_and_back(bench: Bench, proxy: Proxy, seconds: float, keep: bool) -> Seen:
    """Switch to the other side and back under load."""
    with load(bench, proxy.url, seconds, keep) as seen:
        for side in ("green", "blue"):
            run_module("proxy_switch", bench.directory, side=side, probes=[{"url": f"{proxy.url}/", "contains": side}], **proxy.options)
    return seen[0]


def in_turn(bench: Bench, fleet: Fleet, seconds: float, keep: bool) -> Seen:
    """Replace every back end under load, each out of rotation meanwhile."""
    with load(bench, f"http://127.0.0.1:{fleet.balancer.port}", seconds, keep) as seen:
        for name, back_end in fleet.servers.items():
            for state in ("drained", "ready"):
                run_module("haproxy_server", bench.directory, state=state, socket=fleet.balancer.socket, backend="api", server=name)
                if state == "drained":
                    back_end.replace()
    return seen[0]


@contextlib.contextmanager
def load(bench: Bench, url: str, seconds: float, keep: bool) -> Iterator[list[Seen]]:
    """Clients that ask without a pause, until the block is over and for ``seconds`` at least; what they saw, in the list afterwards."""
    begun = time.monotonic()
    closing, clients = [] if keep else ["-H", "Connection: close"], 1 if bench.quick else CLIENTS
    asking = subprocess.Popen([program("wrk"), "-t1", f"-c{clients}", "-d600s", *closing, f"{url}/"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen: list[Seen] = []
    try:
        time.sleep(0.5)
        yield seen
        time.sleep(max(0.5, begun + seconds - time.monotonic()))
        asking.send_signal(signal.SIGINT)  # it sums up
        seen.append(read(asking.communicate(timeout=30)[0]))
    finally:
        asking.kill()
        asking.wait()


def read(text: str) -> Seen:
    """What ``wrk`` says at its end: connections that broke and answers of another status than 200 to 399 are failures."""
    requests = re.search(r"(\d+) requests in ", text)
    if requests is None:
        raise MeasurementFailed(f"wrk did not sum up: {text[-300:]}")
    failures = re.findall(r"(?:Non-2xx or 3xx responses: |connect |read |write |timeout )(\d+)", text)
    return Seen(int(requests.group(1)), sum(map(int, failures)))


def start(argv: list[str]) -> subprocess.Popen[bytes]:
    """A program in the background."""
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def found(name: str) -> str | None:
    """Path of a program, None where it is not installed."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def program(name: str) -> str:
    """Path of a program that is known to be installed."""
    return found(name) or name
