# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sites of the demo, on loopback: an old one in service, an empty new one, and the public address.

Usage: python demo/sites.py start | stop | status | clean

start   everything from scratch, as before any migration
stop    end every process, keep the files
status  what runs, and where
clean   stop, and remove every file of the demo
The ports are seven from DEMO_PORT_BASE on (default 18440).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import http.client
import json
import shutil
import ssl
import sys
import time
from pathlib import Path

import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import caddy, certificates, database, processes, releases
from demo.layout import (
    CA,
    FIRST_PORT,
    NAME,
    NEW,
    OLD,
    PARAMETERS,
    PORTS,
    PUBLIC,
    PUBLIC_PORT,
    PUBLIC_URL,
    PYTHON,
    SITES,
    SOURCE,
    STATE,
    DemoError,
    Site,
    write_private,
)
from demo.postgres_server import bin_directory

NEEDED_MB = 2000
WINDOW_HOURS = 4


def say(text: str) -> None:
    """One progress line."""
    sys.stdout.write(f"demo: {text}\n")
    sys.stdout.flush()


def check_room() -> None:
    """Refuse to begin when a port is taken or the disk is too full; all findings at once."""
    findings = [f"port {port} ({name}) is taken" for name, port in PORTS.items() if caddy.listens(port)]
    remedies = [f"Free them, or choose other ports: DEMO_PORT_BASE={FIRST_PORT + 100} make demo"] if findings else []
    free = shutil.disk_usage(STATE.parent).free // 2**20
    if free < NEEDED_MB:
        findings.append(f"{NEEDED_MB} MB are needed under {STATE.parent}, {free} MB are free")
        remedies.append("Free some space")
    if findings:
        raise DemoError(". ".join(["; ".join(findings), *remedies]))


def start_backend(site: Site, release: Path) -> None:
    """gunicorn with ``release`` on the site's back end port."""
    processes.start(f"gunicorn-{site.name}", [str(PYTHON), "-m", "gunicorn", "wsgi:app", "--config", str(release / "gunicorn.conf.py"),
                                              "--chdir", str(release), "--bind", f"127.0.0.1:{site.backend}"],
                    site.root, {**database.environment(site), "PYTHONDONTWRITEBYTECODE": "1"})
    caddy.wait_until(lambda: caddy.listens(site.backend), f"the back end does not start; see {site.root}/gunicorn-{site.name}.log")


def health(port: int) -> dict | None:
    """What /api/health says at an https port of the demo; None when it does not."""
    connection = http.client.HTTPSConnection(NAME, port, timeout=5, context=ssl.create_default_context(cafile=str(CA)))
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/api/health", headers={"Connection": "close"})
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None


def write_parameters() -> None:
    """What the inventory of the demo reads: ports, addresses, and a window that holds now."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    parameters = {
        "first_port": FIRST_PORT, "public_url": PUBLIC_URL, "python": str(PYTHON), "ca": str(CA), "today": now.date().isoformat(),
        "postgresql_bin": str(bin_directory(NEW.major)),
        "window": {"start": now.isoformat(), "end": (now + datetime.timedelta(hours=WINDOW_HOURS)).isoformat()},
        **{site.name: {**dataclasses.asdict(site), "root": str(site.root), "url": site.url, "environment": database.environment(site)}
           for site in SITES.values()},
    }
    write_private(PARAMETERS, json.dumps(parameters, indent=1))


def start_caddies() -> None:
    """The web server of each site, and the public address."""
    for site in SITES.values():
        caddy.start(site.name, site.root, caddy.site_config(site), site.https)
    caddy.start("public", PUBLIC, caddy.public_config(), PUBLIC_PORT)


def start() -> None:
    """Everything from scratch."""
    began = time.monotonic()
    clean()
    check_room()
    parts = [site.root / part for site in SITES.values() for part in ("backend", "frontend")]
    for directory in (STATE, SOURCE, PUBLIC, caddy.SWITCH, OLD.root, NEW.root, *parts):
        directory.mkdir(mode=0o700, parents=True)
    write_parameters()
    certificates.make()
    database.make_secrets()
    releases.assemble()
    release = releases.install_backend()
    with concurrent.futures.ThreadPoolExecutor() as aside:
        say(f"{OLD.name} site: PostgreSQL {OLD.major} on port {OLD.postgresql}; the old page is built")
        beside = [aside.submit(part) for part in (releases.install_page, lambda: database.create(NEW), start_caddies)]
        say(f"300,000 rows in the old database; {NEW.name} site: PostgreSQL {NEW.major} on port {NEW.postgresql}; three Caddies")
        database.create_old(release)
        say("start the old API")
        start_backend(OLD, release)
        for part in beside:
            part.result()
    caddy.wait_until(lambda: health(PUBLIC_PORT) is not None, "the old site does not answer at the public address")
    say(f"ready in {time.monotonic() - began:.0f} s: {PUBLIC_URL} (certificate authority: {CA})")


def stop(at_once: bool = False) -> None:
    """End every process: first those in front, the databases last; ``at_once`` lets none of them finish what it does."""
    if not STATE.exists():
        return
    patience = 0.0 if at_once else 15.0
    in_front = processes.with_children(processes.recorded())
    in_front += [entry for entry in processes.working_in(STATE) if entry["name"] != "postgres"]
    processes.stop(list({entry["pid"]: entry for entry in in_front}.values()), patience)
    database.stop_all("immediate" if at_once else "fast")
    processes.stop(processes.working_in(STATE), patience)


def clean() -> None:
    """Stop, and remove every file of the demo."""
    stop(at_once=True)
    database.remove_all()
    if STATE.exists():
        shutil.rmtree(STATE)


def status() -> int:
    """Print what answers; exit status 0 when the public address does."""
    for name, port in {"public": PUBLIC_PORT, "old": OLD.https, "new": NEW.https}.items():
        answer = health(port) if CA.exists() else None
        text = f"API {answer['version']}, PostgreSQL {answer['database_major']}" if answer else "no API answers"
        say(f"{name:6} https://{NAME}:{port}  {text}")
    for entry in processes.working_in(STATE):
        say(f"process {entry['pid']} {entry['name']}")
    return 0 if CA.exists() and health(PUBLIC_PORT) else 1


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    commands = {"start": start, "stop": stop, "status": status, "clean": clean}
    if len(arguments) != 1 or arguments[0] not in commands:
        sys.stderr.write(f"usage: sites.py {' | '.join(commands)}\n")
        return 2
    try:
        return commands[arguments[0]]() or 0
    except (DemoError, RuntimeError, LookupError, OSError, psycopg2.Error) as error:
        sys.stderr.write(f"demo: cannot go on: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
