# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HAProxy's servers, told over its unix socket to take no more sessions, or to take them again."""

from __future__ import annotations

import csv
import io
import re
import socket
import time
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._finding import finding
from ansible_collections.dihya.migration.plugins.module_utils._proxy.table import refusal

PAUSE = 0.1
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}\Z")


@dataclass(frozen=True)
class Server:
    """What HAProxy says of a server: ``status`` as it shows it (``UP``, ``DOWN``, ``DRAIN``, ``MAINT``, ``no check``), sessions now."""

    name: str
    status: str
    sessions: int

    @property
    def serves(self) -> bool:
        """Whether it takes new sessions."""
        return self.status.startswith(("UP", "no check"))


def read_servers(table: str, backend: str) -> list[Server]:
    """The servers of ``backend`` in what ``show stat`` prints; pure."""
    rows = csv.DictReader(io.StringIO(table.lstrip("# ")))
    # Type 2 is a server; what waits in its queue belongs to it as well.
    return [Server(row["svname"], row["status"], int(row["scur"] or 0) + int(row["qcur"] or 0))
            for row in rows if row["pxname"] == backend and row["type"] == "2"]


def plan(state: str, name: str, servers: list[Server]) -> tuple[str, str]:
    """``(action, reason)`` that leads to ``state``, the action one of none, drain, ready; raises when it must not be done; pure."""
    server = next((item for item in servers if item.name == name), None)
    if server is None:
        raise refusal("server", f"HAProxy has no server {name} in this backend", "correct the name, or HAProxy's configuration")
    if state == "ready":
        return ("none", f"{name} takes sessions already") if server.serves else ("ready", f"{name} takes sessions again")
    others = [item.name for item in servers if item.serves and item.name != name]
    if not others:
        raise refusal("server", f"no other server than {name} takes sessions",
                      "bring another one into service first, users would have nobody")
    if server.status.startswith("MAINT") and not server.sessions:
        return "none", f"{name} takes no session already"
    return "drain", f"{name} takes no more sessions, {', '.join(others)} do"


def set_server(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring ``options["server"]`` to ``options["state"]``; raises when its sessions do not end, or it does not come up, in time."""
    began = time.monotonic()
    for subject in ("backend", "server"):
        if options[subject] is not None and not _NAME.match(options[subject]):
            raise refusal(subject, f"it is no name of a {subject}", "use letters, digits, '_', '.', ':' and '-'")
    path, backend, name = options["socket"], options["backend"], options["server"]
    servers = _servers(path, backend)
    if options["state"] == "observed":
        return _observed(options, servers)
    action, reason = plan(options["state"], name, servers)
    if action == "drain" and not check_mode:
        _drain(path, backend, name, options["timeout"])
    if action == "ready" and not check_mode:
        _tell(path, f"set server {backend}/{name} state ready")
        _wait(path, backend, name, options["timeout"], lambda server: server.serves, "does not come up",
              "look at its health check in HAProxy's configuration")
    journal = {"summary": reason, "changed": action != "none", "duration": round(time.monotonic() - began, 3)}
    return {"changed": action != "none", "msg": reason, "findings": [], "journal": journal,
            "servers": _shown(servers if check_mode else _servers(path, backend))}


def _drain(path: str, backend: str, name: str, timeout: float) -> None:
    """Let it finish its sessions, then take it out whole: a sticky session may still come to a server that only drains."""
    _tell(path, f"set server {backend}/{name} state drain")
    try:
        _wait(path, backend, name, timeout, lambda server: not server.sessions, "still has sessions",
              "wait for them, or allow more time, it takes sessions again")
    except BaseException:
        _tell(path, f"set server {backend}/{name} state ready")
        raise
    _tell(path, f"set server {backend}/{name} state maint")


def _observed(options: dict[str, Any], servers: list[Server]) -> dict[str, Any]:
    """What would keep the servers that ``expected`` names from being drained one after the other, all at once."""
    found = {server.name: server for server in servers}
    problems = [(f"HAProxy has no server {name} in {options['backend']}", "correct the name, or HAProxy's configuration")
                for name in options["expected"] if name not in found]
    down = [name for name in options["expected"] if name in found and not found[name].serves]
    problems += [(f"{name} takes no sessions now ({found[name].status})", "bring it into service first") for name in down]
    if sum(1 for server in servers if server.serves) < 2:
        problems.append(("fewer than two servers take sessions", "one is needed for users while another one is replaced"))
    findings = [finding("server", problem, remedy) for problem, remedy in problems]
    summary = f"{len(servers)} servers in {options['backend']}, {len(findings)} things would keep them from being replaced one by one"
    journal = {"summary": summary, "changed": False}
    return {"changed": False, "msg": summary, "findings": findings, "servers": _shown(servers), "journal": journal}


def _shown(servers: list[Server]) -> dict[str, dict[str, Any]]:
    return {server.name: {"status": server.status, "sessions": server.sessions} for server in servers}


def _wait(path: str, backend: str, name: str, timeout: float, enough: Callable[[Server], bool], problem: str, remedy: str) -> None:
    deadline = time.monotonic() + timeout
    while True:
        server = next(item for item in _servers(path, backend) if item.name == name)
        if enough(server):
            return
        if time.monotonic() > deadline:
            raise refusal("server", f"{name} {problem} after {timeout:g} s ({server.sessions} sessions, {server.status})", remedy)
        time.sleep(PAUSE)


def _servers(path: str, backend: str) -> list[Server]:
    servers = read_servers(_tell(path, "show stat"), backend)
    if not servers:
        raise refusal("backend", f"HAProxy has no backend {backend} with servers", "correct the name, or HAProxy's configuration")
    return servers


def _tell(path: str, command: str) -> str:
    """Send one command to the socket; what HAProxy answers. An answer to an order is an error."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(path)
            connection.sendall(f"{command}\n".encode())
            with connection.makefile("r", encoding="utf-8", errors="replace") as stream:
                answer = stream.read()
    except OSError as error:
        raise refusal("socket", f"{path} is no socket on which HAProxy answers ({type(error).__name__})",
                      "let its configuration say stats socket PATH level admin, and connect as a user who may use it") from None
    if command.startswith("set ") and answer.strip():
        raise refusal("socket", "HAProxy refused an order", "let its configuration say stats socket PATH level admin")
    return answer
