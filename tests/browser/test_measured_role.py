# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role frontend with everything measured: the old pages before the freeze, the new ones before the switch-over."""

from __future__ import annotations

import sys

import pytest

from tests.support.page_tools import BIN
from tests.support.verbs import Verbs
from tests.support.website import edit, write_site

END_TO_END = '''
import os
from playwright.sync_api import sync_playwright

def test_the_heading_is_shown():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(ignore_https_errors=True)
        page.goto(os.environ["TEST_URL"])
        assert page.get_by_role("heading").inner_text() == "Bibliothèque"
        browser.close()
'''


class Measured(Verbs):
    """A static site that moves on one machine; both sides are served over TLS."""

    def __init__(self, root, serve, chromium, tools, authority) -> None:
        super().__init__(root, 0)
        self.live, self.build = write_site(root / "live"), write_site(root / "build")
        self.chromium, self.tools, self.ca = chromium, tools, authority[0]
        self.old, self.new = serve(self.live), serve(root / "new" / "page" / "current")
        (root / "e2e").mkdir()
        (root / "e2e" / "test_page.py").write_text(END_TO_END, encoding="utf-8")

    def variables(self, release: str) -> dict:
        return {
            "migration_id": "pages", "migration_transport": "local", "migration_run_id": "run",
            "migration_backup_dir": str(self.root / "backup"), "migration_work_dir": str(self.root / "work"),
            "frontend_source_path": str(self.live), "frontend_release_path": str(self.build), "frontend_release_name": release,
            "frontend_path": str(self.root / "new" / "page"), "frontend_url": self.new, "frontend_source_url": self.old,
            "frontend_ca": str(self.ca), "frontend_chromium": self.chromium, "frontend_page_tools": str(self.tools),
            "frontend_page_timeout": 60, "frontend_pages": ["/{language}/"], "frontend_languages": ["fr", "ar"],
            "frontend_budget": {"growth": 50}, "frontend_lighthouse_pages": ["/"], "frontend_lighthouse_runs": 1,
            "frontend_lighthouse_node": str(BIN / "node"),
            # Only what does not depend on how busy this machine is.
            "frontend_lighthouse_drop": {"accessibility": 0, "seo": 0},
            "frontend_e2e_command": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"],
            "frontend_e2e_chdir": str(self.root / "e2e"), "frontend_e2e_environment": {"CHROMIUM": self.chromium},
        }


@pytest.fixture(name="world")
def fixture_world(tmp_path, serve, chromium, tools, authority):
    """The site before it moves."""
    return Measured(tmp_path, serve, chromium, tools, authority)


def test_a_site_moves_measured_and_a_worse_release_is_refused_before_the_switch(world):
    for steps in (["frontend preflight", "frontend backup"], ["frontend migrate", "frontend verify"]):
        done = world.run(steps)
        assert done.rc == 0, done.output[-4000:]
    looked = world.handed_over("frontend preflight", "mover")
    assert looked["findings"] == [] and "2 visits, 1 runs of Lighthouse" in [row["amount"] for row in looked["plan"]]
    kept = {proof["kind"] for proof in world.handed_over("frontend backup", "mover")["facts"]["proofs"]}
    assert kept >= {"manifest", "page_audit", "lighthouse"}
    proved = world.handed_over("frontend verify", "mover")["facts"]
    assert {test["name"]: test["verdict"] for test in proved["tests"] if "GET" not in test["name"]} == {
        "cache headers": "passed", "frontend end-to-end tests": "passed", "quality of the pages": "passed",
        "scores of Lighthouse": "passed"}
    figures = {(row["what"], row.get("before") is not None, row["after"] > 0) for row in proved["quality"]["scores"]}
    assert ("performance", True, True) in figures and ("bytes", True, True) in figures and proved["quality"]["violations"] == []
    unproved = [text.partition(" ")[0] for text in proved["not_proved"]]
    assert unproved[0] == "accessibility:" and unproved[2:] == ["frontend_keep_assets", "frontend_test_command"]
    # The old site sends no header about its caching, so the new one need not.
    assert "browsers may show the page again without asking (no Cache-Control)" in proved["not_proved"][1]

    edit(world.build, "ar/index.html", ' dir="rtl"', "")
    refused = world.run(["frontend probe backup", "frontend migrate", "frontend verify"], "two", ["frontend rollback"],
                        frontend_lighthouse_pages=[], frontend_e2e_command=[])
    assert refused.rc == 2 and "/{language}/ in ar: direction (serious), 0 before and 1 now" in refused.output, refused.output[-4000:]
    assert (world.root / "new" / "page" / "current").resolve().name == "one"


def test_preflight_names_every_missing_tool_and_an_old_site_that_does_not_answer(world):
    looked = world.run(["frontend preflight"], frontend_chromium="no-such-browser", frontend_page_tools="/no/such/tools",
                       frontend_ca="/no/such/ca.pem", frontend_url="", frontend_pages=["/{language}/none"])
    assert looked.rc == 0, looked.output[-4000:]
    found = {row["subject"]: row for row in world.handed_over("frontend preflight", "mover")["findings"]}
    assert set(found) >= {"frontend_chromium", "frontend_page_tools", "frontend_source_ca", "frontend_ca", "frontend_url"}
    assert all(row["blocking"] and row["remedy"] for row in found.values()) and "npm ci" in found["frontend_page_tools"]["remedy"]
    again = world.run(["frontend preflight"], frontend_pages=["/{language}/none"], frontend_lighthouse_node="/no/such/node",
                      frontend_lighthouse_drop={"speed": 1})
    assert again.rc == 0, again.output[-4000:]
    found = {row["subject"]: row["finding"] for row in world.handed_over("frontend preflight", "mover")["findings"]}
    assert set(found) == {"frontend_source_url", "frontend_lighthouse_node", "frontend_lighthouse_drop"}
    assert found["frontend_source_url"].endswith("/none: it answered 404, expected 200")
