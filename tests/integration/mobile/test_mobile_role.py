# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role mobile on real signed packages and real F-Droid repositories: published, refused, rolled back, handed over."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import pathlib
import re
import sys
import threading

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts
from ansible_collections.dihya.migration.plugins.module_utils._manifest import sha256_file
from ansible_collections.dihya.migration.plugins.module_utils._mobile.repository import read_repository, read_tree
from ansible_collections.dihya.migration.plugins.module_utils._tree.release import Request, release

from dev.testing.turns import in_turn
from tests.support.packages import APPLICATION, INTERNET, PASSWORD, Workshop, publish
from tests.support.playbook import ROOT, Playbook

VERBS = ROOT / "tests" / "integration" / "app" / "site" / "verbs.yml"
FORWARD = [f"mobile {verb}" for verb in ("preflight", "backup", "freeze", "migrate", "verify", "commit")]
RSA = ("RSA", "-keysize", "2048")
MESSAGES = {"en": "{count, plural, =0{Nothing} other{{count} books}}", "fr": "{count, plural, =0{Rien} other{{count} livres d'ici}}",
            "ar": "{count, plural, =0{لا شيء} two{كتابان} other{{count} كتب}}", "tzm": "{count, plural, =0{ⵓⵍⴰ} other{{count} ⵉⴷⵍⵉⵙⵏ}}"}


class World:
    """One machine: a repository that is public with version code 7, a project, and packages of version code 8 to publish."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root, self.public = root, root / "site"
        (root / "workshop").mkdir()
        self.workshop = shop = Workshop(root / "workshop")
        self.key, self.other = shop.keystore("owner"), shop.keystore("somebody")
        self.old, self.new = shop.apk("seven", 7, self.key), shop.apk("eight", 8, self.key)
        self.fdroid = shop.fdroid("fdroid", shop.keystore("repository", RSA))
        repository = publish(self.fdroid, (f"{APPLICATION}_7.apk", self.old))
        for state in ("present", "activated"):
            release(Request(path=str(self.public), name="seven", state=state, src=str(repository) if state == "present" else None))
        self.project = root / "project"
        (self.project / "lib" / "l10n").mkdir(parents=True)
        (self.project / "pubspec.yaml").write_text("name: shop\nversion: 1.8.0+8\n")
        for language, text in MESSAGES.items():
            (self.project / "lib" / "l10n" / f"app_{language}.arb").write_text(json.dumps({"@@locale": language, "books": text}))
        self.playbook = Playbook(root / "ansible")
        self.seen: dict[tuple[str, str], dict] = {}
        self.rows: list[dict] = []

    def inventory(self) -> dict:
        def hosts(**sites: str) -> dict:
            return {"hosts": {name: {"migration_site": site} for name, site in sites.items()}}
        return {"all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}, "children": {
            "mover": hosts(mover="mover"), "source": hosts(old="source"), "target": hosts(new="target"),
            "mobile": {"hosts": {"old": {}, "new": {}}}}}}

    def run(self, steps: list[str], then=(), arguments=(), **variables):
        given = {
            "migration_id": "shop", "migration_transport": "local", "migration_run_id": "run",
            "migration_backup_dir": str(self.root / "backup"), "migration_work_dir": str(self.root / "work"),
            "mobile_application": APPLICATION, "mobile_release_name": "eight", "mobile_apk": str(self.new),
            "mobile_project": str(self.project), "mobile_source_path": str(self.public / "current"),
            "mobile_fdroid_path": str(self.fdroid), "mobile_path": str(self.public),
            "steps": steps, "then": list(then), **variables,
        }
        outcome = self.playbook.run(VERBS, self.inventory(), given, arguments, timeout=280)
        for found in re.findall(r"@([A-Za-z0-9+/=]{20,})@", outcome.output):
            row = json.loads(base64.b64decode(found))
            check_facts(*row["step"].split()[:2], row["facts"])
            self.seen[row["step"], row["host"]] = row
            self.rows.append(row)
        assert PASSWORD not in outcome.output
        return outcome

    def facts(self, step: str, host: str = "mover") -> dict:
        return self.seen[step, host]["facts"]

    def findings(self) -> dict[str, str]:
        rows = [row for (step, _host), seen in self.seen.items() if step == "mobile preflight" for row in seen["findings"]]
        assert all(row["remedy"] and row["blocking"] for row in rows)
        found: dict[str, str] = {}
        for row in rows:
            found[row["subject"]] = f"{found.get(row['subject'], '')}; {row['finding']} -> {row['remedy']}"
        return found

    def digest(self) -> str:
        return read_tree(str(self.public / "current"))["tree_sha256"]

    def codes(self) -> list[int]:
        return [row["version_code"] for row in read_repository(str(self.public / "current"), APPLICATION, False)["versions"]]

    @contextlib.contextmanager
    def served(self):
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(self.public / "current"))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The world before anything moved; each test leaves version code 7 public."""
    return World(tmp_path_factory.mktemp("mobile"))


@in_turn(0, of=2)  # at the others the scenario mobile publishes one
def test_a_built_package_is_published_and_the_former_repository_comes_back_exactly(world):
    before, settings = world.digest(), read_tree(str(world.fdroid))
    secret = {"keystore": str(world.key), "alias": "key", "password_file": str(world.workshop.password)}
    built = {"mobile_apk": "", "mobile_flutter": str(world.workshop.flutter()), "mobile_signing": secret,
             "mobile_environment": {"STAND_IN_PACKAGE": str(world.new.with_suffix(".unsigned"))}}
    with world.served() as url:
        moved = world.run(FORWARD, mobile_url=url, **built)
        assert moved.rc == 0, moved.output[-5000:]
        assert world.findings() == {} and world.codes() == [8, 7]
        again = world.run(["mobile commit", "mobile probe commit"], mobile_url=url, **built)
    assert again.rc == 0 and {counts["changed"] for counts in again.recap().values()} == {0}, again.output[-5000:]
    published = read_repository(str(world.public / "current"), APPLICATION, True)
    assert published["problems"] == [] and published["versions"][0]["certificates"] == published["versions"][1]["certificates"]
    tests = {test["name"]: test for test in world.facts("mobile backup")["tests"]}
    assert tests["flutter test"]["passed"] == 3 and {test["verdict"] for test in tests.values()} == {"passed"}
    proved = {test["name"] for test in world.facts("mobile verify")["tests"]}
    assert {"signature", "certificate", "version code", "permissions", "index"} <= proved
    assert read_tree(str(world.fdroid)) == settings  # nothing was written where the settings and the key live
    places = [path for name in ("work", "backup", "site") for path in (world.root / name).rglob("*")]
    assert not [path for path in places if path.is_file() and not path.is_symlink() and PASSWORD.encode() in path.read_bytes()]
    back = world.run(["mobile rollback"] * 2)
    assert back.rc == 0, back.output[-5000:]
    assert world.digest() == before and world.codes() == [7] and (world.public / "current").resolve().name == "seven"
    undone, nothing = (row["facts"] for row in world.rows if (row["step"], row["host"]) == ("mobile rollback", "new"))
    assert undone["changed"] is True and "Android installs no lower version code" in undone["not_proved"][0]
    assert nothing["changed"] is False and "not_proved" not in nothing  # the second one found nothing of it
    assert list((world.root / "work").rglob("mobile/*")) == []


def test_preflight_shows_every_finding_at_once_and_writes_nothing(world):
    before = sorted(path for path in world.root.rglob("*") if "ansible" not in path.parts)
    wrong = world.workshop.apk("wrong", 6, world.other, (INTERNET, "android.permission.CAMERA", "android.permission.READ_CONTACTS"))
    french = world.project / "lib" / "l10n" / "app_fr.arb"
    kept = french.read_text()
    (world.project / "lib" / "l10n" / "app_tzm.arb").rename(world.root / "tzm")
    french.write_text(json.dumps({"books": "{number} livres"}))
    (world.fdroid / "config.yml").chmod(0o644)
    try:
        looked = world.run(["mobile preflight"], arguments=["--check"], mobile_apk=str(wrong), mobile_path="/etc",
                           mobile_allowed_permissions=["android.permission.CAMERA"], mobile_fdroid_command=["no-such-fdroid", "update"],
                           migration_backup_dir=str(wrong))
    finally:
        french.write_text(kept)
        (world.root / "tzm").rename(world.project / "lib" / "l10n" / "app_tzm.arb")
        (world.fdroid / "config.yml").chmod(0o600)
    assert looked.rc == 0, looked.output[-5000:]
    found = world.findings()
    for words in ("is not the published one", "version code 6 is not greater than the published 7",
                  "new permissions: android.permission.READ_CONTACTS ->"):
        assert words in found["mobile_apk"]
    for words in ("app_tzm.arb cannot be read", "app_fr.arb has other placeholders in books"):
        assert words in found["mobile_l10n_path"]
    assert "config.yml can be read by others" in found["mobile_fdroid_path"] and {"mobile_path", "mobile_fdroid_command"} <= set(found)
    assert "is no directory" in found["migration_backup_dir"]
    made = {path for path in world.root.rglob("*") if "ansible" not in path.parts} - set(before)
    assert all(path.parent == world.workshop.root or path.parent.parent == world.workshop.root for path in made)


def test_a_missing_flutter_is_told_before_anything_starts_and_how_to_do_without(world):
    looked = world.run(["mobile preflight"], arguments=["--check"], mobile_apk="", mobile_flutter="no-such-flutter")
    assert looked.rc == 0, looked.output[-5000:]
    found = world.findings()
    assert set(found) == {"mobile_flutter"} and "give a signed package in mobile_apk" in found["mobile_flutter"]


def test_a_package_without_project_or_published_repository_says_that_there_is_nothing_to_back_up(world):
    made = world.run(["mobile backup"], mobile_distribution="play", mobile_project="", mobile_published_apk=str(world.old))
    assert made.rc == 0, made.output[-5000:]
    nothing = "there is neither a project nor a published repository to copy"
    assert world.facts("mobile backup")["evidence"] == [{"item": "backup", "verdict": "not_applicable", "observed": nothing}]


def test_a_build_with_another_certificate_or_version_or_none_at_all_is_refused_before_the_freeze(world):
    before, pubspec = world.digest(), world.project / "pubspec.yaml"
    strange = world.workshop.apk("stranger", 8, world.other)
    idle = world.root / "idle-flutter"
    idle.write_text("#!/bin/sh\n")
    idle.chmod(0o755)
    kept = pubspec.read_text()
    pubspec.write_text("name: shop\nversion: 1.9.0+9\n")
    given = {"mobile_release_name": "stranger", "mobile_apk": "", "mobile_environment": {"STAND_IN_PACKAGE": str(strange)}}
    try:
        failed = world.run(["mobile backup"], then=["mobile probe backup"], mobile_flutter=str(world.workshop.flutter()), **given)
        # The package that this has left is nothing that the next build made.
        stale = world.run(["mobile backup"], mobile_flutter=str(idle), **given)
    finally:
        pubspec.write_text(kept)
    assert failed.rc == 2 and "devices would refuse the update" in failed.output, failed.output[-5000:]
    assert "its version code is 8, and pubspec.yaml plans 9 (1.9.0)" in failed.output
    assert "until the freeze a build is made in each run" in failed.output
    assert stale.rc == 2 and "it ended without an error and left nothing at" in stale.output, stale.output[-5000:]
    assert (world.project / "build/app/outputs/flutter-apk/app-release.apk").read_bytes() == strange.read_bytes()
    assert world.digest() == before and not (world.public / "releases" / "stranger").exists()


def test_an_app_bundle_is_built_proved_and_handed_over_once(world):
    bundle = world.workshop.bundle("bundle", 8, world.key)
    told = world.root / "told"
    given = {"mobile_distribution": "play", "mobile_release_name": "store", "mobile_apk": "", "mobile_artifact": "appbundle",
             "mobile_flutter": str(world.workshop.flutter()), "mobile_environment": {"STAND_IN_PACKAGE": str(bundle)},
             "mobile_published_apk": str(world.old),
             "mobile_upload_command": ["/bin/sh", "-c", f'cp "$MOBILE_MANIFEST" {told}; echo up >> {told}.log']}
    moved = world.run([*FORWARD, "mobile commit", "mobile rollback"], **given)
    assert moved.rc == 0, moved.output[-5000:]
    assert world.findings() == {} and (world.root / "told.log").read_text() == "up\n"
    manifest = json.loads(told.read_text())
    assert manifest["version_code"] == 8 and manifest["kind"] == "appbundle" and manifest["sha256"] == sha256_file(str(bundle))
    assert manifest["path"] == f"{APPLICATION}_8.aab" and world.codes() == [7]
    assert "stop the roll-out in the store by hand" in world.facts("mobile rollback")["not_proved"][0]
