# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trees, names, shares of work: what is decided without a disk."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import crew, document, naming
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import (
    DIRECTORY,
    FILE,
    LINK,
    ROOT,
    Entry,
    differing,
    first_names,
    raw,
    shown,
    summary,
    text,
    tree_digest,
)
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import excluder

TREE = [
    Entry(ROOT, DIRECTORY, 0o755), Entry(b"a\n\xff", FILE, 0o644, size=3, sha256="00", mtime_ns=5, xattrs={"user.x": b"\xff"}, owner="me"),
    Entry(b"b", LINK, 0o777, target=b"../\xfe"), Entry(b"c", FILE, 0o644, size=3, sha256="00", link_of=b"a\n\xff"),
]


@pytest.mark.parametrize("change", [
    {"path": b"d"}, {"mode": 0o600}, {"size": 4}, {"sha256": "01"}, {"type": DIRECTORY}, {"path": b"a", "sha256": "\n\xff"},
])
def test_digest_tells_trees_apart(change: dict) -> None:
    assert tree_digest([TREE[0], replace(TREE[1], **change), *TREE[2:]]) != tree_digest(TREE)


def test_digest_does_not_depend_on_order_owner_or_time() -> None:
    assert tree_digest([*reversed(TREE[2:]), replace(TREE[1], uid=7, mtime_ns=9, owner="you"), TREE[0]]) == tree_digest(TREE)


def test_digest_is_what_it_was() -> None:
    assert tree_digest(TREE) == "9da659b8486400008157de928e9cd695368405e0d8aa769b3ee9a85761248a1b"


def test_names_survive_text_and_are_shown_in_one_line() -> None:
    assert raw(text(b"a\xff\n\xe2\xb5\xa3")) == b"a\xff\n\xe2\xb5\xa3"
    assert shown(b"a\xff\n\x1b[31m\xe2\xb5\xa3") == "a\\xff\\n\\x1b[31mⵣ"
    assert first_names([b"%03d" % i for i in range(30)]).endswith("009 and 20 more")


def test_manifest_entries_survive_json() -> None:
    for below in ("tree", ""):
        found = [document.from_json(json.loads(json.dumps(document.to_json(entry, below))), below) for entry in TREE]
        assert found == TREE


def test_damaged_manifest_is_refused() -> None:
    entries = [document.to_json(entry, "tree") for entry in TREE]
    manifest = {"root": "tree", "digest": tree_digest(TREE), "files": entries[1:2] + entries[3:], "others": [entries[0], entries[2]]}
    assert document.parse(manifest, "x") == sorted(TREE, key=lambda e: e.path)
    for wrong in (dict(manifest, files=[]), dict(manifest, digest=""), {"root": 1}, dict(manifest, others=[{"path": 3}])):
        with pytest.raises(MigrationError, match="damaged"):
            document.parse(wrong, "x")


def test_difference_ignores_what_says_nothing() -> None:
    assert differing([TREE[0]], [replace(TREE[0], mtime_ns=9, size=4096)], ("mode", "mtime_ns", "size")) == []
    assert differing(TREE, TREE[:2], ("mode",)) == [b"b", b"c"]
    assert differing(TREE, [*TREE[:3], replace(TREE[3], size=9)], ("size",)) == [b"c"]


def test_summary_never_lists_thousands() -> None:
    lines = summary([Entry(b"%05d" % i, FILE, size=1) for i in range(5000)]).splitlines()
    assert lines[0] == "5000 files, 0 directories, 0 links, 5000 bytes" and len(lines) == 12 and lines[-1] == "… and 4990 more"


@pytest.mark.parametrize("patterns, out, kept", [
    (["node_modules"], [b"node_modules", b"a/node_modules"], [b"node_modules2"]),
    (["*.log"], [b"x.log", b"a/b/x.log", b".log"], [b"x.log.gz"]),
    (["/build"], [b"build"], [b"a/build"]), (["a/b"], [b"a/b"], [b"b", b"c/a/b"]), (["cache/"], [b"cache", b"x/cache"], [b"caches"]),
    (["x\udcff*"], [b"x\xff\xfe"], [b"x"]), ([], [], [b"anything"]),
])
def test_exclusion(patterns: list[str], out: list[bytes], kept: list[bytes]) -> None:
    excluded = excluder(patterns)
    assert all(map(excluded, out)) and not any(map(excluded, kept))


def test_copy_names_keep_their_order() -> None:
    moment = datetime(2026, 11, 28, 22, 4)
    assert naming.copy_name("a", moment, []) == "a_2026-11-28_2204"
    assert naming.copy_name("a", moment, ["a_2026-11-28_2204", "b_2026-11-28_2204-9"]) == "a_2026-11-28_2204-2"
    # A number is never used again, not even when the earlier ones were removed.
    assert naming.copy_name("a", moment, ["a_2026-11-28_2204-10"]) == "a_2026-11-28_2204-11"
    assert naming.copies("a", ["a_2026-01-01_0000-10", "a_2026-01-01_0000-9", "a_2026-01-01_0000", "a_b_2026-01-01_0000", "a_x"]) == [
        "a_2026-01-01_0000", "a_2026-01-01_0000-9", "a_2026-01-01_0000-10"]


def test_of_copies_of_one_name_the_newest_is_known_by_its_number_too() -> None:
    found = ["d/a_2026-01-01_0000-10", "d/a_2026-01-01_0000-9", "d/a_2025-12-31_2359", "d/b_2026-01-01_0000", "d/release"]
    assert naming.newest_of_each(found) == ["d/a_2026-01-01_0000-10", "d/b_2026-01-01_0000", "d/release"]


def test_surplus_spares_the_verified_one() -> None:
    assert naming.surplus(["1", "2", "3", "4"], 2, ["4"]) == ["1", "2"]
    assert naming.surplus(["1", "2", "3", "4"], 1, ["1"]) == ["2", "3", "4"]
    assert naming.surplus(["1", "2"], None, []) == [] == naming.surplus(["1"], 3, [])


@pytest.mark.parametrize("name", ["", ".x", "a/b", "-x", "a\nb", "x" * 201])
def test_names_of_copies_are_plain(name: str) -> None:
    with pytest.raises(MigrationError, match="plain name"):
        naming.require_plain(name, "name")


def test_work_is_dealt_out_evenly_and_completely() -> None:
    weights = [100 << 20, *([1 << 20] * 100)]
    dealt = crew.shares(weights, 2)
    assert sorted(dealt[0] + dealt[1]) == list(range(101))
    loads = [sum(weights[i] for i in share) for share in dealt]
    assert max(loads) < 1.1 * min(loads)


def double(number: int) -> int:
    if number == -1:
        raise MigrationError("refused", place=3)
    if number == -2:
        raise PermissionError(13, "denied", "x")
    return number * 2


def test_results_come_in_order_from_all_processes() -> None:
    numbers = list(range(500))
    done: list[int] = []
    assert crew.Crew(double, numbers, [1] * 500, workers=3).results(done.append) == [n * 2 for n in numbers]
    assert sum(done) == 500


def test_refusals_cross_from_the_processes() -> None:
    with pytest.raises(MigrationError, match="refused") as caught:
        crew.Crew(double, [*range(100), -1], [1] * 101, workers=2).results()
    assert caught.value.facts == {"place": 3}
    with pytest.raises(PermissionError):
        crew.Crew(double, [*range(100), -2], [1] * 101, workers=2).results()
