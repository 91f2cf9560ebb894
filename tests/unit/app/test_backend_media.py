# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role backend refuses of uploaded files before anything changes, and who takes part in moving them."""

from __future__ import annotations

import pytest

from tests.support.backend_role import ask, role

HOSTS = {"backend": ["old", "new"], "source": ["old"], "target": ["new"], "mover": ["m"]}
GIVEN = {"groups": HOSTS, "migration_site": "mover", "inventory_hostname": "m", "hostvars": {}}


def refused(*paths: dict, **given) -> set[str]:
    rows = ask(role(**{**GIVEN, "backend_media_paths": list(paths), **given}), "__backend_media_unready")
    assert all(row["blocking"] and row["remedy"] and row["finding"] for row in rows)
    return {row["subject"] for row in rows}


def test_media_go_below_shared_unless_told_otherwise_and_are_told_apart() -> None:
    media = ask(role(**GIVEN, backend_media_paths=[{"path": "/www/up loads/"}, {"path": "/old/up-loads", "target": "/data/x/"}]),
                "__backend_media")
    assert [one["target"] for one in media] == ["/srv/shop/shared/up loads", "/data/x"]
    assert media[0]["stage"].startswith("/srv/shop/shared/.dihya-shop-media-up-loads-")
    assert len({one["name"] for one in media}) == 2
    assert refused({"path": "/www/uploads/"}, {"path": "/old/uploads", "target": "/data/x/"}) == set()


@pytest.mark.parametrize(("paths", "given", "subjects"), [
    ([{"path": "/u"}], {"backend_strategy": "blue_green"}, {"backend_strategy"}),
    ([{"path": "/u"}], {"groups": {**HOSTS, "source": []}}, {"backend_media_source"}),
    ([{"path": "/u"}], {"groups": {**HOSTS, "backend": ["old", "older", "new"], "source": ["old", "older"]}}, {"backend_media_source"}),
    ([{"path": "/u"}], {"backend_media_source": "new"}, {"backend_media_source"}),
    ([{"path": "/u"}, {"path": "/u/", "target": "/data/x"}], {}, {"backend_media_paths[1].path"}),
    ([{"path": "/u/a"}, {"path": "/u", "target": "/data"}], {}, {"backend_media_paths[0].path"}),
    ([{"path": "/a/u"}, {"path": "/b/u"}], {}, {"backend_media_paths[1].target"}),
    ([{"path": "/u", "target": "/srv/shop/releases/r1/u"}], {}, {"backend_media_paths[0].target"}),
    ([{"path": "/u", "target": "/srv/shop/current"}], {}, {"backend_media_paths[0].target"}),
    ([{"path": "/u", "target": "/srv/shop/shared"}], {}, {"backend_media_paths[0].target"}),
    ([{"path": "/u", "target": "/srv/shop"}], {}, {"backend_media_paths[0].target"}),
    ([], {"backend_strategy": "rolling", "groups": {}}, set()),
])
def test_each_thing_that_is_wrong_with_uploaded_files_is_named(paths, given, subjects) -> None:
    assert refused(*paths, **given) == subjects


@pytest.mark.parametrize(("host", "site", "verbs"), [
    ("m", "mover", {"backup", "migrate"}), ("old", "source", {"backup", "migrate", "commit"}), ("new", "target", {"backup"}),
])
def test_hosts_with_uploaded_files_take_part_and_others_do_not(host, site, verbs) -> None:
    here = {**GIVEN, "migration_site": site, "inventory_hostname": host}
    assert set(ask(role(**here, backend_media_paths=[{"path": "/u"}]), "__backend_media_takes_part")) == verbs
    assert not verbs & set(ask(role(**here, backend_media_paths=[{"path": "/u"}]), "__backend_idle"))
    assert ask(role(**here), "__backend_media_takes_part") == []


def test_target_hosts_that_share_a_file_system_get_one_copy() -> None:
    hosts = {**HOSTS, "backend": ["old", "new", "newer"], "target": ["new", "newer"]}
    given = {**GIVEN, "groups": hosts, "backend_media_paths": [{"path": "/u"}]}
    assert ask(role(**given), "__backend_media_receivers") == ["new", "newer"]
    assert ask(role(**given, backend_media_shared=True), "__backend_media_receivers") == ["new"]


def test_each_path_needs_room_where_it_goes_and_an_empty_place_unless_told_otherwise() -> None:
    given = {**GIVEN, "migration_site": "target", "inventory_hostname": "new", "hostvars": {"old": {"__backend_media_sizes": [5, 7]}},
             "__backend_media_restore_point": {"stat": {"exists": False}}, "backend_media_paths": [{"path": "/a"}, {"path": "/b"}],
             "__backend_media_roomy": {"seen": {f"backend_media_paths[{number}].target": {"made": False} for number in (0, 1)}}}
    assert [row["bytes"] for row in ask(role(**given), "__backend_media_room")] == [5, 7]
    given["__backend_media_roomy"]["seen"].update({"backend_media_paths[1].target": {"held": 3}, "migration_work_dir": {"free_bytes": 9}})
    told = [(row["subject"], row["bytes"]) for row in ask(role(**given), "__backend_media_room")]  # what is replaced is kept
    assert told == [("backend_media_paths[0].target", 5), ("backend_media_paths[1].target", 7), ("migration_work_dir", 3)]
    assert {look["check"] for look in ask(role(**given), "__backend_media_looks_target")} == {"vacant", "writable"}
    assert {look["check"] for look in ask(role(**given, backend_media_overwrite=True), "__backend_media_looks_target")} == {
        "replaceable", "writable"}
