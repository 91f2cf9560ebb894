# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All that differs between reverse proxies, and what follows from it; nothing here touches a disk.

The proxy's own configuration knows two sides, each by a word. One small file, which nobody else writes, says which of
them is public: switching is the replacement of that file.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")


@dataclass(frozen=True)
class Proxy:
    """``content`` of the file, with the name of the switch and the word of the side.

    ``test``: command that proves the configuration, and ``tells``: whether it prints every file that it read.
    ``reload``: signal for the master process, 0 where the file is looked at for every request. ``example``: what the
    proxy's configuration must say so that it follows the file.
    """

    content: str
    example: str
    config: str = ""
    pid_file: str = ""
    test: tuple[str, ...] = ()
    tells: bool = False
    reload: int = 0


PROXIES = {
    # A variable is resolved among the groups of `upstream` first, so no resolver is needed.
    "nginx": Proxy(
        content="map $host ${name} {{ default {side}; }}\n",
        example="include {file} in http, and proxy_pass http://${name} in the location",
        config="/etc/nginx/nginx.conf", pid_file="/run/nginx.pid", test=("nginx", "-T", "-c", "{config}"), tells=True, reload=signal.SIGHUP,
    ),
    "haproxy": Proxy(
        content="{name} {side}\n", example="use_backend %[str({name}),map({file})] in the frontend",
        config="/etc/haproxy/haproxy.cfg", pid_file="/run/haproxy.pid", test=("haproxy", "-c", "-f", "{config}"), reload=signal.SIGUSR2,
    ),
    # Not by a reload: it closes a listening socket, and resets a connection that waits in its queue.
    "caddy": Proxy(content="{side}\n", example="@SIDE vars {{file.{file}}} SIDE, and reverse_proxy @SIDE ADDRESS for each side"),
}


def content(proxy: str, name: str, side: str) -> bytes:
    """The file that makes ``side`` public."""
    return PROXIES[proxy].content.format(name=name, side=side).encode()


def side_of(proxy: str, name: str, sides: list[str], data: bytes | None) -> str:
    """Which of ``sides`` a file that holds ``data`` makes public, empty when it is none of them."""
    return next((side for side in sides if data is not None and data == content(proxy, name, side)), "")


def example(proxy: str, name: str, file: str) -> str:
    """What the proxy's configuration must say."""
    return PROXIES[proxy].example.format(name=name, file=file)


def refusal(subject: str, problem: str, remedy: str) -> MigrationError:
    """An error about the option ``subject`` that also is a finding and a fact of the journal."""
    return MigrationError(f"{problem}: {remedy}", journal={"error": {"message": cut(problem), "subject": subject, "remedy": cut(remedy)}})


def check_request(options: dict[str, Any]) -> None:
    """Raises when words, name or addresses cannot be meant."""
    sides = options["sides"]
    if len(set(sides)) != 2 or len(sides) != 2 or not all(_WORD.match(word) for word in [*sides, options["name"]]):
        raise MigrationError("sides must be two different words, and they and name of a-z, 0-9 and _: correct them")
    if options["side"] not in [*sides, None]:
        raise MigrationError(f"side must be one of {', '.join(sides)}: correct it")
    if options["proxy"] == "caddy" and not set(sides) <= set(options["addresses"]):
        raise MigrationError("addresses must name what each side of Caddy dials, its requests under way are counted by it")
