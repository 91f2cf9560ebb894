# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Caddy tells on its admin address: its configuration, and how many requests are under way to each upstream."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._proxy.table import example, refusal


class _Unix(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(admin: str, path: str) -> Any:
    """The JSON that ``admin`` (``host:port``, or ``unix//path`` of a socket) answers to a GET of ``path``."""
    connection = _Unix(admin[5:], 10) if admin.startswith("unix/") else http.client.HTTPConnection(admin, timeout=10)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise refusal("admin", f"Caddy does not answer on its admin address {admin} ({type(error).__name__})",
                          "let its configuration say admin, and name that address") from None


def under_way(admin: str, addresses: list[str]) -> int:
    """How many requests Caddy has passed on to ``addresses`` and not yet answered."""
    upstreams = ask(admin, "/reverse_proxy/upstreams") or []
    return sum(int(upstream["num_requests"]) for upstream in upstreams if upstream["address"] in addresses)


def look(options: dict[str, Any]) -> None:
    """Raises when Caddy's running configuration does not follow the file, or dials other addresses."""
    known = {upstream["address"] for upstream in ask(options["admin"], "/reverse_proxy/upstreams") or []}
    unknown = sorted({address for listed in options["addresses"].values() for address in listed} - known)
    if unknown:
        raise refusal("addresses", f"Caddy has no upstream {', '.join(unknown)}", "correct it, or Caddy's configuration")
    if f"{{file.{options['file']}}}" not in json.dumps(ask(options["admin"], "/config/"), ensure_ascii=False):
        raise refusal("file", f"the configuration of Caddy does not look at {options['file']}",
                      "let it say " + example("caddy", options["name"], options["file"]))
