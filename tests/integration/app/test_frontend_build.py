# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role frontend builds on the mover: what is deployed was made by this build, or nothing is."""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys

import pytest

from tests.support.verbs import Verbs

NPM = str(pathlib.Path(sys.executable).parent / "npm")
LOCK = {"name": "page", "lockfileVersion": 3, "packages": {
    "": {"dependencies": {"left": "1.0.0"}},
    "node_modules/left": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/left/-/left-1.0.0.tgz", "integrity": "sha512-AAAA"}}}
UNREACHABLE = {"npm_config_registry": "http://127.0.0.1:9/", "npm_config_fetch_retries": "0", "npm_config_update_notifier": "false",
               "PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin"}
MAKES = "mkdir -p dist && printf {} > dist/index.html"
# By the name of the mover: how it builds, and what is said of it. `mover`, which every run of verbs needs, builds well; `linked` builds
# through a link and leaves unchanged files alone.
BUILDS: dict[str, tuple[dict, str]] = {
    "fails": ({"command": ["sh", "-c", MAKES.format("half") + "; exit 3"]}, "frontend build: exit status 3"),
    "hangs": ({"command": ["sh", "-c", MAKES.format("half") + "; sleep 617.5"], "timeout": 1}, "did not end within 1 s"),
    "gives-nothing": ({"command": ["true"]}, "it ended without an error and left nothing at"),
    "stale": ({"command": ["true"]}, "it ended without an error and left nothing at"),
    "unreachable": ({"command": [NPM, "run", "build"], "environment": UNREACHABLE}, "frontend install: exit status 1"),
    "no-installer": ({"command": ["true"], "install": ["no-such-npm", "ci"]}, "no-such-npm could not be started"),
    "mover": ({"command": ["sh", "-c", "cat packages && " + MAKES.format("new")], "install": ["touch", "packages"]}, ""),
    "linked": ({"command": ["sh", "-c", "cmp -s page dist/index.html || cp page dist/index.html"]}, ""),
    "installed": ({"command": ["sh", "-c", MAKES.format("new")]}, ""),
    "npm": ({"command": [NPM, "run", "build"], "environment": UNREACHABLE}, ""),
}


class Builders(Verbs):
    """A mover for each way to build, all on one machine; each has yesterday's build, but for the one that never built."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(root, 0)
        for name in BUILDS:
            self.project(name).mkdir()
            (self.project(name) / "page").write_text("yesterday's")
            if name != "gives-nothing":
                (self.project(name) / "dist").mkdir()
                (self.project(name) / "dist" / "index.html").write_text("yesterday's")
                (self.project(name) / "dist" / "left-over.js").write_text("yesterday's")
        (self.project("linked") / "dist").rename(root / "elsewhere")
        (self.project("linked") / "dist").symlink_to(root / "elsewhere")
        for name in ("unreachable", "installed"):
            (self.project(name) / "package.json").write_text(json.dumps({"name": "page", "dependencies": {"left": "1.0.0"}}))
            (self.project(name) / "package-lock.json").write_text(json.dumps(LOCK))
        # What lies beside it is asked of nobody.
        needs = {"name": "page", "dependencies": {"left": "file:left"}}
        (self.project("npm") / "left").mkdir()
        (self.project("npm") / "left" / "package.json").write_text(json.dumps({"name": "left", "version": "1.0.0"}))
        (self.project("npm") / "package.json").write_text(json.dumps({**needs, "scripts": {"build": MAKES.format("new")}}))
        (self.project("npm") / "package-lock.json").write_text(json.dumps({**LOCK, "packages": {
            "": needs, "left": {"version": "1.0.0"}, "node_modules/left": {"resolved": "left", "link": True}}}))
        (self.project("installed") / "node_modules").mkdir()
        (self.project("installed") / "node_modules" / ".package-lock.json").write_text("{}")

    def project(self, name: str) -> pathlib.Path:
        return self.root / name

    def page(self, name: str) -> list[str]:
        """The files of the build, and the text of its page."""
        return sorted(os.listdir(self.project(name) / "dist")) + [(self.project(name) / "dist" / "index.html").read_text()]

    def inventory(self) -> dict:
        inventory = super().inventory()
        groups = inventory["all"]["children"]
        groups["mover"]["hosts"] = groups["frontend"]["hosts"] = {
            name: {"migration_site": "mover", "frontend_build": {**build, "chdir": str(self.project(name))}}
            for name, (build, _said) in BUILDS.items()}
        del groups["source"]
        return inventory

    def variables(self, release: str) -> dict:
        return {"migration_id": "built", "migration_transport": "local", "migration_run_id": "run",
                "migration_backup_dir": str(self.root / "backup"), "migration_work_dir": str(self.root / "work"),
                "frontend_release_name": release, "frontend_path": str(self.root / "new" / "page")}


@pytest.fixture(scope="module", name="built")
def fixture_built(tmp_path_factory):
    """Every build once, in one run."""
    world = Builders(tmp_path_factory.mktemp("builds"))
    world.first = world.run(["frontend backup"])
    return world


def told(built, name: str) -> str:
    """What the mover ``name`` itself failed with, on one line; the others only followed."""
    found = re.search(rf"^fatal: \[{name}\]: FAILED! => \n((?: .*\n)+)", built.first.output.partition("TASK [The truth]")[0], re.M)
    return " ".join(found.group(1).split()) if found else ""


@pytest.mark.parametrize("name", [name for name, (_build, said) in BUILDS.items() if said])
def test_a_build_that_proves_nothing_fails_in_backup_and_leaves_what_was_there(built, name):
    assert built.first.rc == 2 and BUILDS[name][1] in told(built, name), built.first.output[-6000:]
    if name != "gives-nothing":
        assert built.page(name) == ["index.html", "left-over.js", "yesterday's"]
    assert {path.name for path in built.project(name).iterdir()} <= {"dist", "page", "package.json", "package-lock.json"}
    assert not (built.root / "new").exists()


@pytest.mark.parametrize("name, text", [("mover", "new"), ("linked", "yesterday's"), ("installed", "new"), ("npm", "new")])
def test_a_build_is_what_this_run_made_and_nothing_of_the_one_before(built, name, text):
    assert not told(built, name)
    assert built.page(name) == ["index.html", text]
    if name == "npm":
        assert (built.project(name) / "node_modules" / "left").is_symlink()  # by `npm ci`, which nobody named
    assert not list(built.root.rglob("*of-an-earlier-build*")) and (built.project("linked") / "dist").is_symlink()


def test_preflight_finds_a_build_over_its_own_project_and_an_installer_that_is_not_there_and_until_the_freeze_no_build_is_kept(built):
    movers = ["mover", "unreachable", "no-installer"]
    looked = built.run(["frontend preflight", "frontend probe backup"], arguments=["--check", f"--limit={','.join(movers)}"],
                       frontend_release_path=str(built.root))
    assert looked.rc == 2 and "ended by Have a build made again as long as nobody waits for it" in looked.output, looked.output[-4000:]
    found = {name: {row["subject"]: row["finding"] for row in built.seen["frontend preflight", name]["findings"]} for name in movers}
    assert all("holds the directory in which it is made" in subjects["frontend_release_path"] for subjects in found.values())
    assert {name for name, subjects in found.items() if "frontend_build.install" in subjects} == {"no-installer"}
