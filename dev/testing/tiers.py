# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tiers of the test run and the steps of each."""

from __future__ import annotations

import os
import pathlib
import shlex
from dataclasses import dataclass, replace

from dev.testing.steps import SKIPPED, Step
from dev.testing.system import Need
from dev.testing.turns import WAITS, turn_of

PROGRAMS = pathlib.Path(__file__).resolve().parents[2] / ".venv" / "bin"
PYTHON = str(PROGRAMS / "python")
POSTGRES_15 = Need("/usr/lib/postgresql/15/bin/initdb", "postgresql-15")
DEBIAN_KEYS = Need("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring")
CONTAINERS = (Need("podman"), Need("runc"), Need("mmdebstrap"), DEBIAN_KEYS, Need("ssh", "openssh-client"), Need("rsync"))
REGISTRY = Need("docker-registry")
BROWSERS = (Need("chromium"), Need("certutil", "libnss3-tools"))
PACKAGES = (Need("aapt"), Need("aapt2", "aapt"), Need("apksigner"), Need("zipalign"), Need("jarsigner", "default-jdk-headless"),
            Need("fdroid", "fdroidserver"), Need("/usr/share/android-framework-res/framework-res.apk", "android-framework-res"))
SCHEMA_TOOLS = (Need("java", "default-jre-headless"), Need("mvn", "maven"))
PROXIES = (Need("/usr/sbin/haproxy", "haproxy"), Need("/usr/sbin/nginx", "nginx-light"), Need("wrk"))
PG_CRON = Need("/usr/share/postgresql/15/extension/pg_cron.control", "postgresql-15-cron")
PGBOUNCER = Need("/usr/sbin/pgbouncer", "pgbouncer")
SERVERS = (POSTGRES_15, PG_CRON, PGBOUNCER, Need("age"), Need("/usr/sbin/mkfs.btrfs", "btrfs-progs"), Need("rsync"),
           Need("/usr/sbin/sshd", "openssh-server"), Need("ssh", "openssh-client"))


@dataclass(frozen=True)
class Tier:
    """A part of the run. Its ``lanes`` run beside each other, the steps of one in turn; ``needs`` are system programs it can use."""

    name: str
    lanes: tuple[tuple[Step, ...], ...]
    needs: tuple[Need, ...] = ()


def tool(name: str) -> str:
    """Path of a program of the virtual environment."""
    return str(PROGRAMS / name)


def pytest(name: str, *arguments: str, timeout: float, each: int) -> Step:
    """A pytest run; ``each`` is the limit of one test in seconds."""
    return Step(name, (PYTHON, "-m", "pytest", f"--junitxml=build/junit/{name}.xml", f"--timeout={each}", "-p", "no:cacheprovider",
                       "-rs", *arguments), timeout=timeout, writes_junit=True)


def waits(name: str, reason: str = WAITS) -> Step:
    """In place of a step that a choice leaves out: it counts as skipped."""
    return Step(name, ("sh", "-c", f"echo {shlex.quote(reason)}; exit {SKIPPED}"))


# About half of the unit tests by time, so that both cores have work.
UNIT_HALF = ("tests/unit/report", "tests/unit/harness")


def unit() -> Tier:
    """Needs nothing but the virtual environment."""
    return Tier("unit", (
        (pytest("unit", "tests/unit", *(f"--ignore={path}" for path in UNIT_HALF), timeout=180, each=30),),
        (pytest("unit-report", *UNIT_HALF, timeout=180, each=30),),
        (Step("ruff", (tool("ruff"), "check", "--no-cache", ".")),),
        (Step("mypy", (PYTHON, "-m", "dev.testing.type_check")),),
        (Step("role-readme", (PYTHON, "dev/role_readme.py", "--check")),),
        (Step("changelog", (tool("antsibull-changelog"), "lint")),),
    ))


def sanity() -> Tier:
    """What Ansible and Galaxy ask of a collection, on a copy of the committed and new files."""
    return Tier("sanity", (
        (Step("ansible-lint", (tool("ansible-lint"), "--offline", "--strict", "--nocolor"), timeout=180),),
        (Step("galaxy-build", (PYTHON, "-m", "dev.testing.collection", "build")),
         Step("documentation", (PYTHON, "-m", "dev.testing.collection", "docs")),
         Step("ansible-test", (PYTHON, "-m", "dev.testing.collection", "sanity"), timeout=900)),
    ))


# About a quarter of the integration tests by time each, the longest first; a directory that is not named here belongs to the last one.
LANES = {
    "integration-apps": ("app",),
    "integration-migrations": ("bad_input", "benchmarks", "checklist", "demo", "failures", "secrets", "transaction"),
    "integration-postgresql": ("postgres_dump", "postgres_schema", "postgres_verify"),
}


PAIRS = "integration-postgresql"
SOURCES = ("16", "15", "18")
# What moves databases from POSTGRES_SOURCE, mostly, or freezes it.
OF_PAIRS = ("postgres_dump", "postgres_schema", "postgres_verify/test_freeze.py", "postgres_verify/test_freeze_methods.py",
            "postgres_verify/test_freeze_timer.py", "failures/test_failures.py", "failures/test_pgbouncer.py")


def integration(root: pathlib.Path) -> Tier:
    """Real servers on loopback."""
    named = {lane: [f"tests/integration/{name}" for name in names] for lane, names in LANES.items()}
    rest = ["tests/integration", *(f"--ignore={path}" for paths in named.values() for path in paths)]
    lanes = {lane: [pytest(lane, *paths, timeout=4200, each=600)] for lane, paths in {**named, "integration": rest}.items()}
    chosen = sources(root)
    first, *others = chosen
    lanes[PAIRS] = [replace(step, environment={"POSTGRES_SOURCE": first}) for step in lanes[PAIRS]] + [
        replace(pytest(f"{PAIRS}-{other}", *(f"tests/integration/{name}" for name in OF_PAIRS), timeout=4200, each=600),
                            environment={"POSTGRES_SOURCE": other}) for other in others] + [
        waits(f"{PAIRS}-{other}", "POSTGRES_SOURCE chose another one" if "POSTGRES_SOURCE" in os.environ else WAITS)
        for other in SOURCES if other not in chosen]
    return Tier("integration", tuple(map(tuple, lanes.values())), needs=(*SERVERS, *SCHEMA_TOOLS, *PACKAGES, *PROXIES, REGISTRY))


def sources(root: pathlib.Path) -> list[str]:
    """Versions from which databases move to 18: the one of ``POSTGRES_SOURCE``, else that whose turn it is."""
    return [os.environ["POSTGRES_SOURCE"]] if "POSTGRES_SOURCE" in os.environ else turn_of(SOURCES, root)


def chaos() -> Tier:
    """Kills, full disks and races: a seeded sample, with ``CHAOS=full`` all of them; half of the time goes to whole migrations."""
    limit = 7200 if os.environ.get("CHAOS") == "full" else 600
    migrations = "tests/chaos/test_migration_kill.py"
    return Tier("chaos", (
        (pytest("chaos-migrations", migrations, timeout=limit, each=600),),
        (pytest("chaos", "tests/chaos", f"--ignore={migrations}", timeout=limit, each=600),),
    ), needs=SERVERS)


def molecule(root: pathlib.Path) -> Tier:
    """The scenarios in real containers, beside each other: most of the time one waits for a machine that answers.

    Front end and mobile take turns; the longest integration test of the one that waits has its turn then.
    """
    scenarios = sorted(path.parent.name for path in (root / "molecule").glob("*/molecule.yml"))
    waiting = {"frontend", "mobile"} - set(turn_of(("frontend", "mobile"), root))
    return Tier("molecule", tuple(
        (waits(f"molecule-{name}") if name in waiting
         else Step(f"molecule-{name}", (PYTHON, "-m", "dev.testing.containers", "test", name), timeout=1200),) for name in scenarios),
        needs=(*CONTAINERS, *PACKAGES))


def browser(root: pathlib.Path) -> Tier:
    """A real browser opens what the demo built; the longest stories beside it take turns."""
    longest = ("test_measured_role.py", "test_failing_demo.py", "test_demo_tells_no_password.py")
    others = [name for name in longest if name not in turn_of(longest, root)]
    ran = pytest("browser", "tests/browser", *(f"--ignore=tests/browser/{name}" for name in others), timeout=1200, each=600)
    return Tier("browser", ((ran, *(waits(f"browser-{pathlib.Path(name).stem}") for name in others)),), needs=BROWSERS)


def tiers(root: pathlib.Path) -> list[Tier]:
    """All tiers in the order in which they begin: fast ones first, and short lanes last, so that none ends alone."""
    return [unit(), sanity(), molecule(root), integration(root), browser(root), chaos()]
