# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The public address of the demo: which site it serves, and whether writes pass.

Usage: python traffic.py status | block-writes | allow-writes | switch | restore

Each command is idempotent, changes nothing but the public Caddy, ends when the change is in force and no write that was
let through before is still under way, and prints the state that then holds, as ``status`` does: ``old open``.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import pathlib
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from demo import caddy
from demo.layout import CA, HOST, NAME, PUBLIC, PUBLIC_PORT, DemoError

COMMANDS = {"status": {}, "block-writes": {"writes": "blocked"}, "allow-writes": {"writes": "open"}, "switch": {"side": "new"},
            "restore": {"side": "old"}}


def state() -> dict[str, str]:
    """What the public Caddy does now: ``side`` old or new, ``writes`` open or blocked."""
    switch = caddy.admin("GET", "/id/switch/handle/0")
    return {"side": switch["side"], "writes": switch["writes"]}


def change(wanted: dict[str, str]) -> dict[str, str]:
    """Bring ``wanted`` into force, in one atomic reload when anything differs; returns the state that holds."""
    with lock():
        before = state()
        after = {**before, **wanted}
        if after != before:
            config = caddy.public_config(**after)
            caddy.admin("POST", "/load", config)
            caddy.write_config(PUBLIC, config)
        if wanted:
            caddy.wait_until(lambda: in_force(after), "the public address does not do what it was told within 20 s")
        if after["writes"] == "blocked":
            caddy.wait_until(lambda: writes_under_way() == 0, "writes that began before the freeze are still under way after 30 s", 30)
        return after


@contextlib.contextmanager
def lock():
    """One change at a time."""
    descriptor = os.open(PUBLIC / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def in_force(wanted: dict[str, str]) -> bool:
    """Whether the public address behaves as ``wanted``, seen from outside: one read, and one write to nowhere."""
    read, write = ask("HEAD", "/"), ask("DELETE", "/.nowhere")
    blocked = write.status == 503 and write.getheader("Retry-After") == caddy.RETRY_AFTER
    return read.getheader("X-Public-Side") == wanted["side"] and blocked == (wanted["writes"] == "blocked")


def ask(method: str, path: str) -> http.client.HTTPResponse:
    """One request to the public address."""
    connection = http.client.HTTPSConnection(NAME, PUBLIC_PORT, timeout=10, context=ssl.create_default_context(cafile=str(CA)))
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        return answer


def writes_under_way() -> int:
    """How many writes the public Caddy has passed on and not yet answered."""
    return sum(upstream["num_requests"] for upstream in caddy.admin("GET", "/reverse_proxy/upstreams")
               if upstream["address"].startswith(f"{HOST}:"))


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        sys.stderr.write(f"usage: traffic.py {' | '.join(COMMANDS)}\n")
        return 2
    try:
        holds = change(COMMANDS[arguments[0]])
    except (DemoError, OSError) as error:
        sys.stderr.write(f"traffic: {error}\n")
        return 1
    sys.stdout.write(f"{holds['side']} {holds['writes']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
