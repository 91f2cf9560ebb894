# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The public address of the demo: which site it serves, and whether writes pass.

Usage: python traffic.py status | block-writes | allow-writes | switch | restore

block-writes and allow-writes: what would write is answered with 503 and Retry-After, or passes again
switch: the new site serves, and writes pass; restore: the old site serves, writes stay as they are
Each command is idempotent, changes nothing but the public address, ends when the change is in force and, when it blocked
writes, none is still under way, and prints what then holds, as ``status`` does: ``writes open, site old``.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import caddy
from demo.layout import CA, NAME, NEW, PUBLIC_PORT, DemoError

COMMANDS = {
    "status": {},
    "block-writes": {"writes": "blocked"},
    "allow-writes": {"writes": "open"},
    "switch": {"side": "new", "writes": "open"},
    "restore": {"side": "old"},
}


def state() -> dict[str, str]:
    """What the public address is told to do: ``side`` old or new, ``writes`` open or blocked."""
    return {"side": "new" if (caddy.SWITCH / NEW.name).exists() else "old",
            "writes": "blocked" if (caddy.SWITCH / caddy.BLOCKED).exists() else "open"}


def change(wanted: dict[str, str]) -> dict[str, str]:
    """Bring ``wanted`` into force; returns the state that holds. Each change is one file that comes or goes: atomic."""
    if "side" in wanted:
        put(caddy.SWITCH / NEW.name, wanted["side"] == "new")
    if "writes" in wanted:
        put(caddy.SWITCH / caddy.BLOCKED, wanted["writes"] == "blocked")
    holds = state()
    caddy.wait_until(lambda: in_force(holds), "the public address does not do what it was told within 20 s")
    if wanted.get("writes") == "blocked":
        caddy.wait_until(no_write_under_way, "writes that began before the freeze are still under way after 30 s", 30)
    return holds


def put(path: Path, present: bool) -> None:
    """Make an empty file be there or not."""
    if present:
        path.touch(mode=0o600)
    else:
        path.unlink(missing_ok=True)


def no_write_under_way() -> bool:
    """Two looks: a write that had just passed the gate at the first one is counted at the second."""
    if caddy.writes_under_way():
        return False
    time.sleep(0.1)
    return caddy.writes_under_way() == 0


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


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        sys.stderr.write(f"usage: traffic.py {' | '.join(COMMANDS)}\n")
        return 2
    try:
        holds = change(COMMANDS[arguments[0]])
    except (DemoError, OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"traffic: {error}\n")
        return 1
    sys.stdout.write(f"writes {holds['writes']}, site {holds['side']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
