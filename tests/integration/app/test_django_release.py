# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Django in the role backend: a real release with a schema history moves a real database, a bad one comes back. Node: scenario backend."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import sys

import pytest

from tests.support.proxies import unused_ports
from tests.support.verbs import CANARY, Verbs

HERE = pathlib.Path(__file__).parent
ROWS = """
INSERT INTO loans_member (name, email) VALUES ('Élodie Amrouche', 'e@example.org');
INSERT INTO loans_member (name, email) VALUES ('طارق بن زياد', 't@example.org'), ('ⴷⵉⵀⵢⴰ', 'd@example.org');
INSERT INTO loans_book (title, isbn) VALUES ('Nedjma', '9782020289474');
INSERT INTO loans_loan (member_id, book_id, since) VALUES (1, 1, '2026-01-05');
"""
# How this machine reaches its package registry.
REGISTRIES = {name: value for name, value in os.environ.items()
              if re.fullmatch(r"(?i)PIP_\w+|(HTTPS?|NO)_PROXY|SSL_CERT_FILE", name)}
FORWARD = [f"backend {verb}" for verb in ("preflight", "backup", "migrate", "verify", "commit", "migrate", "probe migrate")]
MOVED = {"release": "one", "languages": {"ar": 1, "fr": 1, "tzm": 1}, "lent": 1}


class Library(Verbs):
    """The library in Django on ``server``: the database of its old site, and its release ``one``.

    It is installed by pip into an environment of its own, which later releases share.
    """

    database = "library_django"

    def __init__(self, root: pathlib.Path, port: int, server) -> None:
        super().__init__(root, port)
        self.server = server
        server.execute(f"CREATE ROLE {self.database} LOGIN CREATEDB PASSWORD '{CANARY}'")
        server.execute(f"CREATE DATABASE {self.database} OWNER {self.database}")
        connection = self.server.connect(self.database, self.database, CANARY)
        with connection.cursor() as cursor:  # as a restore leaves it: schema, history and rows, owned by the application's role
            cursor.execute((HERE / "old_django.sql").read_text(encoding="utf-8") + ROWS)
        connection.close()
        shutil.copytree(HERE / "library_django", root / "build" / "one", ignore=shutil.ignore_patterns("__pycache__"))

    def variables(self, release: str) -> dict:
        return {
            "migration_id": "library", "migration_transport": "local", "migration_run_id": "run",
            "migration_work_dir": str(self.root / "work"), "migration_backup_dir": str(self.root / "backup"),
            "backend_framework": "django", "backend_source_path": str(self.root / "build" / "one"),
            "backend_release_path": str(self.root / "build" / release), "backend_release_name": release,
            "backend_path": str(self.root / "new" / "library"), "backend_port": self.port, "backend_health_timeout": 20,
            "backend_build_environment": REGISTRIES, "backend_python": sys.executable, "backend_tests_write": "scratch_database",
            "backend_venv": "" if release == "one" else str(self.root / "new" / "library" / "venvs" / "one"),
            "backend_environment": {
                "DJANGO_SECRET_KEY": CANARY, "PGHOST": "127.0.0.1", "PGPORT": self.server.port, "PGDATABASE": self.database,
                "PGUSER": self.database, "PGPASSWORD": CANARY,
            },
            "backend_command": ["gunicorn", "--bind", f"127.0.0.1:{self.port}", "library.wsgi"],
        }

    def remove(self) -> None:
        """End the application, drop database and role."""
        self.stop("library")
        self.server.execute(f"DROP DATABASE {self.database} WITH (FORCE)")
        self.server.execute(f"DROP ROLE {self.database}")

    def current(self) -> str:
        """The release that the link leads to."""
        return (self.root / "new" / "library" / "current").resolve().name

    def facts(self, verb: str) -> dict:
        """What ``verb`` handed over on the target host."""
        return self.handed_over(f"backend {verb}", "new")["facts"]

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace ``old`` in a file of release ``two``."""
        file = self.root / "build" / "two" / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def spoil(self) -> None:
        """Make release ``two``, whose data migration breaks a promise of the schema: every member gets the same address."""
        shutil.copytree(self.root / "build" / "one", self.root / "build" / "two")
        self.edit("library/settings.py", '"one"', '"two"')
        last = self.root / "build" / "two" / "loans" / "migrations" / "0006_one_address.py"
        shutil.copy(last.with_name("0004_language_of_names.py"), last)
        for old, new in (("0003_language", "0005_one_copy_each"), ("member.language = language_of(member.name)", 'member.email = "a@b"'),
                         ('update_fields=["language"]', 'update_fields=["email"]')):
            self.edit(f"loans/migrations/{last.name}", old, new)


@pytest.fixture(scope="module")
def library(tmp_path_factory, postgres):
    """The application after the verbs of release ``one``, ``migrate`` twice."""
    made = Library(tmp_path_factory.mktemp("django"), *unused_ports(1), postgres(18))
    try:
        made.moved = made.run(FORWARD)
        yield made
    finally:
        made.remove()


def test_a_release_with_its_schema_history_is_moved_and_proved(library):
    assert library.moved.rc == 0, library.moved.output[-4000:]
    assert library.health() == MOVED and library.current() == "one"
    migrated, again = (row["facts"] for row in library.rows if row["step"] == "backend migrate" and row["host"] == "new")
    verified = library.facts("verify")
    schema = migrated["versions"]
    assert schema["schema_after"] == schema["schema_wanted"] and schema["schema_before"].startswith("4 names, sha256 ")
    assert schema["schema_pending"].startswith("3 names") and migrated["changed"] and "not_proved" not in migrated
    assert again["changed"] is False and again["versions"]["schema_before"] == schema["schema_after"]
    assert {test["verdict"] for test in verified["tests"]} == {"passed"}
    assert "issue" in verified["versions"]["django check --deploy"]
    for host in ("mover", "old", "new"):
        assert library.handed_over("backend preflight", host)["findings"] == []


def test_a_release_whose_schema_cannot_be_moved_is_rolled_back_to_what_ran_before(library):
    library.spoil()
    failed = library.run(["backend backup", "backend migrate", "backend verify"], "two", ["backend rollback"])
    assert failed.rc == 2 and "ended by Move the schema" in failed.output, failed.output[-4000:]
    assert library.health() == MOVED and library.current() == "one"
    assert [path.name for path in (library.root / "new" / "library" / "releases").iterdir() if path.name[0] != "."] == ["one"]
    assert not list((library.root / "new" / "library" / "shared").glob(".two.*"))
