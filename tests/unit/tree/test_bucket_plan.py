# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes into a bucket that serves a site: in which order, with which headers, and what goes out of it."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._bucket import objects, plan
from ansible_collections.dihya.migration.plugins.module_utils._bucket.objects import Site, Stored
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

SCRIPT, OLD_SCRIPT = "assets/app-4f2a91c0.js", "assets/app-11aa22bb.js"
BUILD = {name: (1, f"new {name}") for name in (SCRIPT, "index.html", "about/index.html", "sw.js", "logo.svg", "manifest.webmanifest")}


def before(*keys: str) -> Site:
    return {key: Stored(key, 1, f"old {key}", (("content-type", "text/plain"),)) for key in keys}


def goal(was: Site, build=None, old=None, remove_others: bool = False) -> plan.Goal:
    return plan.set_goal(build or BUILD, old or {}, was, ["assets"], remove_others)


def order(steps: list[plan.Step]) -> list[list[str]]:
    return [[one.key for one in step.put] + [f"-{key}" for key in step.remove] for step in steps]


def test_what_a_page_loads_goes_before_it_and_a_worker_after_the_page_that_it_keeps() -> None:
    assert order(plan.plan(goal({}), {}, {}, [], public=False)) == [
        [SCRIPT, "logo.svg"], ["about/index.html", "manifest.webmanifest"], ["index.html"], ["sw.js"]]


@pytest.mark.parametrize("key, kind, cache", [
    (SCRIPT, "text/javascript; charset=utf-8", objects.FOR_GOOD),
    ("assets/app-original.js", "text/javascript; charset=utf-8", objects.ASK),  # no digest in its name
    ("photo-20261128.png", "image/png", objects.ASK),  # looks like one, and is not where the user said
    ("assets/font-9c1d2e3f.woff2", "font/woff2", objects.FOR_GOOD),
    ("index.html", "text/html; charset=utf-8", objects.ASK),
    (".well-known/apple-app-site-association", "application/json", objects.ASK),
    ("assets/app-4f2a91c0.js.map", "application/json", objects.ASK),
    ("LICENSE", "application/octet-stream", objects.ASK),
    ("sitemap.xml.gz", "application/gzip", objects.ASK),
])
def test_browsers_may_keep_only_what_would_have_another_name_with_another_content(key: str, kind: str, cache: str) -> None:
    one = goal({}, {key: (1, "x")}).put[key]
    assert dict(one.headers) == {"content-type": kind, "cache-control": cache}


def test_a_name_whose_content_changed_is_no_digest_and_is_asked_for() -> None:
    one = goal(before(SCRIPT))
    assert dict(one.put[SCRIPT].headers)["cache-control"] == objects.ASK and SCRIPT not in one.hashed


def test_a_public_bucket_first_gets_only_what_nobody_asks_for() -> None:
    was = before("index.html", OLD_SCRIPT)
    assert order(plan.plan(goal(was), was, was, [], public=True)) == [[SCRIPT]]
    now = {**was, SCRIPT: goal(was).put[SCRIPT]}
    assert order(plan.plan(goal(was), now, was, [SCRIPT], public=False)) == [
        ["logo.svg"], ["about/index.html", "manifest.webmanifest"], ["index.html"], ["sw.js"]]
    assert plan.plan(goal(was), goal(was).whole, was, [], public=False) == []


def test_old_assets_stay_and_other_objects_go_only_when_that_is_asked_for() -> None:
    was = before("index.html", "old.html", "data/file", OLD_SCRIPT)
    one = goal(was, remove_others=True)
    assert one.go == {"old.html", "data/file"} and OLD_SCRIPT in one.whole
    assert order(plan.plan(one, was, was, [], public=False))[-1] == ["-old.html", "-data/file"]
    assert goal(was).whole.keys() >= was.keys() and not goal(was).go


def test_assets_of_the_live_build_are_put_and_nothing_else_of_it() -> None:
    one = goal({}, old={OLD_SCRIPT: (1, "live"), "old.html": (1, "live"), SCRIPT: (1, "live")})
    assert set(one.old) == {OLD_SCRIPT} and one.put[SCRIPT].sha256 == f"new {SCRIPT}"


@pytest.mark.parametrize("now", [before("index.html", "foreign"), before(), {"index.html": Stored("index.html", 1, "third")}])
def test_a_bucket_to_which_somebody_else_writes_is_refused(now: Site) -> None:
    was = before("index.html")
    with pytest.raises(MigrationError, match="has changed since it was saved"):
        plan.plan(goal(was), now, was, [], public=False)
    plan.plan(goal(was), now, was, ["index.html", "foreign"], public=False)  # of an earlier try of ours


def test_what_an_earlier_build_of_the_same_release_put_goes() -> None:
    stale = Stored("assets/app-00ff00ff.js", 1, "x")
    assert order(plan.plan(goal({}), {**goal({}).whole, stale.key: stale}, {}, [stale.key], public=False)) == [[f"-{stale.key}"]]


def test_the_way_back_removes_what_was_added_after_the_pages_are_back_and_leaves_what_is_not_ours() -> None:
    was = before("index.html", "logo.svg", "data/file")
    now = {**was, **goal(was).put, "upload": Stored("upload", 1, "x")}
    steps, left = plan.plan_back(now, was, goal(was).touched())
    assert order(steps) == [["logo.svg"], ["index.html"], ["-sw.js", "-about/index.html", "-manifest.webmanifest", f"-{SCRIPT}"]]
    assert left == ["upload"] and plan.after(now, steps)[0] == {**was, "upload": now["upload"]}


@pytest.mark.parametrize("keys, wrong", [
    (["a/b", "c"], []), (["a", "a/b"], ["a"]), (["new\nline"], ["new\nline"]), (["a//b", "../x", "./y"], ["../x", "./y", "a//b"]),
    (["bad-\udcff"], ["bad-\udcff"]), (["aïn ⵣ"], []),
])
def test_keys_that_are_no_paths_of_files_are_known(keys: list[str], wrong: list[str]) -> None:
    assert objects.key_problems(keys) == wrong
