# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What comes to one file system is added up over stacks, hosts and paths before anything is written."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from ansible_collections.dihya.migration.plugins.filter.scarce_room import scarce_room
from ansible_collections.dihya.migration.plugins.module_utils._app import inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look

from tests.support.backend_role import ask, role

MIB = 1 << 20


def seen(free: int, filesystem: str = "disk", **made: Any) -> dict[str, Any]:
    return {"free_bytes": free * MIB, "filesystem": filesystem, **made}


def row(subject: str, size: float, place: dict[str, Any]) -> dict[str, Any]:
    return {"subject": subject, "bytes": str(size * MIB).partition(".")[0], "seen": place}  # older cores hand over texts


@pytest.mark.parametrize(("rooms", "told"), [
    ({"new": [row("frontend_path", 13, seen(40)), row("backend_path", 13, seen(40))]},
     [("backend_path, frontend_path (new)", "40 MiB are free where 42 MiB are needed")]),
    ({"mover": [row("migration_backup_dir", 100, seen(130))], "new": [row("backend_path", 100, seen(130))]},
     [("backend_path, migration_backup_dir (mover, new)", "130 MiB are free where 240 MiB are needed")]),
    ({"new": [row("frontend_path", 13, seen(40)), row("backend_path", 13, seen(40, "another"))]}, []),
    ({"new": [row("frontend_path", 13, seen(40)), row("backend_path", 13, seen(40, made=True))]}, []),
    ({"new": [row("frontend_path", 0, seen(0))]}, []),
    # Databases have their margin already, and are told of by their own preflight where nothing else comes.
    ({"mover": [row("postgresql_databases", 100, seen(120)), row("migration_backup_dir", 10, seen(120))]},
     [("migration_backup_dir, postgresql_databases (mover)", "120 MiB are free where 126 MiB are needed")]),
    ({"mover": [row("postgresql_databases", 100, seen(50))]}, []),
    # Of a tree that has grown since its copy was made, the rest; of two trees there is one sum of what was made.
    ({"mover": [row("migration_backup_dir", 60, seen(40, made_bytes=50 * MIB))] * 2},
     [("migration_backup_dir (mover)", "40 MiB are free where 86 MiB are needed")]),
    ({"mover": [row("migration_backup_dir", 60, seen(40, made_bytes=110 * MIB))] * 2}, []),
])
def test_a_file_system_has_room_for_all_that_comes_to_it_or_is_named_with_all_of_it(rooms, told) -> None:
    hosts = {"mover": {}, "new": {}, **{host: {"migration_room": rows} for host, rows in rooms.items()}}
    found = scarce_room(list(hosts), hosts)
    assert [(one["subject"], one["finding"]) for one in found] == told
    assert all(one["blocking"] and one["remedy"] for one in found)


def test_second_places_take_what_the_first_one_takes() -> None:
    mover = {"migration_room": [row("migration_backup_dir", 50, seen(100))],
             "migration_places_seen": {"seen": {"migration_backup_copies[0]": seen(50, "second"), "migration_backup_copies[1]": {}}}}
    (found,) = scarce_room(["mover"], {"mover": mover})
    assert found["subject"] == "migration_backup_copies[0] (mover)"


def test_the_archive_of_an_image_takes_room_beside_the_image_where_it_is_pulled() -> None:
    looked = {"seen": {"backend_container_form": seen(9), "migration_work_dir": seen(9)}}
    lent = {"__backend_looked": {"seen": {"backend_image_archive": {"room": 100}}}}
    given = {"backend_runtime": "container", "backend_image_archive": "/a/image.tar", "migration_transport": "pull",
             "__backend_looked": looked, "hostvars": {"m": lent}}
    rows = ask(role(**given), "__backend_room")
    assert [(one["subject"], one["bytes"]) for one in rows] == [("backend_image", 250), ("migration_work_dir", 100)]
    places = [look["subject"] for look in ask(role(**given), "__backend_looks_target") if look["check"] == "writable"]
    assert places == ["backend_path", "migration_work_dir"]


def test_a_look_tells_the_room_of_what_is_copied_in_whole_blocks_and_what_is_there_already(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tree" / "node_modules").mkdir(parents=True)
    (tmp_path / "tree" / "index.html").write_text("page")
    (tmp_path / "tree" / "node_modules" / "large").write_bytes(bytes(10_000))
    read = Look("readable", "from", str(tmp_path / "tree"), [], 0, None, None, {}, exclude=["node_modules"])
    written = Look("writable", "to", str(tmp_path / "new"), [], 0, None, None, {}, made=str(tmp_path / "new" / "site_*"))
    assert inspect.inspect([read, written]) == [] and (read.facts["bytes"], read.facts["room"]) == (4, 8192)
    assert written.facts["made_bytes"] == 0
    for name, size in (("site_2026-11-27_0100", 20_000), ("site_2026-11-28_0100", 10_000), ("site_2026-11-28_0100-2", 5_000),
                       ("site_b_2026-11-28_0100", 4_000)):
        (tmp_path / "new" / name).mkdir(parents=True)
        (tmp_path / "new" / name / "page").write_bytes(bytes(size))
    inspect.inspect([written])
    assert written.facts["made_bytes"] == 5 * 4096  # 5,000 and 4,000 bytes in whole blocks, and two directories
