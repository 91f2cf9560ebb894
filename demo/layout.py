# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the parts of the demo are: directories below ``demo/state``, what is kept for the next one, private files, loopback ports."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from dataclasses import dataclass

DEMO = pathlib.Path(__file__).resolve().parent
ROOT = DEMO.parent
APP = DEMO / "app"
STATE = pathlib.Path(os.environ.get("DEMO_STATE", DEMO / "state")).resolve()
REPORTS = pathlib.Path(os.environ.get("DEMO_REPORTS", ROOT / "reports")).resolve()
KEPT = pathlib.Path(os.environ.get("DEMO_KEPT", ROOT / ".tools" / "demo")).resolve()
SOURCE = STATE / "source"
CERTIFICATES = STATE / "certificates"
SECRETS = STATE / "secrets.json"
CA = CERTIFICATES / "ca.pem"
CERTIFICATE = CERTIFICATES / "site.pem"
KEY = CERTIFICATES / "site.key"
PYTHON = pathlib.Path(sys.executable)
HOST = "127.0.0.1"
NAME = "localhost"
DATABASE = "dihya_demo"
PARAMETERS = STATE / "demo.json"


def first_port() -> int:
    """The first of seven ports: as the environment says, else as the running demo has it, else 18440."""
    if given := os.environ.get("DEMO_PORT_BASE"):
        if not given.isdecimal() or not 1024 <= int(given) <= 65529:
            sys.exit(f"demo: cannot go on: DEMO_PORT_BASE={given} is no port with six more behind it. Give a number from 1024 to 65529")
        return int(given)
    return json.loads(PARAMETERS.read_text(encoding="utf-8"))["first_port"] if PARAMETERS.exists() else 18440


FIRST_PORT = first_port()


@dataclass(frozen=True)
class Site:
    """One site: its directory and the ports of its page, API and database."""

    name: str
    https: int
    backend: int
    postgresql: int
    major: int

    @property
    def root(self) -> pathlib.Path:
        """Everything this site has on disk."""
        return STATE / self.name

    @property
    def passfile(self) -> pathlib.Path:
        """The application's database passwords on this site (libpq's format)."""
        return self.root / "pgpass"

    @property
    def url(self) -> str:
        """The site's own https address."""
        return f"https://{NAME}:{self.https}"


PUBLIC_PORT = FIRST_PORT
PUBLIC_URL = f"https://{NAME}:{PUBLIC_PORT}"
PUBLIC = STATE / "public"
OLD = Site("old", FIRST_PORT + 1, FIRST_PORT + 3, FIRST_PORT + 5, 16)
NEW = Site("new", FIRST_PORT + 2, FIRST_PORT + 4, FIRST_PORT + 6, 18)
SITES = {site.name: site for site in (OLD, NEW)}
PORTS = {"public address": PUBLIC_PORT, "old page": OLD.https, "new page": NEW.https, "old API": OLD.backend, "new API": NEW.backend,
         "old PostgreSQL": OLD.postgresql, "new PostgreSQL": NEW.postgresql}


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


def write_private(path: pathlib.Path, content: str) -> None:
    """Write a file that only we can read, replacing it whole."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(content)
    temporary.replace(path)
