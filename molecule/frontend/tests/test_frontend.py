# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new machine serves the new build, byte for byte; the old one is as it was; a copy of it lies in two places."""

from __future__ import annotations

import json

import pytest

from tests.support.machines import WORK, machine


def digests(name, path):
    return set(machine(name).check_output(f"cd {path} && find . -type f -not -name '.release*' -print0 | xargs -0 sha256sum").splitlines())


def test_the_new_machine_serves_the_new_build():
    new = machine("new")
    assert "the second release" in new.check_output("curl -sf http://new/")
    assert new.file("/srv/site/current").is_symlink
    more = digests("new", "/srv/site/current/") - digests("mover", "/srv/new-build")
    assert digests("mover", "/srv/new-build") <= digests("new", "/srv/site/current/")
    # And what the page of the old machine may still ask for.
    assert more == {line for line in digests("old", "/srv/site/current/") if "/assets/" in line} and len(more) == 2
    assert "the first release asks for it" in new.check_output("curl -sf http://new/assets/later-77d0e1b2.js")


def test_the_release_with_a_wrong_page_has_left_nothing_on_the_new_machine():
    assert machine("new").check_output("ls /srv/site/releases") == "molecule-frontend-1"
    assert machine("new").file("/srv/site/current").linked_to == "/srv/site/releases/molecule-frontend-1"
    report = json.loads((WORK / "reports" / "molecule-frontend-three" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "KO" and not report["committed"]


def test_the_old_machine_is_as_it_was():
    old = machine("old")
    assert "the first release" in old.check_output("curl -sf http://old/")
    assert old.file("/srv/site/current").linked_to == "/srv/site/releases/1"


@pytest.mark.parametrize("where", ["/var/backups/dihya-migration/molecule-frontend", "/var/backups/elsewhere/molecule-frontend"])
def test_a_copy_of_the_old_build_lies_on_the_mover(where):
    found = machine("mover").check_output(f"find {where} -name index.html -exec cat {{}} +")
    assert found.startswith("<title>the first release</title>") and found.count("<title>") == 1


def test_no_key_of_the_run_is_left():
    for name in ("mover", "old", "new"):
        assert machine(name).check_output("grep -c . /root/.ssh/authorized_keys") == "1"
        assert machine(name).check_output("find /var/lib/dihya-migration -name 'id_*' -o -path '*/run/*' 2>/dev/null || true") == ""


def test_the_report_still_tells_of_the_migration_after_a_second_run_that_found_it_complete():
    report = json.loads((WORK / "reports" / "molecule-frontend" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "OK" and report["committed"]
    assert "migrate" in {step["verb"] for step in report["steps"]}
    assert "cache headers" in json.dumps(report) and "browsers may show the page again" not in json.dumps(report)
