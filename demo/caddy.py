# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The three Caddies: old site, new site, and the public address in front of them. TLS 1.3 only, loopback only."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import socket
import time
from typing import Any

from demo import processes
from demo.layout import CA, CERTIFICATE, HOST, KEY, NAME, NEW, OLD, PUBLIC, PUBLIC_PORT, PYTHON, DemoError, Site

SOCKET = "admin.sock"
SWITCH = PUBLIC / "switch"
BLOCKED = "writes-blocked"
RETRY_AFTER = "5"
WRITES = ["POST", "PUT", "PATCH", "DELETE"]
# A page is asked for anew each time, what it loads has a digest in its name; an answer that says "not there" is not kept.
PAGE = {"response": {"set": {"Cache-Control": ["no-cache"]}}}
ASSETS = {"response": {"set": {"Cache-Control": ["public, max-age=31536000, immutable"]}, "require": {"status_code": [200, 206, 304]}}}
REFUSED = {"error": "maintenance", "message": "Écriture suspendue pendant la migration; réessayez bientôt."}


def _server(port: int, routes: list[dict]) -> dict[str, Any]:
    return {"listen": [f"{HOST}:{port}"], "routes": routes, "automatic_https": {"disable": True}, "protocols": ["h1", "h2"],
            "tls_connection_policies": [{"protocol_min": "tls1.3", "default_sni": NAME}]}


def _config(port: int, routes: list[dict], admin: dict[str, Any]) -> dict[str, Any]:
    return {
        "admin": {**admin, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": "caddy"},
        "apps": {
            "http": {"servers": {"https": _server(port, routes)}, "grace_period": "30s"},
            "tls": {"certificates": {"load_files": [{"certificate": str(CERTIFICATE), "key": str(KEY)}]}},
        },
    }


def site_config(site: Site) -> dict[str, Any]:
    """Page from <site>/frontend/current, /api from the site's back end."""
    page = str(site.root / "frontend" / "current")
    headers = {"response": {"set": {"X-Content-Type-Options": ["nosniff"], "X-Served-By": [site.name]}}}
    return _config(site.https, [
        {"handle": [{"handler": "headers", **headers}]},
        {"match": [{"path": ["/api/*"]}], "terminal": True,
         # gunicorn closes idle connections; one that closes under a write would be a failed write.
         "handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": f"{HOST}:{site.backend}"}],
                     "transport": {"protocol": "http", "keep_alive": {"enabled": False}}}]},
        {"match": [{"path": ["/assets/*"]}], "handle": [{"handler": "headers", **ASSETS}]},
        {"handle": [{"handler": "headers", **PAGE}, {"handler": "encode", "encodings": {"gzip": {}}},
                    {"handler": "file_server", "root": page, "index_names": ["index.html"]}]},
    ], {"disabled": True})


def public_config() -> dict[str, Any]:
    """The public address. Two files in its directory ``switch`` rule it, looked at for every request:

    ``writes-blocked``: what would write is answered with 503 and Retry-After; ``new``: the new site serves, else the old.
    Not by a reload: that closes a listening socket, and resets a connection that waits in its queue.
    Writes and reads go by different names of the same upstream, so that Caddy counts the writes under way by themselves.
    """
    def exists(name: str) -> dict[str, Any]:
        return {"file": {"root": str(SWITCH), "try_files": [f"/{name}"]}}

    def proxy(name: str, site: Site) -> list[dict[str, Any]]:
        trust = {"provider": "file", "pem_files": [str(CA)]}
        return [{"handler": "reverse_proxy", "upstreams": [{"dial": f"{name}:{site.https}"}],
                 "transport": {"protocol": "http", "tls": {"server_name": NAME, "ca": trust}},
                 "headers": {"response": {"set": {"X-Public-Side": [site.name]}}}}]

    writes = {"method": WRITES}
    refuse = [{"handler": "static_response", "status_code": 503, "body": json.dumps(REFUSED, ensure_ascii=False),
               "headers": {"Content-Type": ["application/json"], "Retry-After": [RETRY_AFTER], "Cache-Control": ["no-store"]}}]
    return _config(PUBLIC_PORT, [
        {"match": [{**writes, **exists(BLOCKED)}], "terminal": True, "handle": refuse},
        {"match": [{**writes, **exists(NEW.name)}], "terminal": True, "handle": proxy(HOST, NEW)},
        {"match": [writes], "terminal": True, "handle": proxy(HOST, OLD)},
        {"match": [exists(NEW.name)], "terminal": True, "handle": proxy(NAME, NEW)},
        {"handle": proxy(NAME, OLD)},
    ], {"listen": f"unix/{SOCKET}|0600"})


def start(name: str, directory: pathlib.Path, config: dict[str, Any], port: int) -> None:
    """Start a Caddy in ``directory`` and wait until it listens."""
    (directory / "caddy.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    processes.start(f"caddy-{name}", [str(PYTHON.parent / "caddy"), "run", "--config", "caddy.json"], directory,
                    {"XDG_DATA_HOME": str(directory / "caddy"), "XDG_CONFIG_HOME": str(directory / "caddy"), "HOME": str(directory)})
    wait_until(lambda: listens(port), f"the Caddy of the {name} site does not listen on port {port}; see {directory}/caddy-{name}.log")


def listens(port: int) -> bool:
    """Whether something accepts connections on loopback ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def wait_until(condition, failure: str, seconds: float = 20.0) -> None:
    """Return as soon as ``condition()`` holds; raises ``DemoError(failure)`` after ``seconds``."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise DemoError(failure)
        time.sleep(0.05)


class AdminConnection(http.client.HTTPConnection):
    """HTTP to the public Caddy's admin socket, whatever the length of its path (sun_path holds 107 bytes)."""

    def connect(self) -> None:
        """Connect by way of the directory's descriptor."""
        directory = os.open(PUBLIC, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        finally:
            os.close(directory)


def writes_under_way() -> int:
    """How many writes the public Caddy has passed on and not yet answered; raises ``DemoError`` when it cannot be asked."""
    with contextlib.closing(AdminConnection("localhost", timeout=10)) as connection:
        try:
            connection.request("GET", "/reverse_proxy/upstreams")
            upstreams = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DemoError(f"the public Caddy does not answer on its admin socket ({error}); start the demo's sites") from error
    return sum(upstream["num_requests"] for upstream in upstreams if upstream["address"].startswith(f"{HOST}:"))
