# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real nginx, HAProxy and Caddy on loopback in front of two sides, blue and green, and clients that never rest."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from ansible_collections.dihya.migration.plugins.module_utils._proxy.runtime import _servers

from tests.support.needs import require_program

SIDES = ("blue", "green")
PORTS = range(30_100, 32_700)
"""Below those that the kernel gives to clients, of whom one could take a port before it is bound; above those of the demos in tests."""
NGINX = """daemon off;
pid {root}/nginx.pid;
error_log {root}/nginx.log;
events {{ }}
http {{
    access_log off; {keep}
    client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fast;
    uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
    include {root}/side;
    upstream blue {{ server 127.0.0.1:{blue}; }}
    upstream green {{ server 127.0.0.1:{green}; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://$public_side; }}
    }}
}}
"""
KEEP = "keepalive_min_timeout 5s;"
HAPROXY = """defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
frontend public
    option idle-close-on-response
    bind 127.0.0.1:{port}
    use_backend %[str(public_side),map({root}/side)]
backend blue
    server blue 127.0.0.1:{blue}
backend green
    server green 127.0.0.1:{green}
"""
CADDY = """{{
    admin unix/{root}/admin
    auto_https off
    persist_config off
}}
http://127.0.0.1:{port} {{
    @green vars {{file.{root}/side}} green
    reverse_proxy @green 127.0.0.1:{green}
    reverse_proxy 127.0.0.1:{blue}
}}
"""
BALANCER = """global
    stats socket {root}/admin mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    timeout check 5s
frontend public
    bind 127.0.0.1:{port}
    default_backend api
backend api
    option httpchk GET /health
    default-server check inter 500ms fall 4 rise 1
{servers}
"""
CONFIGURATIONS = {"nginx": NGINX, "haproxy": HAPROXY, "caddy": CADDY}
FIRST = {"nginx": "map $host $public_side {{ default {side}; }}\n", "haproxy": "public_side {side}\n", "caddy": "{side}\n"}


def unused_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nothing holds now, and that are so rarely chosen twice that they may be bound much later."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError(f"{count} ports are not free")


class Proxy:
    """One of the three in front of two ports; ``options`` are those of the module ``proxy_switch`` for it."""

    def __init__(self, kind: str, root: pathlib.Path, blue: int, green: int, side: str = "blue") -> None:
        (self.port,) = unused_ports(1)
        self.kind, self.root, self.side, self.config = kind, root, root / "side", root / "config"
        self.url = f"http://127.0.0.1:{self.port}"
        self.program = str(pathlib.Path(sys.executable).parent / "caddy") if kind == "caddy" else require_program(kind)
        root.mkdir(exist_ok=True)
        self.side.write_text(FIRST[kind].format(side=side))
        keep = KEEP if kind == "nginx" and keeps_idle_connections(self.program) else ""
        self.config.write_text(CONFIGURATIONS[kind].format(root=root, port=self.port, blue=blue, green=green, keep=keep))
        test = {"nginx": [self.program, "-T", "-e", "stderr", "-c", str(self.config)]}  # the others as the module tests them
        addresses = {"blue": [f"127.0.0.1:{blue}"], "green": [f"127.0.0.1:{green}"]} if kind == "caddy" else {}
        self.options = {"proxy": kind, "file": str(self.side), "sides": list(SIDES), "config": str(self.config), "addresses": addresses,
                        "pid_file": str(root / f"{kind}.pid"), "admin": f"unix/{root}/admin", "test_command": test.get(kind)}
        self._start()

    def _start(self) -> None:
        argv = {"nginx": ["-e", "stderr", "-c", self.config], "haproxy": ["-W", "-f", self.config, "-p", self.root / "haproxy.pid"],
                "caddy": ["run", "--adapter", "caddyfile", "--config", self.config]}[self.kind]
        with (self.root / "output").open("wb") as output:
            self._process = subprocess.Popen([self.program, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                             start_new_session=True, env={**os.environ, "HOME": str(self.root)})
        deadline = time.monotonic() + 10
        while not self.listens():
            assert time.monotonic() < deadline and self._process.poll() is None, (self.root / "output").read_text()
            time.sleep(0.05)

    def listens(self) -> bool:
        """Whether it accepts connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def get(self, path: str = "/", timeout: float = 20) -> tuple[int, str]:
        """Status and body of a request through it."""
        return get(self.port, path, timeout)

    def stop(self) -> None:
        """End it with all its workers."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def keeps_idle_connections(nginx: str) -> bool:
    """Whether this nginx can be told to keep connections between two requests when it is reloaded, as it can since 1.27.4."""
    told = subprocess.run([nginx, "-v"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stderr
    return tuple(map(int, re.findall(r"\d+", told.partition("/")[2])[:3])) >= (1, 27, 4)


class Balancer:
    """HAProxy in front of ``ports`` by server, which are asked for ``/health``; its socket is ``socket``, its backend ``api``."""

    def __init__(self, root: pathlib.Path, ports: dict[str, int]) -> None:
        (self.port,) = unused_ports(1)
        self.socket = str(root / "admin")
        servers = "\n".join(f"    server {name} 127.0.0.1:{port}" for name, port in ports.items())
        (root / "haproxy.cfg").write_text(BALANCER.format(root=root, port=self.port, servers=servers))
        self._process = subprocess.Popen([require_program("haproxy"), "-db", "-f", str(root / "haproxy.cfg")], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not os.path.exists(self.socket):
            assert time.monotonic() < deadline and self._process.poll() is None
            time.sleep(0.05)

    def states(self) -> dict[str, str]:
        """What HAProxy says of each server."""
        return {server.name: server.status for server in _servers(self.socket, "api")}

    def wait(self, *up: str) -> None:
        """Return once these servers are up, and no other."""
        deadline = time.monotonic() + 20
        while {name for name, status in self.states().items() if status.startswith("UP")} != set(up):
            assert time.monotonic() < deadline, self.states()
            time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def get(port: int, path: str = "/", timeout: float = 20) -> tuple[int, str]:
    """Status and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Side:
    """An application that says who it is; ``/slow`` sets ``asked`` and waits until ``gate`` is open."""

    def __init__(self, name: str) -> None:
        self.asked, self.gate = threading.Event(), threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # named by http.server; self is the side
                if handler.path == "/slow":
                    self.asked.set()
                    self.gate.wait(20)
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.write(f"{name}\n".encode())

            def log_message(handler, *_arguments) -> None:  # self is the side
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.request_queue_size = 256
        self._server.server_bind()
        self._server.server_activate()
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()


class Load:
    """Clients that ask ``port`` until the end of the block, each request on a connection of its own."""

    def __init__(self, port: int, path: str = "/", clients: int = 2, pause: float = 0.005) -> None:
        self.answers: list[tuple[float, int, str]] = []
        self._port, self._path, self._pause = port, path, pause
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._ending.is_set():
            try:
                status, body = get(self._port, self._path)
            except OSError as error:
                status, body = 0, str(error)
            except http.client.HTTPException as error:
                status, body = 0, type(error).__name__
            self.answers.append((time.monotonic(), status, body))
            time.sleep(self._pause)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_error) -> None:
        time.sleep(0.3)
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def failed(self) -> list[tuple[float, int, str]]:
        """Requests without an answer of 200."""
        return [answer for answer in self.answers if answer[1] != 200]
