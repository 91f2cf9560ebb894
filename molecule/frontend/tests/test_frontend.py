# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new machine serves the new build, byte for byte; the old one is as it was; a copy of it lies in two places."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.machines import WORK, machine


def digests(name, path):
    return set(machine(name).check_output(f"cd {path} && find . -type f -not -name '.release*' -print0 | xargs -0 sha256sum").splitlines())


def script_of(name):
    """What the page of a machine loads, as a browser would ask for it."""
    page = machine(name).check_output(f"curl -sf http://{name}/")
    (path,) = re.findall(r'<script [^>]*src="([^"]+)"', page)
    return machine(name).check_output(f"curl -sf http://{name}{path}")


def test_the_new_machine_serves_the_new_build():
    new, built = machine("new"), digests("mover", "/opt/builds/second")
    assert "2.0.0" in script_of("new") and "1.0.0" in script_of("old")
    assert new.file("/srv/site/current").is_symlink
    served = digests("new", "/srv/site/current/")
    # And what the page of the old machine may still ask for.
    before = {line for line in digests("old", "/srv/site/current/") if "/assets/" in line}
    assert built <= served and served - built == before - built
    (asked_for,) = [line.split("./")[1] for line in before - built if line.endswith(".js")]
    assert "1.0.0" in new.check_output(f"curl -sf http://new/{asked_for}")


def test_the_release_with_a_wrong_page_has_left_nothing_on_the_new_machine():
    assert machine("new").check_output("ls /srv/site/releases") == "molecule-frontend-1"
    assert machine("new").file("/srv/site/current").linked_to == "/srv/site/releases/molecule-frontend-1"
    report = json.loads((WORK / "reports" / "molecule-frontend-three" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "KO" and not report["committed"]


def test_the_old_machine_is_as_it_was():
    old = machine("old")
    assert digests("old", "/srv/site/current/") == digests("old", "/opt/builds/first")
    assert old.file("/srv/site/current").linked_to == "/srv/site/releases/1"


@pytest.mark.parametrize("where", ["/var/backups/dihya-migration/molecule-frontend", "/var/backups/elsewhere/molecule-frontend"])
def test_a_copy_of_the_old_build_lies_on_the_mover(where):
    (copied,) = machine("mover").check_output(f"find {where} -name index.html").splitlines()
    assert machine("mover").check_output(f"cat {copied}") == machine("old").check_output("cat /opt/builds/first/index.html")


def test_no_key_of_the_run_is_left():
    for name in ("mover", "old", "new"):
        assert machine(name).check_output("grep -c . /root/.ssh/authorized_keys") == "1"
        assert machine(name).check_output("find /var/lib/dihya-migration -name 'id_*' -o -path '*/run/*' 2>/dev/null || true") == ""


def test_the_report_still_tells_of_the_migration_after_a_second_run_that_found_it_complete():
    report = json.loads((WORK / "reports" / "molecule-frontend" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "OK" and report["committed"]
    assert "migrate" in {step["verb"] for step in report["steps"]}
    assert "cache headers" in json.dumps(report) and "browsers may show the page again" not in json.dumps(report)
