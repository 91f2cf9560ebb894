# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No password of the demo is in any file that it wrote, in anything that it said at -vvv, or in what started on its way."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest

from tests.support.canaries import find_secrets

GIVEN = {"state/secrets.json": "json", "state/new/pgpass": "plain", "state/old/pgpass": "plain"}
"""The demo's vault, and what each site gives its application; how passwords, in which much needs an escape, are written there."""
OTHERS = {"base", "pg_wal", "site-packages", "node_modules"}
"""What others wrote there, some 300 MB: a server what it alone reads, pip and npm what they fetched."""


def test_no_password_is_told_by_the_whole_demo(moved, tmp_path):
    (tmp_path / "said").write_text(moved["said"], encoding="utf-8")
    files = [path for path in moved["directory"].rglob("*") if (path.is_symlink() or path.is_file()) and not OTHERS & {*path.parts}]
    assert len(files) > 100 and any(path.name == "report.json" for path in files)
    found = find_secrets([*files, tmp_path], moved["passwords"])
    # The search finds what is there, and nothing but that.
    assert {(str(one.path).partition(f"{moved['directory']}/")[2], one.form) for one in found} == {*GIVEN.items()}, found
    calls = moved["recorded"].calls()
    started = {call.program for call in calls} | {word for call in calls if call.argv[1:2] == ["-m"] for word in call.argv[2:3]}
    assert {"python3", "sh", "pg_dump", "pg_restore", "psql", "flask", "gunicorn", "pytest", "npm", "node"} <= started
    (tmp_path / "started").write_text("\0".join(word for call in calls for word in [*call.argv, *call.environ, *call.environ.values()]),
                                      encoding="utf-8", errors="surrogateescape")
    assert find_secrets([tmp_path / "started"], moved["passwords"]) == []


def test_every_password_of_the_demo_is_in_use_and_a_wrong_one_is_refused(moved):
    def log_in(name: str, site: str, password: str) -> None:
        user = name.removesuffix(f"_{site}")
        with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=moved[site]["postgresql"], dbname="dihya_demo", user=user,
                                                 password=password)):
            pass

    others = {"old": "_new", "new": "_old"}
    logins = [(name, site) for name in moved["passwords"] for site in others if not name.endswith(others[site])]
    assert len(logins) == 10
    for name, site in logins:
        log_in(name, site, moved["passwords"][name])
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            log_in(name, site, moved["passwords"][name][:-1])
