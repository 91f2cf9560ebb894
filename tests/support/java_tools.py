# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real Flyway and Liquibase, from Maven Central into ``.tools/schema``, once."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import subprocess

from tests.support.needs import cannot_run, require_program
from tests.support.playbook import ROOT

POM = ROOT / "tests" / "integration" / "postgres_schema" / "pom.xml"
JARS = ROOT / ".tools" / "schema"
MAIN = {"flyway": "org.flywaydb.commandline.Main", "liquibase": "liquibase.integration.commandline.LiquibaseCommandLine"}
PATIENCE = 240
"""Seconds to wait for the downloads."""


def java_tool(name: str) -> list[str]:
    """The command that starts ``flyway`` or ``liquibase``; the test cannot run where Maven Central does not serve them."""
    require_program("java")
    fetch()
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", MAIN[name]]


def fetch() -> pathlib.Path:
    """Download what the POM names, unless exactly that is there."""
    stamp, wanted = JARS / "stamp", hashlib.sha256(POM.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return JARS
    shutil.rmtree(JARS, ignore_errors=True)
    argv = [require_program("mvn"), "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        cannot_run(f"Maven Central did not serve Flyway and Liquibase within {PATIENCE} s")
    if done.returncode != 0:
        cannot_run("Maven Central does not serve Flyway and Liquibase here")
    stamp.write_text(wanted, encoding="ascii")
    return JARS
