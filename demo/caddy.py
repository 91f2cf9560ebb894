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

from demo import certificates, processes
from demo.layout import CA, HOST, NAME, PUBLIC, PUBLIC_PORT, PYTHON, SITES, DemoError, Site

SOCKET = "admin.sock"
RETRY_AFTER = "5"
WRITES = ["POST", "PUT", "PATCH", "DELETE"]
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
            "tls": {"certificates": {"load_files": [{"certificate": str(certificates.CERTIFICATE), "key": str(certificates.KEY)}]}},
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
        {"handle": [{"handler": "encode", "encodings": {"gzip": {}}},
                    {"handler": "file_server", "root": page, "index_names": ["index.html"]}]},
    ], {"disabled": True})


def public_config(side: str, writes: str) -> dict[str, Any]:
    """Everything goes to site ``side``; with ``writes`` blocked, what would write is answered with 503 and Retry-After.

    Writes and reads go by different names of the same upstream, so that Caddy counts the writes under way by themselves.
    """
    def proxy(name: str) -> dict[str, Any]:
        trust = {"provider": "file", "pem_files": [str(CA)]}
        return {"handler": "reverse_proxy", "upstreams": [{"dial": f"{name}:{SITES[side].https}"}],
                "transport": {"protocol": "http", "tls": {"server_name": NAME, "ca": trust}},
                "headers": {"response": {"set": {"X-Public-Side": [side]}}}}
    refuse = [{"handler": "static_response", "status_code": 503, "body": json.dumps(REFUSED, ensure_ascii=False),
               "headers": {"Content-Type": ["application/json"], "Retry-After": [RETRY_AFTER], "Cache-Control": ["no-store"]}}]
    return _config(PUBLIC_PORT, [
        {"@id": "switch", "handle": [{"handler": "vars", "side": side, "writes": writes}]},
        {"match": [{"method": WRITES}], "terminal": True, "handle": refuse if writes == "blocked" else [proxy(HOST)]},
        {"handle": [proxy(NAME)]},
    ], {"listen": f"unix/{SOCKET}|0600"})


def start(name: str, directory: pathlib.Path, config: dict[str, Any], port: int) -> None:
    """Start a Caddy in ``directory`` and wait until it listens."""
    write_config(directory, config)
    processes.start(f"caddy-{name}", [str(PYTHON.parent / "caddy"), "run", "--config", "caddy.json"], directory,
                    {"XDG_DATA_HOME": str(directory / "caddy"), "XDG_CONFIG_HOME": str(directory / "caddy"), "HOME": str(directory)})
    wait_until(lambda: listens(port), f"the Caddy of the {name} site does not listen on port {port}; see {directory}/caddy-{name}.log")


def write_config(directory: pathlib.Path, config: dict[str, Any]) -> None:
    """Put the configuration where a restart finds it, in one rename."""
    temporary = directory / "caddy.json.new"
    temporary.write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    temporary.replace(directory / "caddy.json")


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


def admin(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """One request to the admin API of the public Caddy; raises ``DemoError`` when it does not accept it."""
    with contextlib.closing(AdminConnection("localhost", timeout=30)) as connection:
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            raise DemoError(f"the public Caddy does not answer on its admin socket ({error.strerror}); start the demo's sites") from error
    if answer.status != 200:
        raise DemoError(f"the public Caddy refused {method} {path}: {answer.status} {content[:300].decode(errors='replace')}")
    return json.loads(content) if content else None
