# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new machine publishes both versions, signed with the same keys; the release that came after it has left nothing."""

from __future__ import annotations

import json

import pytest

from tests.support.machines import WORK, machine

APPLICATION = "org.example.shop"


def published(name):
    index = json.loads(machine(name).check_output("curl -sf http://localhost/index-v1.json"))
    return {package["versionCode"]: package["signer"] for package in index["packages"][APPLICATION]}


def test_the_new_machine_publishes_the_new_version_beside_the_old_one():
    found = published("new")
    assert sorted(found) == [7, 8] and len(set(found.values())) == 1
    assert machine("new").file("/srv/apps/current").linked_to == "/srv/apps/releases/eight"


def test_what_is_downloaded_is_the_package_that_was_built():
    mover = machine("mover")
    built = mover.check_output(f"curl -sf http://new/{APPLICATION}_8.apk | sha256sum").split()[0]
    listed = json.loads(machine("new").check_output("curl -sf http://localhost/index-v1.json"))["packages"][APPLICATION]
    assert built in {package["hash"] for package in listed}
    assert "Verifies" in mover.check_output(
        f"curl -sfo /tmp/new.apk http://new/{APPLICATION}_8.apk && apksigner verify --verbose --min-sdk-version 24 /tmp/new.apk")


def test_the_old_machine_is_as_it_was():
    assert sorted(published("old")) == [7]
    assert machine("old").file("/srv/apps/current").linked_to == "/srv/apps/releases/seven"


def test_the_release_with_a_strange_index_has_left_nothing_on_the_new_machine():
    assert machine("new").check_output("ls /srv/apps/releases") == "eight"
    report = json.loads((WORK / "reports" / "molecule-mobile-nine" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "KO" and not report["committed"]


@pytest.mark.parametrize("where", ["/var/backups/dihya-migration", "/var/backups/elsewhere"])
def test_the_copies_of_the_project_show_its_keystore_to_the_operator_alone(where):
    mover = machine("mover")
    copied = mover.check_output(f"find {where}/molecule-mobile -name 'upload.jks*'").splitlines()
    assert copied and all(path.endswith("upload.jks.age") for path in copied)
    opened = mover.check_output(f"age --decrypt --identity /root/operator.age {copied[0]} | sha256sum").split()[0]
    assert opened == mover.check_output("sha256sum /srv/shop/project/upload.jks").split()[0]


def test_the_report_tells_of_the_migration():
    report = json.loads((WORK / "reports" / "molecule-mobile" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "OK" and report["committed"]
