# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The roles pull live trees as they are: with links to where uploads lie, or to what releases share."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.module_utils import _manifest
from ansible_collections.dihya.migration.plugins.module_utils._journal.facts import check_facts
from ansible_collections.dihya.migration.plugins.module_utils._transport.access import Request as Access
from ansible_collections.dihya.migration.plugins.module_utils._transport.access import pull_access

from tests.support.playbook import Playbook

from .conftest import Sshd, facts

PLAY = """
- name: The tasks of a role that pull
  hosts: mover
  gather_facts: false
  tasks:
    - name: Run them
      ansible.builtin.include_role: {name: "dihya.migration.{{ stack }}", tasks_from: "{{ tasks }}"}

    - name: Keep what they hand over
      ansible.builtin.copy: {content: "{{ migration_verb_facts | to_json }}", dest: "{{ handed_over }}", mode: "0600"}
"""


class Site:
    """A live tree on ``old`` with a release beside it, and the tasks of a role on the mover as a migration runs them."""

    def __init__(self, root: pathlib.Path, sshd: Sshd) -> None:
        self.root, self.sshd, self.live = root, sshd, root / "srv" / "releases" / "7"
        (self.live / "assets").mkdir(parents=True)
        (self.live / "index.html").write_text("live")
        (self.live / "assets/old.js").write_text("the old page asks for it")
        (self.live / ".env").write_text("SECRET=x")
        (self.live / "uploads").symlink_to("/mnt/uploads")
        (self.live / "config").symlink_to("../../shared/config")
        (self.live / "assets/fonts").symlink_to("../../../shared/fonts")
        (root / "new").mkdir()
        (root / "new/index.html").write_text("new")
        (root / "play.yml").write_text(PLAY)

    def lend(self, tree: pathlib.Path, name: str) -> dict:
        """Access to ``tree`` where the role transport would put it."""
        directory = str(self.root / "run/pull" / name)
        key = pull_access(Access("receiver", "present", name, dir=directory))["public_key"]
        sender = pull_access(Access("sender", "present", name, path=str(tree), public_key=key, port=self.sshd.port, host="127.0.0.1",
                                    authorized_keys=str(self.sshd.authorized_keys), host_key_files=[str(self.sshd.host_key)]))
        pinned = pull_access(Access("receiver", "present", name, dir=directory, known_hosts=sender["known_hosts"]))
        return {"host": "127.0.0.1", "user": self.sshd.user, "port": self.sshd.port, "identity": pinned["identity"],
                "known_hosts": pinned["known_hosts_file"]}

    def run(self, stack: str, tasks: str, **given: Any) -> dict:
        """What they hand over; they must succeed."""
        hosts = {"mover": {"hosts": {"mover": {}}}, "source": {"hosts": {"old": {}}}, "target": {"hosts": {"new": {}}},
                 stack: {"hosts": {"old": {}, "new": {}}}}
        inventory = {"all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable,
                                      "migration_site": "mover"}, "children": hosts}}
        done = Playbook(self.root / "ansible").run(self.root / "play.yml", inventory, {
            "stack": stack, "tasks": tasks, "handed_over": str(self.root / "facts.json"),
            "migration_id": "shop", "migration_run_id": "run", "migration_verb": "backup",
            "migration_run_dir": str(self.root / "run"), "migration_backup_dir": str(self.root / "backup"),
            "migration_work_dir": str(self.root / "work"), f"{stack}_source_path": str(self.live), **given})
        assert done.rc == 0, done.output[-4000:]
        return check_facts(stack, "backup", json.loads((self.root / "facts.json").read_text()))

    def copies(self, stack: str, place: str = "backup") -> list[pathlib.Path]:
        """The copies of the live tree."""
        return sorted((self.root / place / "shop").glob(f"{stack}_*"))


@pytest.fixture(name="site")
def fixture_site(tmp_path: pathlib.Path, sshd: Sshd) -> Site:
    return Site(tmp_path, sshd)


@pytest.mark.parametrize("stack", ["backend", "frontend"])
def test_live_tree_with_links_that_lead_out_of_it_is_backed_up_and_can_be_restored(site: Site, stack: str) -> None:
    access = {"old": site.lend(site.live, f"{stack}-old")}
    second = [{"path": str(site.root / "second")}]
    for _turn in range(2):  # the second one finds the copy of the first intact and keeps it
        handed_over = site.run(stack, "backup_mover", transport_from=access, migration_backup_copies=second)
        # What a browser may load is no secret.
        assert any("no secret lies in clear" in one for one in handed_over.get("not_proved", [])) is (stack == "backend")
    for place in ("backup", "second"):
        (copy,) = site.copies(stack, place)
        manifest = _manifest.read_manifest(str(copy), "tree")
        assert _manifest.damaged_files(str(copy), [one for one in manifest["files"] if "sha256" in one]) == []
        shutil.copytree(copy / "tree", site.root / f"restored-{place}", symlinks=True)
        assert facts(site.root / f"restored-{place}") == facts(site.live)
    assert os.readlink(copy / "tree/uploads") == "/mnt/uploads"


def test_assets_of_such_a_live_build_are_kept_and_its_links_are_not(site: Site) -> None:
    site.run("frontend", "backup_mover", transport_from={"old": site.lend(site.live, "frontend-old")})
    (copy,) = site.copies("frontend")
    access = {"mover": site.lend(site.root / "new", "frontend-mover")}
    site.lend(copy, "frontend-live-mover")
    site.run("frontend", "migrate_target", transport_from=access, frontend_keep_assets=["assets"], frontend_release_name="one",
             frontend_path=str(site.root / "page"))
    release = site.root / "page/current"
    assert (release / "assets/old.js").read_text() == "the old page asks for it" and (release / "index.html").read_text() == "new"
    assert not any(path.is_symlink() for path in [*release.iterdir(), *(release / "assets").iterdir()])


def test_release_with_such_a_link_is_not_deployed(site: Site) -> None:
    (site.root / "new/secrets").symlink_to("/etc")
    access = {"mover": site.lend(site.root / "new", "frontend-mover")}
    with pytest.raises(AssertionError, match="the link secrets leads outside the tree"):
        site.run("frontend", "migrate_target", transport_from=access, frontend_release_name="one", frontend_path=str(site.root / "page"))
